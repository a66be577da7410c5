"""`shotcrop learn` from crops to crops, with a tiny model that sees the same person in every photo."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import names_in, write_photo
from shotcrop_cli.errors import ExitCode, OutputError
from shotcrop_cli.learning.style_folder import StyleRecord, read_style_record, write_style
from shotcrop_cli.main import cli
from shotcrop_cli.model.bundle import EXPORT_RECORD, read_bundle
from shotcrop_cli.model.nano.manifest import DETECTOR, DETECTOR_INT8, NanoManifest, ShotStyle, Style
from tiny_nano import write_tiny_model

PHOTOS = 12


def run(command: str, *arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, [command, *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, photos, and their crops that no one has edited yet."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "tiny").mkdir()
    write_tiny_model(folder / "tiny")
    for number in range(PHOTOS):
        write_photo(folder / "photos" / f"{number:02}.jpg", Image.new("RGB", (300, 200), (number, 90, 120)))
    run("crop", folder / "photos", "-o", folder / "untouched", "-m", folder / "tiny", "--no-images")
    return folder


@pytest.fixture
def shots(library: Path, tmp_path: Path) -> Path:
    """Return a copy of these crops, to be edited."""
    copy = tmp_path / "shots"
    copy.mkdir()
    for path in (library / "untouched").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def edit(shots: Path, count: int = PHOTOS, by: tuple[int, int] = (6, 1)) -> None:
    """Move the sides of close-ups inwards by so many pixels, give or take the second number, in the first photos."""
    chance = random.Random(1)
    for path in sorted(shots.glob("*.jpg.json"))[:count]:
        document = json.loads(path.read_text())
        box = document["shots"][2]["box"]
        left, right = (by[0] + chance.randint(-by[1], by[1]) for _ in range(2))
        document["shots"][2]["box"] = {**box, "x": box["x"] + left, "width": box["width"] - left - right}
        path.write_text(json.dumps(document))


def close_up(path: Path) -> dict[str, Any]:
    box: dict[str, Any] = json.loads(path.read_text())["shots"][2]["box"]
    return box


def test_a_style_is_learned_and_crops_like_the_person(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots)
    style = tmp_path / "my-style"
    result = run("learn", shots, "-o", style, "-m", library / "tiny")
    assert result.stdout == f"{style}\n"
    assert f"{PHOTOS} photos: you moved {PHOTOS} boxes, kept {2 * PHOTOS} and rejected 0" in result.stderr
    assert f"closer to your boxes on {PHOTOS} of {PHOTOS} photos, farther on 0" in result.stderr
    assert "medium: 1.000 -> 1.000, left as it is" in result.stderr
    assert f"--model {style}" in result.stderr
    new = write_photo(tmp_path / "new" / "a.jpg", Image.new("RGB", (300, 200), "grey")).parent
    run("crop", new, "-o", tmp_path / "plain", "-m", library / "tiny", "--no-images")
    run("crop", new, "-o", tmp_path / "mine", "-m", style, "--no-images")
    plain, mine = (close_up(tmp_path / name / "a.jpg.json") for name in ("plain", "mine"))
    assert abs(mine["x"] - plain["x"] - 6) <= 1
    assert abs(mine["width"] - plain["width"] + 12) <= 2
    assert (mine["y"], mine["height"]) == (plain["y"], plain["height"])
    sidecar = json.loads((tmp_path / "mine" / "a.jpg.json").read_text())
    assert sidecar["model"]["id"] == "my-style"
    assert sidecar["model"]["sha256"] != read_bundle(library / "tiny").sha256
    again = run("crop", new, "-o", tmp_path / "plain", "-m", style, "--no-images", "-n")
    assert "(the model changed)" in again.stdout
    assert "1 unchanged" in run("crop", new, "-o", tmp_path / "mine", "-m", style, "--no-images").stderr


def test_edits_without_a_pattern_write_nothing(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots, by=(0, 12))
    result = run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny", code=ExitCode.NOT_BETTER)
    assert "not surely better for you than the model; nothing was written" in result.stderr
    assert "closer to your boxes on" in result.stderr
    assert names_in(tmp_path) == ["shots"]


def test_a_few_edits_are_too_few(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots, 7)
    result = run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny", code=ExitCode.NOT_BETTER)
    assert "7 photos with a box that you moved are too few" in result.stderr


def test_a_dry_run_says_what_a_style_would_be_worth(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots)
    result = run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny", "--dry-run")
    assert (result.stdout, "dry run: nothing was written" in result.stderr) == ("", True)
    assert names_in(tmp_path) == ["shots"]


def test_a_style_gives_way_only_to_one_from_as_many_photos(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots, 10)
    style, start = tmp_path / "s", ("-m", library / "tiny")
    run("learn", shots, "-o", style, *start)
    first = read_bundle(style).sha256
    record = read_style_record(style)
    assert record is not None
    assert (record.photos, record.boxes) == (10, 30)
    assert record.after > record.before
    edit(shots, 2)  # these two are moved twice
    run("learn", shots, "-o", style, *start)
    assert read_bundle(style).sha256 != first
    (shots / "00.jpg.json").unlink()
    result = run("learn", shots, "-o", style, *start, code=ExitCode.USAGE)
    assert "was learned from 10 photos, and here are 9" in result.stderr


def test_what_a_style_cannot_start_from_is_refused(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots)
    run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny")
    result = run("learn", shots, "-o", tmp_path / "t", "-m", tmp_path / "s", code=ExitCode.MODEL)
    assert "has a style already" in result.stderr
    (tmp_path / "notes").mkdir()
    for taken in (tmp_path / "notes", library / "tiny", shots / "00.jpg.json"):
        result = run("learn", shots, "-o", taken, "-m", library / "tiny", code=ExitCode.OUTPUT)
        assert "exists and is no style of shotcrop" in result.stderr


def test_photos_that_are_gone_are_named_and_left_out(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots)
    sidecar = shots / "03.jpg.json"
    document = json.loads(sidecar.read_text())
    document["source"]["path"] = str(library / "photos" / "gone.jpg")
    (shots / "gone.jpg.json").write_text(json.dumps(document))
    sidecar.unlink()
    result = run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny", "-n")
    assert "warning: " in result.stderr
    assert "gone.jpg" in result.stderr
    assert f"{PHOTOS - 1} photos: you moved" in result.stderr


def test_photos_that_were_looked_at_count_on_request(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots, 9)
    arguments = ("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny", "-n")
    assert "9 photos: you moved 9 boxes, kept 18" in run(*arguments).stderr
    assert (
        "12 photos: you moved 9 boxes, kept 27" in CliRunner().invoke(cli, [*map(str, arguments), "--reviewed"]).stderr
    )


def test_an_altered_style_is_refused(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots)
    run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny")
    manifest = tmp_path / "s" / "model.json"
    manifest.write_text(manifest.read_text().replace('"spread"', '"spread" '))
    result = run("crop", library / "photos", "-o", tmp_path / "out", "-m", tmp_path / "s", code=ExitCode.MODEL)
    assert "is altered or damaged" in result.stderr
    with pytest.raises(OutputError, match="is no style"):
        read_style_record(tmp_path / "s")


def test_a_style_names_the_model_it_corrects(library: Path, shots: Path, tmp_path: Path) -> None:
    edit(shots)
    run("learn", shots, "-o", tmp_path / "s", "-m", library / "tiny")
    manifest = read_bundle(tmp_path / "s").manifest
    assert isinstance(manifest, NanoManifest)
    assert manifest.style.base == read_bundle(library / "tiny").sha256
    assert [bool(shot.weights) for shot in manifest.style.shots] == [False, False, True]
    assert {path.name for path in (tmp_path / "s").iterdir()} == {path.name for path in (library / "tiny").iterdir()}


def test_every_file_of_the_model_is_copied(library: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / DETECTOR_INT8).write_bytes((folder / DETECTOR).read_bytes())
    record = json.loads((folder / EXPORT_RECORD).read_text())
    record["sha256"][DETECTOR_INT8] = record["sha256"][DETECTOR]
    (folder / EXPORT_RECORD).write_text(json.dumps(record))
    base, closer = read_bundle(folder), ShotStyle(weights=((0.1, 0.1, -0.1, -0.1),))
    made = write_style(base, Style((ShotStyle(), ShotStyle(), closer)), StyleRecord(9, 27, 0.7, 0.8), tmp_path / "s")
    assert set(made.hashes) == set(base.hashes)
    assert made.sha256 != base.sha256
    assert read_style_record(tmp_path / "s") == StyleRecord(9, 27, 0.7, 0.8)
