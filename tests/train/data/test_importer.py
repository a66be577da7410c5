from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import picture, write_photo
from shotcrop_cli.errors import OutputError, PhotoError, ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.large.answer import CoordSpace, render
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, NoSubject, Reasoning, Shot, ShotType
from shotcrop_train.data.check_data import check
from shotcrop_train.data.importer import import_answers, import_coco

BOXES = {"establishing": [0, 0, 120, 80], "Close-up": [48, 8, 24, 16], "medium": [24, 8, 72.5, 48]}


def coco() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "trip/a.jpg", "width": 120, "height": 80},
            {"id": 8, "file_name": "never annotated.jpg", "width": 120, "height": 80},
        ],
        "categories": [{"id": index, "name": name} for index, name in enumerate(BOXES)],
        "annotations": [
            {"image_id": 7, "category_id": index, "bbox": box, "caption": f"this is what the box {index} shows here"}
            for index, box in enumerate(BOXES.values())
        ],
    }


def source(folder: Path, content: object) -> Path:
    write_photo(folder / "photos" / "trip" / "a.jpg")
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_coco_file_becomes_a_sound_dataset(tmp_path: Path) -> None:
    output = import_coco(source(tmp_path, coco()), tmp_path / "photos", tmp_path / "made")
    assert output == tmp_path / "made"
    (record,) = read_dataset(output)
    assert record.path.read_bytes() == (tmp_path / "photos" / "trip" / "a.jpg").read_bytes()
    assert (record.width, record.height) == (120, 80)
    assert record.composition is not None
    assert record.composition[ShotType.CLOSE_UP].box == Box(0.4, 0.1, 0.6, 0.3)
    assert record.composition[ShotType.MEDIUM].box == Box(0.2, 0.1, 0.804, 0.7)
    assert record.composition[ShotType.MEDIUM].caption == "this is what the box 2 shows here"
    assert [finding for finding in check(output) if finding.severity == "error"] == []


def test_photos_are_linked_not_copied(tmp_path: Path) -> None:
    import_coco(source(tmp_path, coco()), tmp_path / "photos", tmp_path / "made")
    assert (tmp_path / "made" / "trip" / "a.jpg").samefile(tmp_path / "photos" / "trip" / "a.jpg")


def test_photos_are_copied_where_they_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    import_coco(source(tmp_path, coco()), tmp_path / "photos", tmp_path / "made")
    assert check(tmp_path / "made")[-1].severity == "note"
    assert not (tmp_path / "made" / "trip" / "a.jpg").samefile(tmp_path / "photos" / "trip" / "a.jpg")


def test_the_folder_of_photos_may_itself_become_the_dataset(tmp_path: Path) -> None:
    import_coco(source(tmp_path, coco()), tmp_path / "photos", tmp_path / "photos")
    (record,) = read_dataset(tmp_path / "photos")
    assert record.path.is_file()


def test_a_caption_may_be_an_attribute_and_a_box_may_stray_a_little(tmp_path: Path) -> None:
    content = coco()
    content["annotations"][0] |= {
        "caption": None,
        "attributes": {"caption": "a wide field"},
        "bbox": [-1.5, 0, 123, 80.4],
    }
    import_coco(source(tmp_path, content), tmp_path / "photos", tmp_path / "made")
    (record,) = read_dataset(tmp_path / "made")
    assert record.composition is not None
    assert record.composition.shots[0] == Shot(ShotType.ESTABLISHING, Box(0.0, 0.0, 1.0, 1.0), "a wide field")


def fault(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = coco()
    change(content)
    return content


COCO_FAULTS: dict[str, tuple[object, str]] = {
    "no JSON": ("{", "cannot be read"),
    "no categories": (fault(lambda content: content.pop("categories")), "is not COCO-style: KeyError 'categories'"),
    "a list": ([], "is not COCO-style"),
    "other category": (
        fault(lambda content: content["categories"][0].update(name="dog")),
        "trip/a.jpg has a box of an unknown shot: 'dog'",
    ),
    "no image": (fault(lambda content: content["annotations"][0].update(image_id=9)), "is not COCO-style: KeyError 9"),
    "three sides": (fault(lambda content: content["annotations"][0].update(bbox=[1, 2, 3])), "is not COCO-style"),
    "shot missing": (fault(lambda content: content["annotations"].pop()), "trip/a.jpg has no box for medium"),
    "shot doubled": (
        fault(lambda content: content["annotations"].append(content["annotations"][2])),
        "trip/a.jpg has two medium boxes",
    ),
    "outside": (
        fault(lambda content: content["annotations"][2].update(bbox=[60, 8, 80, 20])),
        "trip/a.jpg, medium: the box [60.0, 8.0, 140.0, 28.0] is empty or leaves the photo",
    ),
    "empty": (fault(lambda content: content["annotations"][2].update(bbox=[60, 8, 0, 20])), "is empty or leaves"),
    "turned": (
        fault(lambda content: content["images"][0].update(width=80, height=120)),
        "trip/a.jpg has 80 x 120 pixels there, but 120 x 80 when upright",
    ),
    "doubled image": (
        fault(
            lambda content: (
                content["images"].append(content["images"][0] | {"id": 9}),
                content["annotations"].extend([one | {"image_id": 9} for one in content["annotations"]]),
            )
        ),
        "trip/a.jpg is annotated twice",
    ),
}


@pytest.mark.parametrize(("content", "message"), COCO_FAULTS.values(), ids=COCO_FAULTS.keys())
def test_a_faulty_coco_file_is_named_and_nothing_is_written(tmp_path: Path, content: object, message: str) -> None:
    path = source(tmp_path, content)
    with pytest.raises(ShotcropError) as caught:
        import_coco(path, tmp_path / "photos", tmp_path / "made")
    assert message in caught.value.message and caught.value.hint
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("b.jpg", "does not exist"), ("../b.jpg", "is not in"), ("bad.jpg", "cannot be opened")],
)
def test_a_photo_that_cannot_be_had_is_named(tmp_path: Path, name: str, message: str) -> None:
    content = fault(lambda content: content["images"][0].update(file_name=name))
    path = source(tmp_path, content)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(PhotoError, match=message):
        import_coco(path, tmp_path / "photos", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_dataset_is_never_overwritten(tmp_path: Path) -> None:
    path = source(tmp_path, coco())
    import_coco(path, tmp_path / "photos", tmp_path / "made")
    before = (tmp_path / "made" / "metadata.jsonl").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        import_coco(path, tmp_path / "photos", tmp_path / "made")
    assert (tmp_path / "made" / "metadata.jsonl").read_bytes() == before


def test_another_photo_of_that_name_is_left_alone(tmp_path: Path) -> None:
    path = source(tmp_path, coco())
    other = write_photo(tmp_path / "made" / "trip" / "a.jpg", picture(40, 30))
    before = other.read_bytes()
    with pytest.raises(OutputError, match="exists already and is a different file"):
        import_coco(path, tmp_path / "photos", tmp_path / "made")
    assert other.read_bytes() == before


TAGS = (
    "<establishing><bbox>[0, 0, 1000, 1000]</bbox> a wide field</establishing>"
    "<medium><bbox>[200, 100, 800, 700]</bbox> a man</medium>"
    "<close-up><bbox>[400, 100, 600, 300]</bbox> his face</close-up>"
)


def answers(folder: Path, *rows: object) -> Path:
    for index, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        write_photo(folder / "photos" / name, picture().rotate(90 * index, expand=True))
    path = folder / "answers.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_answers_with_tags_words_and_no_people_become_a_dataset(tmp_path: Path) -> None:
    shots = tuple(Shot(kind, box, f"the {kind}") for kind, box in zip(SHOT_TYPES, CORNERS, strict=True))
    thought = render(Composition(shots, Reasoning("A field.", "A man.", "He waits.")))
    path = answers(
        tmp_path,
        {"file_name": "a.jpg", "answer": TAGS},
        {"file_name": "b.jpg", "answer": thought},
        "",
        {"file_name": "c.jpg", "answer": render(NoSubject())},
    )
    tagged, worded, empty = read_dataset(import_answers(path, tmp_path / "photos", tmp_path / "made"))
    assert tagged.composition is not None and worded.composition is not None
    assert tagged.composition[ShotType.CLOSE_UP] == Shot(ShotType.CLOSE_UP, Box(0.4, 0.1, 0.6, 0.3), "his face")
    assert worded.composition.shots == shots and worded.composition.reasoning.story == "He waits."
    assert (worded.width, worded.height) == (80, 120)
    assert empty.no_subject and empty.composition is None


CORNERS = (Box(0.0, 0.0, 1.0, 1.0), Box(0.2, 0.1, 0.8, 0.7), Box(0.4, 0.1, 0.6, 0.3))
sides = st.floats(0.0, 1.0)


@given(
    st.lists(st.tuples(sides, sides, sides, sides), min_size=3, max_size=3), st.sampled_from(["permille", "absolute"])
)
def test_imported_boxes_are_those_of_the_answer(
    tmp_path_factory: pytest.TempPathFactory, corners: list[tuple[float, ...]], space: str
) -> None:
    folder = tmp_path_factory.mktemp("answers")
    write_photo(folder / "photos" / "a.png", Image.new("RGB", (400, 250)))
    shots = tuple(Shot(kind, clamp(*box, min_side=0.02)) for kind, box in zip(SHOT_TYPES, corners, strict=True))
    text = render(Composition(shots), space=CoordSpace(space), image_size=(400, 250))
    path = folder / "answers.jsonl"
    path.write_text(json.dumps({"file_name": "a.png", "answer": text}), encoding="utf-8")
    (record,) = read_dataset(import_answers(path, folder / "photos", folder / "made", CoordSpace(space)))
    assert record.composition is not None
    # Half a step of the answer and half a step of the dataset.
    steps = (1000, 1000) if space == "permille" else (400, 250)
    for ours, theirs in zip(shots, record.composition.shots, strict=True):
        for before, after, step in zip(ours.box, theirs.box, steps * 2, strict=True):
            assert abs(before - after) <= 0.5 / step + 0.5 / 1000 + 1e-9


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2 is not an object with file_name and answer"),
        ("[1]", "line 2 is not an object with file_name and answer"),
        ({"file_name": "b.jpg"}, "line 2 is not an object with file_name and answer"),
        ({"file_name": "b.jpg", "answer": "I see a man."}, "line 2, b.jpg: there is neither JSON nor a tagged shot"),
        (
            {"file_name": "b.jpg", "answer": TAGS.replace("1000", "1200")},
            "line 2, b.jpg: establishing has a box outside",
        ),
        ({"file_name": "a.jpg", "answer": TAGS}, "a.jpg is annotated twice"),
    ],
)
def test_a_faulty_answer_is_named_and_nothing_is_written(tmp_path: Path, row: object, message: str) -> None:
    path = answers(tmp_path, {"file_name": "a.jpg", "answer": TAGS}, row)
    with pytest.raises(ShotcropError) as caught:
        import_answers(path, tmp_path / "photos", tmp_path / "made")
    assert message in caught.value.message and caught.value.hint
    assert not (tmp_path / "made").exists()
