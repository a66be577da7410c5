"""Runs that nobody watches: empty mounts, a time limit, and photos without people."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import FakeComposer, fixed_composition, names_in, no_people, write_photo
from shotcrop_cli import CropOptions, crop_photos
from shotcrop_cli.cli.crop_options import max_time_option
from shotcrop_cli.errors import EmptyError, ExitCode
from shotcrop_cli.library.output_folder import output_lock
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Answer

pytestmark = pytest.mark.usefixtures("composer")


def _crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--include", "*.png"]])
def test_an_empty_mount_is_an_error_on_request(photos: Path, output: Path, options: list[str]) -> None:
    photos.mkdir()
    if "--include" in options:
        write_photo(photos / "a.jpg")
    assert "warning: no photos found" in _crop(photos, "-o", f"{output}-warned", *options).stderr
    (line,) = _crop(photos, "-o", output, "--fail-if-empty", *options, code=ExitCode.EMPTY).stderr.splitlines()
    assert line == "error: no photos found. Fix: check that the disk with the photos is mounted"
    assert not output.exists()


def test_the_api_raises_an_error_for_an_empty_folder_on_request(photos: Path, output: Path) -> None:
    photos.mkdir()
    with pytest.raises(EmptyError):
        crop_photos(CropOptions(photos, output, fail_if_empty=True))


def test_photos_that_are_unchanged_or_fail_are_not_nothing(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    for _ in range(2):
        _crop(photos, "-o", output, "--fail-if-empty")
    (photos / "a.jpg").write_bytes(b"")
    _crop(photos, "-o", output, "--fail-if-empty", code=ExitCode.SOME_FAILED)


def _slow(composer: FakeComposer, seconds: float = 0.3) -> None:
    def answer(_image: Image.Image, _aspect: float) -> Answer:
        time.sleep(seconds)
        return fixed_composition()

    composer.answer = answer


def test_a_run_ends_after_its_time_and_says_what_is_left(photos: Path, output: Path, composer: FakeComposer) -> None:
    for number in range(40):
        write_photo(photos / f"{number:02}.png")
    _slow(composer)
    result = _crop(photos, "-o", output, "--max-time", "4s", "-b", 1, "-j", 1, "-q", code=ExitCode.UNFINISHED)
    done = sum(name.endswith(".json") for name in names_in(output))
    assert 1 <= done <= 20
    assert len(composer.seen) == done  # what was begun is finished
    assert result.stderr.startswith(f"{done} done, 0 unchanged, 0 without people, 0 failed in ")
    assert f", {40 - done} left when the time was over" in result.stderr
    composer.answer = lambda _image, _aspect: fixed_composition()
    rest = _crop(photos, "-o", output, "--max-time", "1h", code=ExitCode.OK)
    assert f"{40 - done} done, {done} unchanged" in rest.stderr
    assert "left" not in rest.stderr


def test_a_run_waits_for_another_one_no_longer_than_its_time(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    with output_lock(output):
        _crop(photos, "-o", output, "--wait", "forever", "--max-time", "1s", code=ExitCode.LOCKED)


def test_time_that_is_over_before_the_first_photo_leaves_all(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_photo(photos / name)
    write_photo(photos / "c.jpg").write_bytes(b"x")
    result = crop_photos(CropOptions(photos, output, max_time=0.0))
    assert (result.left, result.exit_code) == (3, ExitCode.UNFINISHED)
    assert composer.seen == []
    result = crop_photos(CropOptions(photos, output))
    assert (result.left, result.exit_code) == (0, ExitCode.SOME_FAILED)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6h", 21600), ("90m", 5400), ("1h30m", 5400), ("1h 30m", 5400), ("45s", 45), ("3600", 3600), ("1h1m1s", 3661)],
)
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    def command() -> None:
        pass

    max_time_option(command)
    (option,) = command.__click_params__  # type: ignore[attr-defined]
    assert option.type_cast_value(None, text) == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "0", "6 hours", "-1h", "1.5h", "h", "1m1h", "6H"])
def test_what_is_no_time_is_refused(photos: Path, output: Path, text: str) -> None:
    photos.mkdir()
    assert (
        "is not a time such as 6h, 90m or 1h30m"
        in _crop(photos, "-o", output, f"--max-time={text}", code=ExitCode.USAGE).stderr
    )


def test_photos_without_people_are_named(photos: Path, output: Path, composer: FakeComposer, tmp_path: Path) -> None:
    for number in range(25):
        write_photo(photos / f"{number:02}.jpg")
    composer.answer = no_people
    lines = _crop(photos, "-o", output).stderr.splitlines()
    named = [line for line in lines if line.startswith("without people: ")]
    assert len(named) == 21
    assert {line.removeprefix("without people: ") for line in named[:20]} <= {str(path) for path in photos.iterdir()}
    assert named[20] == "without people: 5 more; to list all, add --no-people-list FILE"
    assert "without people: " not in _crop(photos, "-o", output).stderr
    again = _crop(photos, "-o", output, "--no-people-list", tmp_path / "list")
    assert f"25 photos without people: see {tmp_path / 'list'}" in again.stderr
    assert sorted((tmp_path / "list").read_text().splitlines()) == [f"{photos}/{number:02}.jpg" for number in range(25)]


def test_photos_without_people_are_named_once_if_they_count_as_failed(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    path = write_photo(photos / "a.jpg")
    composer.answer = no_people
    stderr = _crop(photos, "-o", output, "--strict", code=ExitCode.SOME_FAILED).stderr
    assert stderr.count(str(path)) == 1


def test_a_run_with_a_limit_says_how_many_photos_it_leaves(photos: Path, output: Path, composer: FakeComposer) -> None:
    for number in range(5):
        write_photo(photos / f"{number}.jpg")
    planned = _crop(photos, "-o", output, "--limit", 2, "-n")
    assert "--limit leaves 3 photos to do. For the rest, leave out --limit.\n" in planned.stderr
    for left in ("3 photos", "1 photo"):
        said = f"--limit leaves {left} to do. For the rest, run the same command again, or without --limit.\n"
        assert said in _crop(photos, "-o", output, "--limit", 2).stderr
    assert "--limit" not in _crop(photos, "-o", output, "--limit", 2).stderr
