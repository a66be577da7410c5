"""Commands that look at a whole output, on one in an object store: sheet, prune, caption, review and edits."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from caption_server import GOOD, CaptionServer
from caption_server import SHOTS as SHOT_NAMES
from caption_server import running as caption_server
from conftest import FakeComposer, picture, write_photo
from object_store import ObjectStore
from shotcrop_cli import CropOptions, crop_photos
from shotcrop_cli.crop_settings import CropSettings, XmpMode
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.edits import EDITS_SCHEMA
from shotcrop_cli.library.results import PhotoStatus
from shotcrop_cli.main import cli
from shotcrop_cli.storage.location import UrlPath

PHOTOS, SHOTS = "s3://photos/all", "s3://shots/trip"
NAMES = ("0/a.jpg", "1/b.jpg", "1/c.jpg")


@pytest.fixture
def cropped(photos: Path, store: ObjectStore, composer: FakeComposer) -> ObjectStore:
    for number, name in enumerate(NAMES):
        write_photo(photos / name, picture(120 + number, 90))
    store.upload(photos, "photos", "all")
    crop_photos(CropOptions(PHOTOS, SHOTS, reproducible=True, settings=CropSettings(xmp=XmpMode.SIDECAR)))
    store.forget()
    return store


def _run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert "/shotcrop-" not in result.output  # no message names a copy
    return result


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def _record(store: ObjectStore, name: str) -> dict[str, Any]:
    return dict(json.loads(store.tree("shots", "trip")[f"{name}.json"]))


def _delete_photo(store: ObjectStore, name: str) -> None:
    store.client().delete_object(Bucket="photos", Key=f"all/{name}")


@pytest.mark.parametrize("layout", ["contact", "triptych"])
def test_a_sheet_is_that_of_the_same_output_on_a_disk(
    cropped: ObjectStore, photos: Path, tmp_path: Path, layout: str
) -> None:
    local = tmp_path / "trip"
    crop_photos(CropOptions(photos, local, reproducible=True))
    options = ("--layout", layout, "--width", "600")
    _run("sheet", local, "-o", tmp_path / "local.png", *options)
    _run("sheet", SHOTS, "-o", tmp_path / "remote.png", *options)
    assert (tmp_path / "remote.png").read_bytes() == (tmp_path / "local.png").read_bytes()
    kinds = cropped.kinds()
    photos_read = {"contact": 3, "triptych": 0}[layout]
    # The list of photo folders, the sidecars, and only the pictures that are shown.
    assert kinds["GET"] == 1 + 3 + 9 + photos_read and not kinds["PUT"]


def test_a_sheet_of_some_photos_reads_their_pictures_only(cropped: ObjectStore, tmp_path: Path) -> None:
    chosen = tmp_path / "list.txt"
    chosen.write_text(f"{PHOTOS}/1/b.jpg\n")
    _run("sheet", SHOTS, "-o", tmp_path / "a.png", "--width", "600", "--files-from", chosen)
    pictures = {path.partition("?")[0] for method, path in cropped.requests if method == "GET" and ".jpg." in path}
    assert {path for path in pictures if path.endswith(".jpg")} == {
        f"/shots/trip/1/b.jpg.{shot}.jpg" for shot in SHOT_NAMES
    }
    result = _run("sheet", "s3://photos/all", "-o", tmp_path / "a.png", code=ExitCode.USAGE)
    assert "not in an output folder of shotcrop" in result.stderr


def test_a_run_draws_its_sheet(photos: Path, store: ObjectStore, composer: FakeComposer, tmp_path: Path) -> None:
    write_photo(photos / "a.jpg")
    assert f"sheet in {tmp_path}/a.jpg" in _run("crop", photos, "-o", SHOTS, "--sheet", tmp_path / "a.jpg").stderr
    assert (tmp_path / "a.jpg").stat().st_size > 1_000


def test_prune_lists_and_deletes_what_is_left_of_photos(cropped: ObjectStore) -> None:
    assert _run("prune", SHOTS).stderr.startswith("0 photos are gone")
    _delete_photo(cropped, "0/a.jpg")
    _delete_photo(cropped, "1/b.jpg")
    medium = "trip/1/b.jpg.medium.jpg"
    cropped.client().put_object(Bucket="shots", Key=medium, Body=b"retouched")
    before = cropped.tree("shots", "trip")
    cropped.forget()
    first, second = _lines(_run("prune", SHOTS, "--json"))
    assert first["photo"] == f"{PHOTOS}/0/a.jpg" and not first["edits"] and not first["doubtful"]
    assert len(first["files"]) == 7 and first["files"][-1] == f"{SHOTS}/0/a.jpg.json"
    assert second["edits"] == [{"file": f"s3://shots/{medium}", "what": "somebody changed it"}]
    # Sidecars and crops of photos that exist are not read. Three listings, and one for the lock.
    assert not [path for method, path in cropped.requests if method == "GET" and "c.jpg" in path]
    assert cropped.tree("shots", "trip") == before
    done = _run("prune", SHOTS, "--delete")
    assert "deleted 7 files of 1 photo, kept those of 1 photo" in done.stderr
    left = cropped.tree("shots", "trip")
    assert not [name for name in left if name.startswith("0/")] and "1/b.jpg.json" in left
    assert "deleted 7 files of 1 photo" in _run("prune", SHOTS, "--delete", "--edited").stderr
    assert len([name for name in cropped.tree("shots", "trip") if name[0] != "."]) == 7


def test_prune_of_an_empty_bucket_deletes_nothing(cropped: ObjectStore) -> None:
    for name in NAMES:
        _delete_photo(cropped, name)
    assert "deleted 0 files" in _run("prune", SHOTS, "--delete").stderr
    assert "deleted 21 files of 3 photos" in _run("prune", SHOTS, "--delete", "--unmounted").stderr


def test_prune_without_the_right_to_delete_says_so(cropped: ObjectStore) -> None:
    _delete_photo(cropped, "0/a.jpg")
    cropped.fault = lambda method, _path, _number: (403, "AccessDenied") if method == "DELETE" else None
    result = _run("prune", SHOTS, "--delete", code=ExitCode.OUTPUT)
    assert f"{SHOTS}/0/a.jpg.establishing.jpg: cannot be deleted: access denied" in result.stderr


def test_prune_of_a_folder_looks_for_photos_in_their_store(cropped: ObjectStore, output: Path) -> None:
    crop_photos(CropOptions(PHOTOS, output))
    _delete_photo(cropped, "0/a.jpg")
    (line,) = _lines(_run("prune", output, "--json", "--delete"))
    assert line["photo"] == f"{PHOTOS}/0/a.jpg" and line["deleted"]
    assert not (output / "0").exists() and (output / "1" / "b.jpg.json").exists()


@pytest.fixture
def captioner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    pytest.importorskip("openai", reason="the extra `captions` is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with caption_server() as server:
        path = tmp_path / "c.toml"
        path.write_text(f'[captioner.stub]\nurl = "{server.url}"\nmodel = "qwen-test"\nretries = 0\n', "utf-8")
        monkeypatch.setenv("SHOTCROP_CONFIG", str(path))
        yield server


def test_captions_are_written(cropped: ObjectStore, captioner: CaptionServer) -> None:
    sidecar = _record(cropped, "1/c.jpg")
    sidecar["shots"][1] |= {"caption": "mine", "edited": True}
    cropped.client().put_object(Bucket="shots", Key="trip/1/c.jpg.json", Body=json.dumps(sidecar).encode())
    planned = _lines(_run("caption", SHOTS, "--captions", "stub", "--dry-run", "--json"))
    assert [line["source"] for line in planned] == [f"{PHOTOS}/{name}" for name in NAMES] and not captioner.requests
    lines = _lines(_run("caption", f"{SHOTS}/1", "--captions", "stub", "--json"))
    # Several requests are under way at a time, and the answers come in any order.
    assert sorted(line["source"] for line in lines) == [f"{PHOTOS}/{name}" for name in NAMES[1:]]
    words = [GOOD[shot]["caption"] for shot in SHOT_NAMES]
    record = _record(cropped, "1/b.jpg")
    assert [shot["caption"] for shot in record["shots"]] == words
    assert record["source"]["path"] == f"{PHOTOS}/1/b.jpg"
    assert [shot["caption"] for shot in _record(cropped, "1/c.jpg")["shots"]] == [words[0], "mine", words[2]]
    assert words[2].encode() in cropped.tree("shots", "trip")["1/b.jpg.close_up.jpg.xmp"]
    assert _record(cropped, "0/a.jpg")["shots"][0]["caption"] not in words
    cropped.forget()
    again = _run("caption", f"{SHOTS}/1/b.jpg.json", "--captions", "stub")
    assert "0 done, 1 unchanged" in again.stderr and len(captioner.requests) == 2
    # The places of the photos and the sidecar; the lease is read once, and written twice.
    assert cropped.kinds()["PUT"] == 2 and not [path for _, path in cropped.requests if path.endswith(".medium.jpg")]
    after = crop_photos(CropOptions(PHOTOS, SHOTS, settings=CropSettings(xmp=XmpMode.SIDECAR)))
    assert after.counts == {PhotoStatus.UNCHANGED: 3}


def test_a_sidecar_that_somebody_else_wrote_keeps_their_words(cropped: ObjectStore, captioner: CaptionServer) -> None:
    def change(method: str, path: str, _number: int) -> None:
        if method == "PUT" and path.endswith("0/a.jpg.json") and not changed:
            changed.append(path)
            cropped.client().put_object(Bucket="shots", Key="trip/0/a.jpg.json", Body=b"{}")

    changed: list[str] = []
    cropped.fault = change
    result = _run("caption", f"{SHOTS}/0/a.jpg.json", "--captions", "stub")
    assert "somebody wrote it" in result.stderr and cropped.tree("shots", "trip")["0/a.jpg.json"] == b"{}"


def _edits(state: dict[str, Any], **changes: object) -> dict[str, Any]:
    names = ("key", "box", "caption", "alt_text", "edited", "rejected")
    shots = [{name: shot[name] for name in names} for shot in state["shots"]]
    shots[1] |= changes
    return {"fingerprint": state["fingerprint"], "rejected": state["rejected"], "shots": shots}


BOX = {"x": 5, "y": 6, "width": 40, "height": 30}


def test_the_review_page_shows_and_saves(cropped: ObjectStore) -> None:
    pytest.importorskip("starlette", reason="the extra `review` is not installed")
    from review_pages import running
    from shotcrop_cli.review.server import ServerOptions

    before = cropped.tree("shots", "trip")
    with running(ServerOptions(UrlPath(SHOTS))) as page:
        cropped.forget()
        state = page.photo("a.jpg")
        assert state["photo"] == "0/a.jpg" and cropped.kinds() == {"LIST": 1, "GET": 1}
        for path in (f"/image/{state['id']}/small", f"/crop/{state['id']}/large/medium"):
            status, headers, content = page.request("GET", path)
            assert (status, headers["content-type"], content[:2]) == (200, "image/jpeg", b"\xff\xd8")
        saved, answer = page.post(f"/api/photo/{state['id']}", {"edit": _edits(state, box=BOX, caption="mine")})
        assert saved == 200, answer
        page.wait_for_crops()
        record = _record(cropped, "0/a.jpg")
        assert record["shots"][1]["box"] == BOX and record["shots"][1]["size"] == {"width": 40, "height": 30}
        assert record["shots"][1]["caption"] == "mine" and record["source"]["path"] == f"{PHOTOS}/0/a.jpg"
        after = cropped.tree("shots", "trip")
        assert after["0/a.jpg.medium.jpg"] != before["0/a.jpg.medium.jpg"]
        assert page.photo("a.jpg")["shots"][1]["edited"] and not page.photo("a.jpg")["is_pending"]
        # Somebody else edits a photo while it is open here.
        other = page.photo("b.jpg")
        sidecar = _record(cropped, "1/b.jpg")
        sidecar["shots"][0] |= {"caption": "theirs"}
        cropped.client().put_object(Bucket="shots", Key="trip/1/b.jpg.json", Body=json.dumps(sidecar).encode())
        saved, answer = page.post(f"/api/photo/{other['id']}", {"edit": _edits(other, caption="mine")})
        assert saved == 409 and answer["state"]["shots"][0]["caption"] == "theirs"
        assert "/shotcrop-" not in json.dumps(answer)
        # A new photo shows after a search.
        for name, data in after.items():
            if name.startswith("0/a.jpg"):
                cropped.client().put_object(Bucket="shots", Key=f"trip/{name.replace('a.jpg', 'd.jpg')}", Body=data)
        _delete_photo(cropped, "1/c.jpg")
        cropped.client().delete_object(Bucket="shots", Key="trip/1/c.jpg.json")
        page.post("/api/scan", {})
        rows = page.get("/api/list?limit=200&sort=name")["rows"]
        assert [row["name"] for row in rows] == ["a.jpg", "d.jpg", "b.jpg"]
    with running(ServerOptions(UrlPath(SHOTS), read_only=True)) as page:
        state = page.photo("a.jpg")
        assert page.post(f"/api/photo/{state['id']}", {"edit": _edits(state)})[0] == 403


def test_edits_of_a_static_page_are_applied(cropped: ObjectStore, tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="the extra `review` is not installed")
    made = _run("review", SHOTS, "--static", tmp_path / "static")
    assert "3 photos" in made.stderr
    data = (tmp_path / "static" / "assets" / "data.js").read_text()
    photos = json.loads(data[data.index("{") : data.rindex(";")])["photos"]
    assert len(list((tmp_path / "static" / "pictures").iterdir())) >= 12
    state = next(photo["state"] for photo in photos if photo["state"]["photo"] == "1/b.jpg")
    edits = tmp_path / "edits.json"
    wanted = [
        {**_edits(state, box=BOX), "photo": "1/b.jpg"},
        {**_edits(state), "photo": "1/none.jpg"},
        {**_edits(state), "photo": "../../b.jpg"},
    ]
    edits.write_text(json.dumps({"schema": EDITS_SCHEMA, "photos": wanted}))
    before = cropped.tree("shots", "trip")
    planned = _lines(_run("apply", SHOTS, "--edits", edits, "--dry-run", "--json", code=ExitCode.SOME_FAILED))
    assert Counter(line["status"] for line in planned) == {"planned": 1, "failed": 2}
    assert cropped.tree("shots", "trip") == before
    lines = _lines(_run("apply", SHOTS, "--edits", edits, "--json", code=ExitCode.SOME_FAILED))
    assert [line["source"] for line in lines if line["status"] == "done"] == [f"{PHOTOS}/1/b.jpg"]
    assert f"it has no sidecar in {SHOTS}" in {line.get("reason") for line in lines}
    assert _record(cropped, "1/b.jpg")["shots"][1]["box"] == BOX
    edits.write_text(json.dumps({"schema": EDITS_SCHEMA, "photos": wanted[:1]}))
    assert _lines(_run("apply", SHOTS, "--edits", edits, "--json"))[0]["status"] == "done"
    shutil.rmtree(tmp_path / "static")
    wanted[0]["shots"][1]["caption"] = "late"
    edits.write_text(json.dumps({"schema": EDITS_SCHEMA, "photos": wanted[:1]}))
    (stale,) = _lines(_run("apply", SHOTS, "--edits", edits, "--json", code=ExitCode.SOME_FAILED))
    assert "somebody changed it" in stale["reason"]


def test_objects_whose_names_lead_elsewhere_are_left_out(
    cropped: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for key in ("trip/../../evil.jpg.json", "trip//evil.jpg.json", "trip/0/a.jpg.json/evil.jpg.json"):
        cropped.client().put_object(Bucket="shots", Key=key, Body=b"{}")
    _run("sheet", SHOTS, "-o", tmp_path / "a.png", "--width", "600")
    _run("apply", SHOTS, code=ExitCode.SOME_FAILED)
    assert not list(tmp_path.rglob("evil*"))
