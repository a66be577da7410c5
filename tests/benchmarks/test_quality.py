import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import replaced
from benchmarks.quality import quality
from benchmarks.quality.faults import Details, better_expert, faults, read_details
from benchmarks.quality.quality_tables import (
    CRAFT,
    OVERLAPS,
    Row,
    calibration_table,
    groups,
    lead,
    native_scale,
    review_table,
    scores_table,
)
from benchmarks.quality.quality_tables import source as source_of
from benchmarks.quality.rivals import expert, rivals
from benchmarks.quality.score_plot import draw
from conftest import FIXED_BOXES, FakeComposer, fixed_composition, write_photo
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.baselines import MEAN_BOXES, Baseline, triple
from shotcrop_cli.evaluation.calibration import Bin, JudgedShot
from shotcrop_cli.evaluation.dataset import METADATA, Record
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Person, Point
from shotcrop_cli.evaluation.metrics import Case, evaluate
from shotcrop_cli.geometry import ioa
from shotcrop_cli.shots import FULL_FRAME, Answer, Box, Composition, Grounding, NoSubject, ShotType

TRUTH = fixed_composition()
FULL = triple(Baseline.FULL)
FACE = Face(
    Box(0.45, 0.32, 0.55, 0.45),
    0.9,
    (Point(0.47, 0.37), Point(0.53, 0.37), Point(0.5, 0.4), Point(0.47, 0.43), Point(0.53, 0.43)),
)
LEAD = Person(Box(0.3, 0.25, 0.7, 1.0), 0.9, tuple(Keypoint(0.5, 0.5, 0.1) for _ in Joint))


def record(name: str = "a.jpg", truth: Composition | None = TRUTH, *, source: str = "attic") -> Record:
    return Record(Path(name), source, 120, 80, False, (), Detections(), truth, truth is None)


def write_dataset(folder: Path, names: Sequence[str], annotation: object = None) -> None:
    rows = []
    for name in names:
        write_photo(folder / name)
        row = {"file_name": name, "source": "attic", "width": 120, "height": 80, "no_subject": annotation is None}
        rows.append(json.dumps({**row, "annotation": annotation}))
    (folder / METADATA).write_text("\n".join(rows))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return what `make bench-quality` wants: three datasets, the expert's boxes being those of the fake composer."""
    shots = {str(kind): {"box": [round(side * 1000) for side in box]} for kind, box in FIXED_BOXES.items()}
    annotation = {"shots": shots, "native_scale": "full"}
    write_dataset(tmp_path / "data" / "train", ["t.jpg"], annotation)
    write_dataset(tmp_path / "data" / "dev", ["a.jpg", "b.jpg"], annotation)
    write_dataset(tmp_path / "data" / "no_person" / "dev", ["sea.jpg", "dune.jpg"])
    return tmp_path / "data"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeComposer:
    model = FakeComposer()
    monkeypatch.setattr(quality, "find_model", lambda name: name)
    monkeypatch.setattr(quality, "load_composer", lambda _bundle: model)
    return model


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, arguments)])
    quality.main()


def test_one_command_prints_tables_and_leaves_a_gallery_and_a_diagram(
    data: Path, tmp_path: Path, fake: FakeComposer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, document = tmp_path / "out", tmp_path / "quality.md"
    document.write_text("<!-- measured: quality -->\n<!-- end: quality -->\n")
    run(monkeypatch, data, "--out", out, "--markdown", document)
    assert {path.name for path in out.iterdir()} == {"failures.html", "score-calibration.svg"}
    assert "sea.jpg" in (out / "failures.html").read_text("utf-8")
    text = document.read_text("utf-8")
    rows = {cells[0]: cells[1:] for line in text.splitlines() if (cells := line.strip("| ").split(" | "))[0]}
    assert "| fake | 1.000 (1.000 to 1.000) | 1.000 | 1.000 | 1.000 | 1.000 |" in text
    assert "| mean box of train | 1.000 (1.000 to 1.000)" in text
    assert rows["attic (2)"] == rows["full (2)"] == ["1.000 (1.000 to 1.000)", *["1.000"] * 4]
    assert rows["0.8 to 1"] == ["6", "0.900", "1.000", "1.000"]
    assert "The expected calibration error of its scores is 0.100." in text
    assert str(tmp_path) not in text
    printed = capsys.readouterr().out
    assert "rules over the detections" in printed
    assert "failures.html" in printed


def test_a_second_expert_and_faults_are_counted(
    data: Path, tmp_path: Path, fake: FakeComposer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, data, "--out", tmp_path / "out")
    assert "second expert" not in capsys.readouterr().out
    metadata = data / "dev" / METADATA
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    for row in rows:
        row["annotation_second"] = {"shots": {str(kind): {"box": [0, 0, 1000, 1000]} for kind in FIXED_BOXES}}
    metadata.write_text("\n".join(map(json.dumps, rows)))
    document = tmp_path / "quality.md"
    document.write_text("<!-- measured: quality -->\n<!-- end: quality -->\n")
    run(monkeypatch, data, "--out", tmp_path / "out", "--markdown", document)
    text = document.read_text("utf-8")
    nearer = text[text.index("Compared with the nearer of two experts") :]
    assert nearer.splitlines()[4].startswith("| fake | 1.000 (1.000 to 1.000) |")
    assert "| the close-up cuts somebody's head | 0 | 0 | 0 |" in text


def test_details_are_read_by_photo_and_only_sure_heads_count(data: Path) -> None:
    metadata = data / "dev" / METADATA
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    head = {"box": [100, 100, 200, 1200], "score": 0.6}
    rows[1]["detections"] = {"heads": [head, {**head, "score": 0.5}], "centerfaces": [{**head, "score": 0.6}]}
    metadata.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_details(data / "dev", [record(str(data / "dev" / name)) for name in ("a.jpg", "b.jpg")])
    assert (first, second) == (Details(), Details(heads=(Box(0.1, 0.1, 0.2, 1.0),)))


def test_the_nearer_expert_is_compared() -> None:
    record_of, other = record(), replace(record(), composition=FULL)
    assert better_expert([record_of], [Details(second=FULL)], [TRUTH]) == [record_of]
    assert better_expert([record_of], [Details(second=FULL)], [FULL]) == [other]
    assert better_expert([record_of], [Details()], [FULL]) == [record_of]


CLOSE_UP = FIXED_BOXES[ShotType.CLOSE_UP]


@pytest.mark.parametrize(
    ("inside", "cut", "headless"), [(0.1, False, True), (0.3, True, True), (0.6, True, False), (0.9, False, False)]
)
def test_heads_and_faces_at_the_edge_of_a_close_up(inside: float, cut: bool, headless: bool) -> None:
    x1 = CLOSE_UP.x0 + 0.05 * inside
    at_edge = Box(x1 - 0.05, CLOSE_UP.y0 + 0.02, x1, CLOSE_UP.y0 + 0.07)
    counted = faults(TRUTH, Details(heads=(at_edge,), faces=(at_edge,)))
    assert counted[1:] == (cut, headless, True)
    middle = Box(CLOSE_UP.x0 + 0.02, CLOSE_UP.y0 + 0.02, CLOSE_UP.x0 + 0.07, CLOSE_UP.y0 + 0.07)
    assert faults(TRUTH, Details(heads=(at_edge, middle), faces=(at_edge, middle)))[1:] == (cut, False, False)


def test_a_head_at_the_edge_of_a_medium_shot_is_cut() -> None:
    medium = FIXED_BOXES[ShotType.MEDIUM]
    at_edge = Box(medium.x0 - 0.02, medium.y1 - 0.1, medium.x0 + 0.03, medium.y1 - 0.05)
    assert faults(TRUTH, Details(heads=(at_edge,)))[0]
    assert faults(TRUTH, Details()) == (False, False, False, False)


def test_nobody_is_told_from_somebody(
    data: Path, tmp_path: Path, fake: FakeComposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter((TRUTH, NoSubject(), NoSubject(), TRUTH))
    fake.answer = lambda _image, _aspect: next(answers)
    document = tmp_path / "quality.md"
    document.write_text("<!-- measured: quality -->\n<!-- end: quality -->\n")
    run(monkeypatch, data, "--out", tmp_path / "out", "--markdown", document)
    lines = document.read_text("utf-8").splitlines()
    headings = lines.index("|  | precision | recall | false alarms |")
    assert lines[headings + 2].count("0.500 (") == 3


def test_captions_are_judged_where_the_training_set_has_some(
    data: Path, tmp_path: Path, fake: FakeComposer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, data, "--out", tmp_path / "out")
    assert "retrieval" not in capsys.readouterr().out
    metadata = data / "train" / METADATA
    row = json.loads(metadata.read_text())
    for kind, shot in row["annotation"]["shots"].items():
        shot["caption"] = f"the {kind} shot"
    metadata.write_text("\n".join([json.dumps(row)] * 5))
    run(monkeypatch, data, "--out", tmp_path / "out")
    assert "caption retrieval" in capsys.readouterr().out


def test_photos_without_an_answer_are_told(
    data: Path, tmp_path: Path, fake: FakeComposer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answer = lambda _image, _aspect: AnswerError("gibberish")
    run(monkeypatch, data, "--out", tmp_path / "out")
    said = capsys.readouterr().out
    assert "4 photos got no readable answer" in said
    assert "The model gives no scores." in said


def test_a_folder_that_is_no_such_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="is not a dataset"):
        run(monkeypatch, tmp_path)
    write_dataset(tmp_path / "train", ["sea.jpg"])
    with pytest.raises(SystemExit, match="has no annotated photo"):
        run(monkeypatch, tmp_path)


def test_the_page_on_quality_has_a_place_for_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "quality.md"
    assert "\nnew figures\n" in replaced(page.read_text("utf-8"), "quality", "new figures")


def test_a_column_that_nobody_has_a_value_for_is_left_out() -> None:
    scores = evaluate([Case(TRUTH, FULL, Detections(), 1.5)])
    table = scores_table("Craft", [Row("full frame", scores)], CRAFT)
    assert table.headings == ("", "area order", "nesting")
    assert table.rows == (("full frame", "0.000", "1.000"),)


def test_a_missing_value_beside_others_is_a_dash() -> None:
    faceless = evaluate([Case(TRUTH, TRUTH, Detections(), 1.5)])
    with_face = evaluate([Case(TRUTH, TRUTH, Detections(faces=(FACE,)), 1.5)])
    table = scores_table("Faces", [Row("a", faceless), Row("b", with_face)], OVERLAPS[-1:])
    assert [row[1] for row in table.rows] == ["-", "1.000" if ioa(FACE.box, FIXED_BOXES[ShotType.CLOSE_UP]) else "0"]


def test_groups_hold_each_photo_once_and_the_largest_comes_first() -> None:
    records = [record("a", source="flms"), record("b"), record("c"), record("d", source="")]
    answers: list[Answer] = [FULL, TRUTH, TRUTH, NoSubject()]
    rows = groups(records, answers, source_of)
    assert [row.name for row in rows] == ["attic (2)", "flms (1)", "unknown (1)"]
    assert [round(row.scores.value("iou"), 3) for row in rows[::2]] == [1.0, 0.0]


def test_the_native_scale_is_the_experts() -> None:
    told = replace(TRUTH, grounding=Grounding(native_scale="wide"))
    assert [native_scale(record(truth=one)) for one in (told, TRUTH, None)] == ["wide", "unknown", "unknown"]


@pytest.mark.parametrize(
    ("captions", "word"),
    [
        (("A red van.", "A Woman waves at two men.", ""), "woman"),
        (("Boys race.", "", ""), "child"),
        (("A manned boat.", "", "Hands."), "other words"),
    ],
)
def test_the_lead_is_whom_the_expert_names_first(captions: tuple[str, ...], word: str) -> None:
    shots = tuple(replace(shot, caption=text) for shot, text in zip(TRUTH.shots, captions, strict=True))
    assert lead(record(truth=replace(TRUTH, shots=shots))) == word


def test_the_expert_is_the_measure_and_the_rule_falls_back_on_the_mean_box() -> None:
    seen = replace(record(), detections=Detections((LEAD,), (FACE,)))
    by_name = {rival.name: rival.answers for rival in (*rivals([record(), seen], MEAN_BOXES), expert([record(), seen]))}
    assert by_name["the expert"] == (TRUTH, TRUTH)
    blind, seeing = by_name["rules over the detections"]
    assert [shot.box for shot in blind.shots] == [*MEAN_BOXES]
    assert ioa(FACE.box, seeing[ShotType.CLOSE_UP].box) == 1.0
    assert seeing[ShotType.CLOSE_UP].box != MEAN_BOXES[2]
    assert {shot.box for shot in by_name["full frame"][0].shots} == {FULL_FRAME}


def test_scores_and_thresholds_are_laid_out_for_all_shots() -> None:
    shots = [JudgedShot(ShotType.MEDIUM, score, iou) for score, iou in ((0.25, 0.1), (0.45, 0.6), (0.95, 0.9))]
    assert calibration_table("Scores", shots).rows[0] == ("0.2 to 0.4", "1", "0.250", "0.000", "0.100")
    rows = {row[0]: row[1:] for row in review_table("Review", shots).rows}
    assert rows["0.2"] == ("0", "-", "0.000")
    assert rows["0.5"] == ("2", "0.500", "1.000")
    assert [row[3] for row in review_table("Review", []).rows] == ["-"] * len(rows)


def test_equal_scores_draw_equal_diagrams(tmp_path: Path) -> None:
    bins = [Bin(0.4, 0.6, 7, 0.5, 0.4, 0.45), Bin(0.8, 1.0, 90, 0.93, 0.96, 0.8)]
    for name in ("a.svg", "b.svg"):
        draw(bins, tmp_path / name)
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    assert "90 shots" in drawn
    assert drawn == (tmp_path / "b.svg").read_text("utf-8")
