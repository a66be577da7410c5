"""The lines of `--json` carry boxes, captions and scores."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, no_people, write_photo
from shotcrop_cli.main import cli
from shotcrop_cli.shots import SHOT_TYPES

PAGE = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
pytestmark = pytest.mark.usefixtures("composer")


def records(*arguments: object) -> list[dict[str, object]]:
    result = CliRunner().invoke(cli, [*map(str, arguments), "--json"])
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_key_is_explained_in_order(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    (record,) = records("crop", photos, "-o", output)
    section = PAGE.partition("| key |")[2].partition("\n\n")
    cells = re.findall(r"^\| (`.*?) \|", section[0], re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`(.*?)`", cell)] == list(record)
    shots = record["shots"]
    assert isinstance(shots, list)
    for name in shots[0]:
        assert f"`{name}`" in section[2].partition("\n## ")[0]


def test_done_and_unchanged_photos_have_the_shots_of_their_sidecar(photos: Path, output: Path) -> None:
    write_photo(photos / "sub" / "a.jpg")
    for status in ("done", "unchanged"):
        (record,) = records("crop", photos, "-o", output)
        assert record["status"] == status
        sidecar = output / "sub" / "a.jpg.json"
        expected = json.loads(sidecar.read_bytes())["shots"]
        shots = record["shots"]
        assert isinstance(shots, list)
        assert [shot["shot"] for shot in shots] == list(map(str, SHOT_TYPES))
        for shot, recorded in zip(shots, expected, strict=True):
            assert Path(shot.pop("file")) == sidecar.parent / recorded["file"]
            assert shot == {
                name: {"alt_text": "", "person": "main", "set": "default", "left_out": None, **recorded}[name]
                for name in shot
            }  # sidecars leave out what is empty or ordinary


def test_the_lines_say_what_a_person_did(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    records("crop", photos, "-o", output)
    document = json.loads((output / "a.jpg.json").read_bytes())
    document["shots"][0].update({"box": {"x": 6, "y": 8, "width": 60, "height": 40}, "caption": "Ana"})
    (output / "a.jpg.json").write_text(json.dumps(document), "utf-8")
    (output / "a.jpg.medium.jpg").unlink()
    (record,) = records("apply", output)
    shots = record["shots"]
    assert isinstance(shots, list)
    assert shots[0]["box"] == {"x": 6, "y": 8, "width": 60, "height": 40}
    assert shots[0]["box_norm"] == [0.05, 0.1, 0.55, 0.6]
    assert (shots[0]["caption"], shots[0]["edited"]) == ("Ana", True)
    assert (shots[1]["file"], shots[1]["size"], shots[1]["rejected"]) == (None, None, True)


def test_other_photos_have_no_shots(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "planned.jpg")
    records("crop", photos, "-o", output)
    (photos / "failed.jpg").write_bytes(b"")
    composer.answer = no_people
    write_photo(photos / "empty.jpg")
    records("crop", photos / "empty.jpg", "-o", output)
    again = ("crop", photos, "-o", output, "--quality", "50")
    found = {Path(str(record["source"])).name: record for record in records(*again, "-n")}
    assert found["planned.jpg"]["status"] == "planned"
    assert [record["shots"] for record in found.values()] == [[]] * len(found)
    found = {Path(str(record["source"])).name: record for record in records("crop", photos, "-o", output)}
    assert (found["failed.jpg"]["status"], found["failed.jpg"]["shots"]) == ("failed", [])
    assert (found["empty.jpg"]["status"], found["empty.jpg"]["shots"]) == ("unchanged", [])
