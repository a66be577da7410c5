"""`shotcrop apply` on sidecars in an object store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, write_photo
from object_store import ObjectStore
from shotcrop_cli import CropOptions, crop_photos
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli

SHOTS = "s3://shots/trip"


@pytest.fixture
def cropped(photos: Path, store: ObjectStore, composer: FakeComposer) -> ObjectStore:
    for name in ("0/a.jpg", "1/b.jpg"):
        write_photo(photos / name)
    store.upload(photos, "photos")
    crop_photos(CropOptions("s3://photos", SHOTS, reproducible=True))
    store.forget()
    return store


def _edit(store: ObjectStore, name: str, **changes: Any) -> None:
    key = f"trip/{name}"
    document = json.loads(store.client().get_object(Bucket="shots", Key=key)["Body"].read())
    document["shots"][1] |= changes
    store.client().put_object(Bucket="shots", Key=key, Body=json.dumps(document).encode())


def _apply(*arguments: str) -> tuple[list[dict[str, Any]], int, str]:
    result = CliRunner().invoke(cli, ["apply", "--json", *arguments])
    return [json.loads(line) for line in result.stdout.splitlines()], result.exit_code, result.stderr


def test_edited_boxes_are_cropped(cropped: ObjectStore) -> None:
    _edit(cropped, "0/a.jpg.json", box={"x": 5, "y": 6, "width": 40, "height": 30})
    before = cropped.tree("shots", "trip")
    planned, code, _ = _apply(SHOTS, "--dry-run")
    assert [line["source"] for line in planned] == ["s3://photos/0/a.jpg"] and code == ExitCode.OK
    assert cropped.tree("shots", "trip") == before
    cropped.forget()
    lines, code, err = _apply(SHOTS)
    assert code == ExitCode.OK, err
    assert [(line["source"], line["status"]) for line in lines] == [("s3://photos/0/a.jpg", "done")]
    after = cropped.tree("shots", "trip")
    assert after["0/a.jpg.medium.jpg"] != before["0/a.jpg.medium.jpg"]
    assert {name for name in after if after[name] != before[name]} <= {
        "0/a.jpg.json",
        *(f"0/a.jpg.{shot}.jpg" for shot in ("establishing", "medium", "close_up")),
    }
    record = json.loads(after["0/a.jpg.json"])
    assert record["source"]["path"] == "s3://photos/0/a.jpg"
    assert record["shots"][1]["size"] == {"width": 40, "height": 30}
    assert _apply(SHOTS)[:2] == ([], ExitCode.OK)


def test_what_was_not_edited_costs_one_read_a_sidecar(cropped: ObjectStore) -> None:
    assert _apply(SHOTS)[0] == []
    assert sum(".jpg" in path.partition("?")[0] for _, path in cropped.requests) == 2


def test_a_single_sidecar_is_applied_and_another_place_of_the_photos_named(cropped: ObjectStore, photos: Path) -> None:
    _edit(cropped, "1/b.jpg.json", caption="mine")
    for key in cropped.keys("photos"):
        cropped.client().delete_object(Bucket="photos", Key=key)
    lines, code, _ = _apply(f"{SHOTS}/1/b.jpg.json")
    assert code == ExitCode.SOME_FAILED and "s3://photos/1/b.jpg is gone" in lines[0]["reason"]
    assert lines[0]["source"] == f"{SHOTS}/1/b.jpg.json"
    lines, code, err = _apply(f"{SHOTS}/1/b.jpg.json", "--photos", str(photos))
    assert code == ExitCode.OK, err
    assert json.loads(cropped.tree("shots", "trip")["1/b.jpg.json"])["source"]["path"] == str(photos / "1" / "b.jpg")


def test_what_is_no_output_or_sidecar_is_refused(cropped: ObjectStore) -> None:
    for url, reason in (
        ("s3://photos/0", "not in an output folder of shotcrop"),
        (f"{SHOTS}/0/none.jpg.json", "there is no such sidecar"),
    ):
        _, code, err = _apply(url)
        assert code == ExitCode.USAGE and reason in err
    cropped.client().put_object(Bucket="shots", Key="trip/0/a.jpg.json", Body=b"{")
    lines, code, _ = _apply(SHOTS)
    assert code == ExitCode.SOME_FAILED and lines[0]["reason"].startswith("not a sidecar of schema")
