import json
from pathlib import Path
from typing import Any

import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.shots import Box, ShotType


def row(**changes: object) -> dict[str, Any]:
    shots = {
        "establishing": {"box": [0, 0, 1000, 1000], "caption": "A square."},
        "medium": {"box": [200, 100, 800, 700], "caption": "A walker."},
        "close_up": {"box": [400, 100, 600, 300], "caption": "A face."},
    }
    annotation = {
        "people": 7, "setting": "outdoor", "facing": "left", "native_scale": "full",
        "scene": "A square.", "subject": "A walker.", "story": "A walk.", "shots": shots,
    }  # fmt: skip
    return {
        "file_name": "a.jpg", "source": "made", "width": 300, "height": 200, "squashed": False,
        "annotation": annotation, **changes,
    }  # fmt: skip


def write(folder: Path, *rows: object) -> Path:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def person(box: list[float]) -> dict[str, object]:
    return {"box": box, "score": 0.8, "keypoints": [[1100, -20, 0.5]] * 17}


def test_expert_row_becomes_a_composition_with_grounding(tmp_path: Path) -> None:
    (record,) = read_dataset(write(tmp_path, row(captions=["One.", "Two."])))
    assert record.path == tmp_path / "a.jpg" and record.aspect == pytest.approx(1.5)
    assert record.captions == ("One.", "Two.") and not record.no_subject and not record.squashed
    assert record.composition is not None and record.composition.grounding is not None
    assert record.composition[ShotType.MEDIUM].box == Box(0.2, 0.1, 0.8, 0.7)
    assert record.composition[ShotType.CLOSE_UP].caption == "A face."
    assert record.composition.reasoning.story == "A walk."
    grounding = record.composition.grounding
    assert (grounding.people, grounding.setting, grounding.facing) == (4, "outdoor", "left")
    assert grounding.main_person is None and grounding.head is None


def test_detections_are_clipped_and_empty_ones_dropped(tmp_path: Path) -> None:
    detections = {
        "persons": [person([-20, 500, 300, 1040]), person([1000, 0, 1100, 50]), person([5, 5, 5, 9])],
        "faces": [{"box": [10, -5, 60, 40], "score": 0.9, "landmarks": [[12, -3]] * 5}],
    }
    (record,) = read_dataset(write(tmp_path, row(detections=detections)))
    (found,) = record.detections.persons
    assert found.box == Box(0.0, 0.5, 0.3, 1.0)
    assert (found.keypoints[0].x, found.keypoints[0].y) == (1.1, -0.02)
    (face,) = record.detections.faces
    assert face.box == Box(0.01, 0.0, 0.06, 0.04) and face.landmarks[4].y == -0.003


def test_a_shot_is_accepted_unless_the_row_says_no(tmp_path: Path) -> None:
    annotation = row()["annotation"]
    shots = {**annotation["shots"], "medium": {**annotation["shots"]["medium"], "accepted": False}}
    folder = write(tmp_path, row(), row(annotation={**annotation, "shots": shots}))
    assert [record.accepted for record in read_dataset(folder)] == [(True, True, True), (True, False, True)]


def test_rows_without_people_or_annotation_are_read(tmp_path: Path) -> None:
    bare = {"file_name": "b.jpg", "source": "made", "width": 224, "height": 224, "squashed": True}
    folder = write(tmp_path, {**bare, "no_subject": True}, "", bare)
    empty, unlabelled = read_dataset(folder)
    assert empty.no_subject and empty.composition is None
    assert unlabelled.squashed and not unlabelled.no_subject and not unlabelled.detections.persons


BAD = {
    "not JSON": '{"file_name": ',
    "not an object": "[1]",
    "no file name": row(file_name=""),
    "width zero": row(width=0),
    "width text": row(width="300"),
    "unknown setting": row(annotation={**row()["annotation"], "setting": "space"}),
    "people true": row(annotation={**row()["annotation"], "people": True}),
    "no shots": row(annotation={}),
    "shot missing": row(annotation={"shots": {"medium": {"box": [0, 0, 9, 9]}}}),
    "swapped corners": row(annotation={"shots": {**row()["annotation"]["shots"], "medium": {"box": [800, 1, 200, 7]}}}),
    "unknown shot": row(annotation={"shots": {**row()["annotation"]["shots"], "wide": {"box": [0, 0, 9, 9]}}}),
    "both": row(no_subject=True),
    "accepted text": row(
        annotation={"shots": {**row()["annotation"]["shots"], "medium": {"box": [0, 0, 9, 9], "accepted": "no"}}}
    ),
    "flag text": row(squashed="no"),
    "captions text": row(captions="One."),
    "sixteen joints": row(detections={"persons": [{**person([0, 0, 9, 9]), "keypoints": [[1, 1, 1]] * 16}]}),
    "not finite": json.dumps(row(detections={"persons": [person([0, 0, float("nan"), 9])]})),
    "huge": json.dumps(row()).replace("1000, 1000", "1000, " + "9" * 400),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_row_is_one_line_that_names_file_line_and_remedy(tmp_path: Path, bad: object) -> None:
    with pytest.raises(ShotcropError) as caught:
        read_dataset(write(tmp_path, row(), bad))
    assert "metadata.jsonl, line 2" in caught.value.message and caught.value.hint
    assert "\n" not in str(caught.value)


def test_folder_without_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match=r"has no metadata\.jsonl"):
        read_dataset(tmp_path)
