from dataclasses import replace
from pathlib import Path

from lxml import html

from conftest import FIXED_BOXES, fixed_composition, write_photo
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.baselines import Baseline, triple
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.evaluation.gallery import Exhibit, gallery_page, worst
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Answer, Composition, NoSubject, ShotType

TRUTH = fixed_composition()
FULL, CENTRE = triple(Baseline.FULL), triple(Baseline.CENTRE)


def record(path: Path, truth: Composition | None = TRUTH) -> Record:
    return Record(path, "attic", 120, 80, False, (), Detections(), truth, truth is None)


def page_of(*exhibits: Exhibit) -> html.HtmlElement:
    return html.fromstring(gallery_page(exhibits, "Failures"))


def shown(folder: Path, answer: Answer, truth: Composition | None = TRUTH) -> Exhibit:
    return Exhibit(record(write_photo(folder / "a.jpg"), truth), answer)


def test_the_worst_photos_come_first_and_silence_is_the_worst() -> None:
    answers: list[Answer] = [TRUTH, FULL, CENTRE, AnswerError("gibberish"), NoSubject()]
    records = [record(Path(f"{place}.jpg")) for place in range(len(answers))]
    exhibits = worst(records, answers, 4)
    assert [one.record.path.stem for one in exhibits] == ["3", "4", "1", "2"]
    assert exhibits[0].iou == 0.0


def test_people_invented_in_photos_of_nobody_are_all_shown() -> None:
    records = [record(Path("peopled.jpg")), record(Path("dune.jpg"), None), record(Path("sea.jpg"), None)]
    exhibits = worst(records, [TRUTH, FULL, NoSubject()], 0)
    assert [one.record.path.name for one in exhibits] == ["dune.jpg"]


def test_both_boxes_of_each_shot_are_drawn_where_they_lie(tmp_path: Path) -> None:
    rectangles = page_of(shown(tmp_path, FULL)).findall(".//svg/rect")
    assert [rectangle.get("class") for rectangle in rectangles] == ["expert"] * 3 + ["model"] * 3
    for rectangle, box in zip(rectangles, [*FIXED_BOXES.values(), *[FULL_FRAME] * 3], strict=True):
        x, y, width, height = (float(rectangle.get(name)) for name in ("x", "y", "width", "height"))
        assert (x, y, round(x + width, 4), round(y + height, 4)) == tuple(box)


def test_the_page_tells_name_overlap_score_and_captions(tmp_path: Path) -> None:
    close_up = replace(TRUTH.shots[2], box=FULL_FRAME, caption="<b>bold</b> & free", score=0.25)
    exhibit = shown(tmp_path, replace(TRUTH, shots=(*TRUTH.shots[:2], close_up)))
    text = page_of(exhibit).text_content()
    overlap = iou(FULL_FRAME, FIXED_BOXES[ShotType.CLOSE_UP])
    assert f"IoU {overlap:.2f}, score 0.25" in text
    for told in (
        "a.jpg",
        "attic",
        f"mean IoU {(2 + overlap) / 3:.2f}",
        close_up.caption,
        "The expert's: the medium shot",
    ):
        assert told in text


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    page = page_of(shown(tmp_path, FULL))
    (source,) = page.xpath("//@src | //@href")
    assert source.startswith("data:image/jpeg;base64,")


def test_a_photo_that_is_gone_and_a_failed_answer_are_told(tmp_path: Path) -> None:
    text = page_of(Exhibit(record(tmp_path / "gone.jpg"), AnswerError("no box in it"))).text_content()
    assert "the photo cannot be read" in text
    assert "no box in it" in text


def test_who_sees_whom_is_told(tmp_path: Path) -> None:
    assert "the model found no people" in page_of(shown(tmp_path, NoSubject())).text_content()
    invented = page_of(shown(tmp_path, TRUTH, None)).text_content()
    assert "the model found some" in invented
    assert "IoU" not in invented


def test_each_shot_has_its_own_colour(tmp_path: Path) -> None:
    strokes = [rectangle.get("stroke") for rectangle in page_of(shown(tmp_path, FULL)).findall(".//svg/rect")]
    assert strokes[:3] == strokes[3:]
    assert len({*strokes}) == len(SHOT_TYPES)
