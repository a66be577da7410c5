"""Crops that somebody copied among the photos: recognised by their metadata or their sidecar, and not cropped again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.metadata.xmp import OWN_CROP
from shotcrop_cli.main import cli


def _crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def _statuses(result: Result) -> dict[str, str]:
    return {Path(line["source"]).name: line["status"] for line in map(json.loads, result.stdout.splitlines())}


@pytest.fixture
def crops(tmp_path: Path, composer: FakeComposer) -> Path:
    """Return an output folder with the crops of a photo in each format."""
    for name in ("a.jpg", "b.png", "c.webp", "d.tif", "e.avif"):
        write_photo(tmp_path / "old" / name)
    _crop(tmp_path / "old", "-o", tmp_path / "old-shots", "--name-template", "{shot}/{name}")
    composer.seen.clear()
    return tmp_path / "old-shots" / "medium"


def test_crops_in_every_format_are_recognised_under_any_name(
    photos: Path, output: Path, crops: Path, composer: FakeComposer
) -> None:
    shutil.copytree(crops, photos)
    for number, path in enumerate(sorted(photos.iterdir())):
        path.rename(photos / f"holiday {number}{path.suffix}")
    write_photo(photos / "new.jpg")
    planned = _crop(photos, "-o", output, "--dry-run")
    assert planned.stdout.count("\n") == 1
    assert planned.stdout.startswith(f"{photos}/new.jpg -> ")
    for _ in range(2):
        result = _crop(photos, "-o", output)
        assert (
            "5 photos are crops or sheets by shotcrop and skipped; to crop them, add --include-crops" in result.stderr
        )
    assert len(composer.seen) == 1
    statuses = _statuses(_crop(photos, "-o", output, "--json"))
    assert sorted(statuses.values()) == ["skipped"] * 5 + ["unchanged"]


def test_crops_are_cropped_on_request_and_then_stay_up_to_date(photos: Path, output: Path, crops: Path) -> None:
    photos.mkdir()
    named = shutil.copy(crops / "a.jpg", photos / "b.jpg")
    assert "1 photo is a crop or sheet by shotcrop and skipped" in _crop(named, "-o", output).stderr
    assert "1 done" in _crop(named, "-o", output, "--include-crops").stderr
    assert "0 done, 1 unchanged" in _crop(photos, "-o", output).stderr
    assert (output / "b.jpg.medium.jpg").read_bytes().count(OWN_CROP) == 1


def test_crops_without_metadata_are_recognised_by_the_sidecar_that_was_copied_along(
    photos: Path, output: Path, tmp_path: Path, composer: FakeComposer
) -> None:
    write_photo(tmp_path / "old" / "a.jpg")
    _crop(tmp_path / "old", "-o", tmp_path / "old-shots", "--metadata", "none")
    shutil.copytree(tmp_path / "old-shots", photos, ignore=shutil.ignore_patterns(".*"))
    assert not any(OWN_CROP in path.read_bytes() for path in photos.glob("*.jpg"))
    assert "3 photos are crops or sheets by shotcrop" in _crop(photos, "-o", output).stderr
    (photos / "a.jpg.json").write_text('{"schema": "shotcrop/1", "shots": [1]}')
    assert "3 done" in _crop(photos, "-o", output).stderr


def test_skipped_crops_do_not_use_up_the_limit(photos: Path, output: Path, crops: Path) -> None:
    shutil.copytree(crops, photos)
    write_photo(photos / "z.jpg")
    assert "1 done" in _crop(photos, "-o", output, "--limit", 1).stderr


def test_sheets_and_pictures_of_pages_are_no_photos(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output, "--sheet", photos / "run.jpg")
    for arguments in (
        ["sheet", output, "-o", photos / "sheet.jpg"],
        ["sheet", output, "-o", photos / "sheet.png", "--layout", "triptych"],
        ["sheet", output, "-o", photos / "story.jpeg", "--layout", "story"],
        ["review", output, "--static", photos / "page"],
    ):
        result = CliRunner().invoke(cli, list(map(str, arguments)))
        assert result.exit_code == ExitCode.OK, result.output
    pictures = 4 + len([*(photos / "page" / "pictures").iterdir()])
    assert pictures > 4
    composer.seen.clear()
    assert "dry run: 0 to do, 1 unchanged" in _crop(photos, "-o", output, "-n").stderr
    result = _crop(photos, "-o", output)
    assert f"{pictures} photos are crops or sheets by shotcrop and skipped" in result.stderr
    assert composer.seen == []
