"""Several machines, each with `--shard`, crop one library into one output."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, no_people, picture, write_photo
from shotcrop_cli import CropOptions, RunResult, crop_photos
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.results import PhotoStatus
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.library.up_to_date import INDEX_NAME
from shotcrop_cli.main import cli


@pytest.fixture
def library(photos: Path, composer: FakeComposer) -> Path:
    composer.answer = lambda image, aspect: (
        no_people(image, aspect) if aspect > 1.9 else FakeComposer().answer(image, aspect)
    )
    for number in range(24):
        size = (160, 80) if number % 5 == 0 else (120 + number, 90)
        write_photo(photos / f"{number % 3}" / f"IMG_{number:02}.jpg", picture(*size))
    write_photo(photos / "same.jpg")
    write_photo(photos / "SAME.jpg")
    (photos / "bad.png").write_bytes(b"no photo")
    write_photo(photos / "lies.jpg", format="PNG")
    os.utime(photos / "lies.jpg", ns=(0, 1_700_000_000_000_000_000))
    return photos


def _tree(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and path.name != INDEX_NAME
    }


def _run(library: Path, output: Path, shard: str | None = None) -> RunResult:
    parsed = None if shard is None else Shard.parse(shard)
    return crop_photos(CropOptions(library, output, reproducible=True, workers=1, shard=parsed))


@pytest.mark.parametrize("together", [False, True])
def test_all_shards_give_the_tree_of_one_run(library: Path, tmp_path: Path, output: Path, together: bool) -> None:
    whole = _run(library, tmp_path / "whole")
    shards = [f"{number}/3" for number in (1, 2, 3)]
    with ThreadPoolExecutor(3 if together else 1) as machines:
        parts = list(machines.map(lambda shard: _run(library, output, shard), shards))
    assert _tree(output) == _tree(tmp_path / "whole")
    for status in PhotoStatus:
        assert sum(part.counts.get(status, 0) for part in parts) == whole.counts.get(status, 0)
    assert sorted(photo.source for part in parts for photo in part.failed) == sorted(p.source for p in whole.failed)
    assert {photo.source.name for photo in whole.failed} == {"same.jpg", "SAME.jpg", "bad.png"}
    assert all(part.counts[PhotoStatus.DONE] >= 2 for part in parts)
    again = _run(library, output)
    assert again.counts == {PhotoStatus.UNCHANGED: 25, PhotoStatus.FAILED: 3}
    assert _tree(output) == _tree(tmp_path / "whole")


def test_an_empty_shard_is_no_empty_library(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    codes = []
    for number in (1, 2, 3):
        arguments = ["crop", str(photos), "-o", str(output), "--fail-if-empty", "--shard", f"{number}/3"]
        result = CliRunner().invoke(cli, arguments)
        assert "no photos" not in result.stderr
        codes.append(result.exit_code)
    assert codes == [ExitCode.OK] * 3
    assert len(composer.seen) == 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "one/two"])
def test_what_is_no_shard_is_wrong_usage(photos: Path, output: Path, text: str) -> None:
    photos.mkdir()
    result = CliRunner().invoke(cli, ["crop", str(photos), "-o", str(output), "--shard", text])
    assert result.exit_code == ExitCode.USAGE
    assert "shard" in result.stderr


def test_renamed_and_deleted_photos_of_all_shards_are_noticed_once(library: Path, output: Path) -> None:
    _run(library, output)
    for number in range(0, 24, 2):
        folder = library / f"{number % 3}"
        (folder / f"IMG_{number:02}.jpg").rename(folder / f"renamed {number}.jpg")
    (library / "1" / "IMG_01.jpg").unlink()
    for _ in range(2):  # a shard cannot know whether another one will let the crops follow
        parts = [_run(library, output, f"{number}/3") for number in (1, 2, 3)]
    assert sum(part.counts.get(PhotoStatus.ORPHAN, 0) for part in parts) == 1
    assert sum(part.counts.get(PhotoStatus.UNCHANGED, 0) for part in parts) == 24
    assert sum(part.counts.get(PhotoStatus.DONE, 0) for part in parts) == 0
