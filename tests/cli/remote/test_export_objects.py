"""Manifests of outputs in an object store, and of several outputs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, write_photo
from object_store import ObjectStore
from shotcrop_cli import CropOptions, crop_photos
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.main import cli

pytestmark = pytest.mark.usefixtures("composer")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _crop(photos: object, output: object, template: str = "{name}.{shot}.{ext}") -> None:
    crop_photos(CropOptions(photos, output, template=NameTemplate.parse(template)))  # type: ignore[arg-type]


def _export(manifest: Path, *outputs: object) -> str:
    result = CliRunner().invoke(cli, ["export", *map(str, outputs), "--manifest", str(manifest)])
    assert result.exit_code == ExitCode.OK, result.output
    return result.stderr


@pytest.fixture
def library(photos: Path) -> Path:
    for number in range(70):  # more than are read ahead
        write_photo(photos / f"{number % 3}" / f"IMG_{number:02}.jpg")
    return photos


@pytest.mark.parametrize("template", ["{name}.{shot}.{ext}", "{shot}/{stem}.{ext}"])
def test_the_manifest_of_objects_is_that_of_files(
    library: Path, store: ObjectStore, tmp_path: Path, template: str
) -> None:
    for path in sorted(library.rglob("*.jpg"))[8:]:
        path.unlink()
    store.upload(library, "photos")
    _crop(library, tmp_path / "local", template)
    _crop("s3://photos", "s3://shots/a", template)
    names = [key for key in store.keys("shots") if key.endswith(".jpg")]
    store.client().delete_object(Bucket="shots", Key=names[0])
    (tmp_path / "local" / names[0].removeprefix("a/")).unlink()
    _export(tmp_path / "local.csv", tmp_path / "local")
    assert "24 rows of 8 photos" in _export(tmp_path / "remote.csv", "s3://shots/a")
    local, remote = _rows(tmp_path / "local.csv"), _rows(tmp_path / "remote.csv")
    assert [row["rejected"] for row in remote].count("true") == 1
    for one, other in zip(local, remote, strict=True):
        assert other.pop("photo").replace("s3://photos", str(library)) == one.pop("photo")
        assert other == one


def test_many_sidecars_are_read_ahead_in_order(library: Path, store: ObjectStore, tmp_path: Path) -> None:
    _crop(library, tmp_path / "local")
    store.upload(tmp_path / "local", "shots")
    store.forget()
    _export(tmp_path / "local.csv", tmp_path / "local")
    _export(tmp_path / "remote.csv", "s3://shots")
    assert _rows(tmp_path / "remote.csv") == _rows(tmp_path / "local.csv")
    assert store.kinds() == {"LIST": 1, "GET": 70}


def test_several_outputs_give_one_manifest(photos: Path, store: ObjectStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_photo(photos / name / f"{name}.jpg")
    _crop(photos / "a", tmp_path / "one")
    _crop(photos / "b", "s3://shots/two")
    assert "6 rows of 2 photos" in _export(tmp_path / "all.csv", tmp_path / "one", "s3://shots/two")
    assert [Path(row["photo"]).name for row in _rows(tmp_path / "all.csv")] == ["a.jpg"] * 3 + ["b.jpg"] * 3


def test_crop_writes_the_manifest_of_its_output(photos: Path, store: ObjectStore, tmp_path: Path) -> None:
    write_photo(photos / "a.jpg")
    arguments = ["crop", str(photos), "-o", "s3://shots/x", "--manifest", str(tmp_path / "m.csv")]
    assert CliRunner().invoke(cli, arguments).exit_code == ExitCode.OK
    assert [row["file"] for row in _rows(tmp_path / "m.csv")] == [
        f"a.jpg.{shot}.jpg" for shot in ("establishing", "medium", "close_up")
    ]


def test_a_damaged_sidecar_is_named(composer: FakeComposer, store: ObjectStore, tmp_path: Path) -> None:
    store.client().put_object(Bucket="shots", Key="x/a.jpg.json", Body=b"{}")
    result = CliRunner().invoke(cli, ["export", "s3://shots/x", "--manifest", str(tmp_path / "m.csv")])
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "s3://shots/x/a.jpg.json: not a sidecar" in result.stderr
