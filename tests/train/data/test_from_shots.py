from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import FIXED_BOXES, FakeComposer, write_photo
from shotcrop_cli import CropOptions, OutputError, ShotcropError, crop_photos
from shotcrop_cli.api import apply_sidecars
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.main import cli
from shotcrop_cli.run_options import ApplyOptions
from shotcrop_cli.shots import Box, ShotType
from shotcrop_train.data.check_data import check
from shotcrop_train.data.from_shots import import_shots

SET = {"x": 12, "y": 8, "width": 24, "height": 40}


@pytest.fixture
def shots(photos: Path, output: Path, composer: FakeComposer) -> Path:
    """Return an output folder with four photos of 120 x 80 pixels that no one has edited yet."""
    for number, name in enumerate(("set", "trip/kept", "rejected", "alone")):
        write_photo(photos / f"{name}.jpg", Image.effect_noise((120, 80), 20 + 30 * number))
    crop_photos(CropOptions(photos, output))
    return output


def edit(sidecar: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(sidecar.read_text())
    change(document)
    sidecar.write_text(json.dumps(document))


def correct(shots: Path) -> None:
    edit(shots / "set.jpg.json", lambda document: document["shots"][2].update(box=SET, caption="Ana, close"))
    edit(shots / "trip" / "kept.jpg.json", lambda document: document["shots"][1].update(edited=True))
    edit(shots / "rejected.jpg.json", lambda document: document.update(rejected=True))
    (shots / "set.jpg.medium.jpg").unlink()


def test_boxes_that_people_corrected_become_a_sound_dataset(shots: Path, photos: Path, tmp_path: Path) -> None:
    correct(shots)
    made = import_shots([shots], tmp_path / "data")
    assert (made.photos, made.boxes, made.problems) == (2, 5, ())
    corrected, kept = read_dataset(tmp_path / "data")
    assert corrected.path.samefile(photos / "set.jpg")
    assert kept.path.samefile(photos / "trip" / "kept.jpg")
    assert (corrected.accepted, kept.accepted) == ((True, False, True), (True, True, True))
    assert corrected.composition is not None
    assert corrected.composition[ShotType.CLOSE_UP].box == Box(0.1, 0.1, 0.3, 0.6)
    assert corrected.composition[ShotType.CLOSE_UP].caption == "Ana, close"
    assert kept.composition is not None
    assert {shot.type: shot.box for shot in kept.composition.shots} == FIXED_BOXES
    assert [finding for finding in check(tmp_path / "data") if finding.severity == "error"] == []


def test_an_applied_edit_is_still_one(shots: Path, tmp_path: Path) -> None:
    correct(shots)
    apply_sidecars(ApplyOptions((shots,)))
    import_shots([shots], tmp_path / "data")
    corrected = read_dataset(tmp_path / "data")[0].composition
    assert corrected is not None
    assert corrected[ShotType.CLOSE_UP].box == Box(0.1, 0.1, 0.3, 0.6)


def test_who_looked_at_all_photos_teaches_what_was_left_alone(shots: Path, tmp_path: Path) -> None:
    correct(shots)
    assert import_shots([shots], tmp_path / "data", reviewed=True).boxes == 2 + 3 + 3
    names = [record.path.name for record in read_dataset(tmp_path / "data")]
    assert names == ["alone.jpg", "set.jpg", "kept.jpg"]


def test_nothing_to_learn_from_is_an_error(shots: Path, tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="no one has set or kept a box"):
        import_shots([shots], tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_photo_that_is_gone_is_left_out_and_named(shots: Path, photos: Path, tmp_path: Path) -> None:
    correct(shots)
    (photos / "set.jpg").unlink()
    made = import_shots([shots], tmp_path / "data")
    assert made.photos == 1
    assert ["set.jpg" in problem for problem in made.problems] == [True]
    moved = tmp_path / "moved"
    photos.rename(moved)
    assert import_shots([shots], tmp_path / "again", [moved]).photos == 1


def test_two_folders_need_different_names(shots: Path, tmp_path: Path) -> None:
    correct(shots)
    with pytest.raises(ShotcropError, match="would be one photo"):
        import_shots([shots, shutil.copytree(shots, tmp_path / "copy")], tmp_path / "data")
    assert import_shots([shots, shots / "trip"], tmp_path / "data").photos == 2
    with pytest.raises(OutputError, match="exists already"):
        import_shots([shots], tmp_path / "data")


def test_the_command_counts_what_it_took(shots: Path, tmp_path: Path) -> None:
    correct(shots)
    arguments = ["train", "import-data", "--from-shots", str(shots), "-o", str(tmp_path / "data")]
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (ExitCode.OK, f"{tmp_path / 'data'}\n")
    assert "2 photos, 5 boxes that you set or kept" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give one of"),
        (["--from-shots", ".", "--coco", __file__], "Give one of"),
        (["--coco", __file__], "need --photos"),
        (["--coco", __file__, "--photos", ".", "--reviewed"], "--reviewed needs"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["train", "import-data", *options, "-o", str(tmp_path / "data")])
    assert (result.exit_code, message in result.stderr) == (ExitCode.USAGE, True)
