"""Photos of one name from several libraries, and libraries that move, below one output folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import picture, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")
BOX = {"x": 1, "y": 2, "width": 33, "height": 44}


def _run(*arguments: object, code: ExitCode = ExitCode.OK) -> str:
    result: Result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.fixture
def old(tmp_path: Path, output: Path) -> Path:
    """Return a library that was cropped."""
    folder = tmp_path / "old"
    write_photo(folder / "a.jpg")
    _run("crop", folder, "-o", output)
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return a library with another photo of the same name and size."""
    folder = tmp_path / "other"
    write_photo(folder / "a.jpg", picture().rotate(180))
    return folder


def _set_by_hand(output: Path) -> None:
    sidecar = output / "a.jpg.json"
    document = json.loads(sidecar.read_bytes())
    document["shots"][1]["box"] = BOX
    sidecar.write_text(json.dumps(document), "utf-8")


def _crops(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("a.jpg.*")}


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize("prepare", [lambda _: None, _set_by_hand])
def test_another_photo_of_the_same_name_replaces_nothing(
    old: Path, other: Path, output: Path, options: tuple[str, ...], prepare: Callable[[Path], None]
) -> None:
    prepare(output)
    before = _crops(output)
    messages = _run("crop", other, "-o", output, *options, code=ExitCode.SOME_FAILED)
    assert f"its crops would replace those of {old / 'a.jpg'}" in messages
    assert _crops(output) == before


def test_boxes_set_by_hand_are_not_used_for_another_photo(old: Path, other: Path, output: Path) -> None:
    _set_by_hand(output)
    before = _crops(output)
    assert "would replace" in _run("apply", output, "--photos", other, code=ExitCode.SOME_FAILED)
    old.rename(old.with_name("unmounted"))
    messages = _run("crop", other, "-o", output, code=ExitCode.SOME_FAILED)
    assert f"somebody set boxes by hand for {old / 'a.jpg'}, which is gone" in messages
    assert _crops(output) == before
    _run("apply", output, "--photos", other)  # now somebody says that it is the same
    assert read(output / "a.jpg.json").source.path == str(other / "a.jpg")
    assert "1 unchanged" in _run("crop", other, "-o", output)


def test_a_library_that_was_moved_and_then_changed_is_done_again(old: Path, output: Path) -> None:
    new = old.rename(old.with_name("new"))
    assert "0 done, 1 unchanged" in _run("crop", new, "-o", output)
    write_photo(new / "a.jpg", picture(90, 80))
    assert "1 done" in _run("crop", new, "-o", output)


@pytest.mark.parametrize("runs", [1, 2])
def test_a_copy_takes_the_place_of_the_library_it_was_copied_from(old: Path, output: Path, runs: int) -> None:
    for _ in range(runs):  # the second lets the index know the photo
        _run("crop", old, "-o", output)
    new = old.with_name("new")
    shutil.copytree(old, new)
    assert "0 done, 1 unchanged" in _run("crop", new, "-o", output)
    assert read(output / "a.jpg.json").source.path == str(new / "a.jpg")
    write_photo(new / "a.jpg", picture(90, 80))
    assert "1 done" in _run("crop", new, "-o", output)


def test_boxes_set_by_hand_but_not_cropped_yet_survive_a_move(old: Path, output: Path) -> None:
    _set_by_hand(output)
    new = old.rename(old.with_name("new"))
    _run("crop", new, "-o", output)
    assert read(output / "a.jpg.json").shots[1].box.width == BOX["width"]
    assert "1 done" in _run("apply", output, "--photos", new)
