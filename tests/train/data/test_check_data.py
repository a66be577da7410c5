from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import picture, write_photo
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_train.data.check_data import Finding, check
from training import write_dataset

ROOT = Path(__file__).parents[3]
Row = dict[str, Any]


def good_row() -> Row:
    return {
        "file_name": "a.jpg", "source": "made", "width": 120, "height": 80,
        "annotation": {
            "people": 1, "setting": "outdoor", "facing": "camera", "native_scale": "full",
            "scene": "A field.", "subject": "A man.", "story": "He waits.",
            "shots": {
                "establishing": {"box": [0, 0, 1000, 1000], "caption": "A man stands in a wide and empty field"},
                "medium": {"box": [200, 100, 800, 700], "caption": "A man in a coat holds his hat in both hands"},
                "close_up": {"box": [400, 100, 600, 300], "caption": "His calm face looks straight into the camera"},
            },
        },
        "detections": {"persons": [], "faces": [face(450, 150, 550, 250)]},
    }  # fmt: skip


def face(*box: int) -> Row:
    x0, y0, x1, y1 = box
    eyes, mouth = y0 + (y1 - y0) // 3, y1 - (y1 - y0) // 4
    points = [
        [x0 + 20, eyes],
        [x1 - 20, eyes],
        [(x0 + x1) // 2, (eyes + mouth) // 2],
        [x0 + 30, mouth],
        [x1 - 30, mouth],
    ]
    return {"box": list(box), "score": 0.9, "landmarks": points}


def write(folder: Path, *rows: Row | str) -> Path:
    write_photo(folder / "a.jpg")
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def faults(folder: Path) -> list[Finding]:
    return [finding for finding in check(folder) if finding.severity != "note"]


def changed(change: Callable[[Row], object]) -> Row:
    row = good_row()
    change(row)
    return row


def annotated(**changes: object) -> Row:
    return changed(lambda row: row["annotation"].update(changes))


def shot(kind: str, **changes: object) -> Row:
    return changed(lambda row: row["annotation"]["shots"][kind].update(changes))


def test_a_sound_dataset_is_counted_and_nothing_else(tmp_path: Path) -> None:
    empty = {"file_name": "b.jpg", "width": 60, "height": 90, "no_subject": True}
    folder = write(tmp_path, good_row(), "", empty)
    write_photo(folder / "b.jpg", Image.linear_gradient("L").resize((60, 90)))
    assert [str(finding) for finding in check(folder)] == [
        "note: 2 rows can be read: 1 with three shots, 1 without people, 0 with neither",
        "note: shots to learn from: establishing 1, medium 1, close_up 1",
        "note: setting: indoor 0, outdoor 1, not given 0",
        "note: facing: camera 1, left 0, right 0, away 0, down 0, up 0, not given 0",
    ]


ERRORS: dict[str, tuple[Row | str, str]] = {
    "no JSON": ('{"file_name": ', "this line is not JSON"),
    "a list": ("[1, 2]", "must be one object in braces"),
    "no name": (changed(lambda row: row.pop("file_name")), "file_name, the photo's name, is missing"),
    "no photo": (changed(lambda row: row.update(file_name="c.jpg")), "there is no such photo in"),
    "outside": (changed(lambda row: row.update(file_name="../a.jpg")), "must be inside the dataset's folder"),
    "other size": (changed(lambda row: row.update(width=60)), "must be 120 and 80, not 60 and 80"),
    "turned": (changed(lambda row: row.update(width=80, height=120)), "these are the sides of the upright photo"),
    "no size": (changed(lambda row: row.pop("width")), "must be 120 and 80, not None and 80"),
    "setting": (annotated(setting="space"), 'setting must be one of indoor, outdoor, not "space"'),
    "facing": (annotated(facing="north"), "facing must be one of camera, left"),
    "native scale": (annotated(native_scale=["full"]), "native_scale must be one of wide"),
    "people": (annotated(people=0), "people must be the number of people, 1 or more, not 0"),
    "annotation": (changed(lambda row: row.update(annotation="good")), "annotation must be an object"),
    "no shots": (changed(lambda row: row["annotation"].pop("shots")), "it holds establishing, medium and close_up"),
    "shot missing": (changed(lambda row: row["annotation"]["shots"].pop("medium")), "the medium shot is missing"),
    "unknown shot": (
        changed(lambda row: row["annotation"]["shots"].update(detail={})),
        "there is no shot 'detail': the three shots are establishing, medium, close_up",
    ),
    "no box": (changed(lambda row: row["annotation"]["shots"]["medium"].pop("box")), "must be four numbers"),
    "three sides": (shot("medium", box=[1, 2, 3]), "medium: the box must be four numbers, [left, top, right, bottom]"),
    "words": (shot("medium", box=["1", 2, 3, 4]), "medium: the box must be four numbers"),
    "turned around": (shot("medium", box=[800, 100, 200, 700]), "is turned around: write [left, top, right, bottom]"),
    "upside down": (shot("medium", box=[200, 700, 800, 100]), "top before bottom"),
    "empty box": (shot("medium", box=[200, 100, 200, 700]), "the box [200, 100, 200, 700] is empty"),
    "pixels": (shot("medium", box=[200, 100, 1800, 700]), "run from 0 to 1000, whatever the photo's size in pixels"),
    "negative": (shot("medium", box=[-5, 100, 800, 700]), "leaves the photo"),
    "shares": (shot("medium", box=[0.2, 0.1, 0.8, 0.7]), "sides run from 0 to 1000, not from 0 to 1"),
    "not finite": (json.dumps(shot("medium", box=[0, 0, 5, 7])).replace("[0, 0, 5, 7]", "[NaN, 1, 5, 7]"), "leaves"),
    "medium wider": (shot("establishing", box=[300, 200, 700, 600]), "medium shot is not smaller than the establ"),
    "close-up wider": (shot("close_up", box=[100, 50, 900, 900]), "close_up shot is not smaller than the medium"),
    "caption number": (shot("medium", caption=7), "medium: the caption must be text"),
    "no people and shots": (changed(lambda row: row.update(no_subject=True)), "either no_subject or has an annotation"),
    "accepted": (shot("medium", accepted="no"), "accepted must be true or false"),
    "squashed": (changed(lambda row: row.update(squashed="no")), "squashed must be true or false"),
    "joints": (
        changed(lambda row: row["detections"]["faces"][0].update(landmarks=[[1, 1]] * 4)),
        "a face has 5 landmarks, not 4",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_each_error_is_named_once_with_its_line(tmp_path: Path, row: Row | str, message: str) -> None:
    if message.startswith("there is no such photo"):
        message += f" {tmp_path}"
    found = [finding for finding in check(write(tmp_path, "", row)) if finding.severity == "error"]
    (finding,) = found
    assert finding.line == 2 and message in finding.message
    assert "\n" not in str(finding) and str(finding).startswith("line 2")


WARNINGS: dict[str, tuple[Row, str]] = {
    "misspelt": (changed(lambda row: row.update(no_subjects=True)), "did you mean 'no_subject'?"),
    "misspelt in annotation": (annotated(settings="indoor"), "annotation has an unknown field 'settings'"),
    "misspelt in shot": (shot("medium", captions="x"), "the medium shot has an unknown field 'captions'"),
    "own field": (changed(lambda row: row.update(mood="sad")), "unknown field 'mood': known fields are file_name"),
    "empty caption": (shot("medium", caption=" "), "medium: the caption is empty"),
    "no caption": (
        changed(lambda row: row["annotation"]["shots"]["close_up"].pop("caption")),
        "close_up: the caption is empty",
    ),
    "long caption": (shot("medium", caption="very " * 30), "medium: the caption has 30 words; write 6 to 18"),
    "brackets": (shot("medium", caption="a man < a horse"), "medium: remove < and > from the caption"),
    "other shot": (
        shot("medium", caption="A close-up of his face in the evening light"),
        "medium: the caption names another shot ('close-up')",
    ),
    "same captions": (
        shot("medium", caption="A MAN stands in a wide and empty field"),
        "establishing and medium have the same caption: say what each box shows",
    ),
    "no reasoning": (annotated(scene="", story=None), "scene, story: empty"),
    "cut chin": (
        changed(lambda row: row["detections"]["faces"].__setitem__(0, face(450, 200, 550, 330))),
        "the close-up cuts the chin",
    ),
    "cut face": (
        changed(lambda row: row["detections"]["faces"].__setitem__(0, face(380, 150, 480, 250))),
        "the close-up cuts the face, it shows 80% of it: make the box wider",
    ),
}


@pytest.mark.parametrize(("row", "message"), WARNINGS.values(), ids=WARNINGS.keys())
def test_each_warning_is_named_once_and_the_dataset_can_be_read(tmp_path: Path, row: Row, message: str) -> None:
    if row["annotation"]["story"] is None:
        row["annotation"]["story"] = ""
    (finding,) = faults(write(tmp_path, row))
    assert (finding.line, finding.photo, finding.severity) == (1, "a.jpg", "warning")
    assert message in finding.message
    assert len(read_dataset(tmp_path)) == 1


def test_a_caption_may_name_its_own_shot_and_medium_things(tmp_path: Path) -> None:
    assert faults(write(tmp_path, shot("close_up", caption="A close-up of medium length hair"))) == []


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"cut"])
def test_a_damaged_photo_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path, good_row())
    whole = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2] if content == b"cut" else content)
    (finding,) = faults(folder)
    assert finding.severity == "error" and "cannot be opened, export it again" in finding.message


def test_photos_are_measured_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = write(tmp_path, changed(lambda row: row.update(width=80, height=120)))
    write_photo(folder / "a.jpg", exif=exif)
    assert faults(folder) == []


def named(name: str) -> Row:
    return changed(lambda row: row.update(file_name=name))


def test_doubled_rows_and_photos_are_named_with_their_twin(tmp_path: Path) -> None:
    folder = write(tmp_path, good_row(), named("copy.jpg"), named("again.png"), good_row(), named("other.jpg"))
    shutil.copy(folder / "a.jpg", folder / "copy.jpg")
    picture().save(folder / "again.png")
    write_photo(folder / "other.jpg", picture().rotate(180))
    assert [(finding.line, finding.severity, finding.message) for finding in faults(folder)] == [
        (2, "error", "the photo is a copy of a.jpg"),
        (3, "warning", "the photo looks like a.jpg: is it the same one?"),
        (4, "error", "this photo has a row already, line 1"),
    ]


def test_photos_without_a_row_are_counted(tmp_path: Path) -> None:
    folder = write(tmp_path, good_row())
    for name in ("b.jpg", "c.png", "deep/d.jpg", "e.jpg"):
        write_photo(folder / name)
    (finding,) = faults(folder)
    assert str(finding) == "warning: photos without a row in metadata.jsonl: 4 (b.jpg, c.png, deep/d.jpg, ...)"


def test_rejected_shots_are_not_counted_and_may_be_out_of_order(tmp_path: Path) -> None:
    row = shot("establishing", box=[300, 200, 700, 600], accepted=False)
    row["annotation"]["shots"]["close_up"] |= {"box": [380, 100, 480, 300], "accepted": False}
    findings = check(write(tmp_path, row))
    assert [finding.severity for finding in findings] == ["note"] * 4
    assert "establishing 0, medium 1, close_up 0" in findings[1].message


def test_rare_settings_and_directions_are_warned_of(tmp_path: Path) -> None:
    write_dataset(tmp_path / "made", 50, "experts")
    found = [finding.message for finding in faults(tmp_path / "made") if finding.line is None]
    assert found == [
        "setting: hardly any photo is indoor; add more of these",
        "facing: hardly any photo is left, right, away, down, up; add more of these",
    ]


def test_a_folder_without_metadata_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match=r"has no metadata\.jsonl"):
        check(tmp_path)


def test_the_worked_example_of_the_guide_is_sound(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "annotating.md").read_text("utf-8")
    example = re.search(r"^```json\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert example is not None
    row = json.loads(example[1])
    shutil.copy(ROOT / "examples" / "photos" / row["file_name"], tmp_path)
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
    assert faults(tmp_path) == []
    (record,) = read_dataset(tmp_path)
    assert record.composition is not None and record.composition.reasoning.story


def test_the_guide_explains_every_field() -> None:
    from shotcrop_train.data.check_data import ANNOTATION_FIELDS, ROW_FIELDS, SHOT_FIELDS

    guide = (ROOT / "docs" / "annotating.md").read_text("utf-8")
    # What pseudo labels say of their making is no labeller's business.
    for field in {*ROW_FIELDS, *ANNOTATION_FIELDS, *SHOT_FIELDS} - {"pseudo"}:
        assert f"`{field}`" in guide or f'"{field}"' in guide


def shape(line: str) -> str:
    """Return a line that the check prints without what differs from dataset to dataset."""
    line = re.sub(r"line \d+, [\w.]+", "line", line)
    return re.sub(r"\d+", "N", line) if line.startswith("note") else line


def test_the_guide_shows_what_the_check_prints(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "annotating.md").read_text("utf-8")
    (block,) = re.findall(r"^```text\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    rows = shot("medium", box=[700, 100, 300, 600]), shot("close_up", caption="")
    printed = {
        shape(str(finding)) for place, row in enumerate(rows) for finding in check(write(tmp_path / str(place), row))
    }
    assert set(map(shape, block.splitlines())) <= printed
