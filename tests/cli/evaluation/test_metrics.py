import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.evaluation.baselines import CENTRE_BOXES, MEAN_BOXES, Baseline, mean_boxes, triple
from shotcrop_cli.evaluation.bootstrap import MEASURES, summarise
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Person, Point
from shotcrop_cli.evaluation.metrics import Case, boundary_error, evaluate, no_subject_rates
from shotcrop_cli.geometry import clamp
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, Composition, Grounding, Shot, ShotType

WIDE, MIDDLE, TIGHT = Box(0, 0, 1, 1), Box(0.2, 0.1, 0.8, 0.7), Box(0.4, 0.1, 0.6, 0.3)


def compose(*boxes: Box, facing: str | None = None) -> Composition:
    shots = tuple(Shot(kind, box) for kind, box in zip(SHOT_TYPES, boxes, strict=True))
    return Composition(shots, grounding=Grounding(facing=facing))


TRUTH = compose(WIDE, MIDDLE, TIGHT)
LEAD = Face(
    Box(0.46, 0.13, 0.54, 0.22),
    0.9,
    (Point(0.48, 0.165), Point(0.52, 0.165), Point(0.5, 0.18), Point(0.48, 0.2), Point(0.52, 0.2)),
)
FOUND = Detections(faces=(LEAD,))


def case(answer: Composition | None, detections: Detections = FOUND, truth: Composition = TRUTH) -> Case:
    return Case(truth, answer, detections, 1.5)


def test_the_experts_own_answer_is_perfect() -> None:
    scores = evaluate([case(TRUTH)] * 3, baseline=triple(Baseline.FULL))
    for name in ("iou", "acc@0.85", "complete", "area_order", "nesting", "distinct", "triple_hit"):
        assert scores.value(name) == 1.0
    assert scores.value("bde") == 0.0
    assert scores.value("gain") == pytest.approx(1 - (1 + 0.36 + 0.04) / 3)
    assert scores.value("gain", ShotType.ESTABLISHING) == 0.0


def test_the_full_frame_has_the_overlap_of_its_areas() -> None:
    scores = evaluate([case(triple(Baseline.FULL))])
    assert scores.value("iou", ShotType.MEDIUM) == pytest.approx(0.36)
    assert scores.value("iou") == pytest.approx((1 + 0.36 + 0.04) / 3)
    assert scores.value("acc@0.5") == pytest.approx(1 / 3)
    assert scores.value("bde", ShotType.MEDIUM) == pytest.approx((0.2 + 0.1 + 0.2 + 0.3) / 4)
    assert scores.value("area_order") == scores.value("distinct") == scores.value("triple_hit") == 0.0
    assert scores.value("nesting") == 1.0


def test_silence_never_pays() -> None:
    scores = evaluate([case(TRUTH), case(None)], baseline=TRUTH)
    for name in ("iou", "acc@0.5", "complete", "area_order", "nesting", "distinct", "triple_hit"):
        assert scores.value(name) == 0.5
    assert scores.value("gain") == -0.5
    bde = scores.get("bde")
    assert bde is not None and bde.n == 1


def test_nesting_and_area_order_look_at_neighbouring_shots() -> None:
    aside = compose(WIDE, MIDDLE, Box(0.0, 0.8, 0.1, 0.9))
    assert evaluate([case(aside)]).value("nesting") == 0.0
    swapped = compose(WIDE, TIGHT, MIDDLE)
    assert evaluate([case(swapped)]).value("area_order") == 0.0


def test_baseline_may_answer_photo_by_photo() -> None:
    scores = evaluate([case(TRUTH), case(TRUTH)], baseline=[TRUTH, None])
    assert scores.value("gain") == pytest.approx(0.5)
    with pytest.raises(ValueError, match="baseline answers"):
        evaluate([case(TRUTH)], baseline=[])


def test_craft_needs_no_truth_but_the_lead() -> None:
    scores = evaluate([case(TRUTH)])
    assert scores.value("head_scale", ShotType.CLOSE_UP) == 1.0
    assert scores.value("face_inside", ShotType.CLOSE_UP) == 1.0
    assert scores.value("chin_cut") == 0.0
    assert scores.get("lead_room") is None and scores.get("joint_cut") is None


def test_a_close_up_that_misses_the_face_lies_in_no_band() -> None:
    away = compose(WIDE, MIDDLE, Box(0.7, 0.1, 0.9, 0.3))
    scores = evaluate([case(away)])
    for name in ("head_scale", "headroom", "eye_line", "face_inside"):
        assert scores.value(name, ShotType.CLOSE_UP) == 0.0


def test_a_cut_chin_and_missing_lead_room_are_counted() -> None:
    truth = compose(WIDE, MIDDLE, TIGHT, facing="left")
    cut = compose(WIDE, MIDDLE, Box(0.45, 0.1, 0.7, 0.19))
    scores = evaluate([case(cut, truth=truth)])
    assert scores.value("chin_cut", ShotType.CLOSE_UP) == 1.0
    assert scores.value("lead_room", ShotType.CLOSE_UP) == 0.0


def test_joint_cuts_are_those_of_the_lead() -> None:
    knees = tuple(Keypoint(0.5, 0.7 if "KNEE" in joint.name else 0.2, 0.9) for joint in Joint)
    detections = Detections((Person(Box(0.4, 0.1, 0.6, 0.95), 0.9, knees),), (LEAD,))
    assert evaluate([case(TRUTH, detections)]).value("joint_cut", ShotType.MEDIUM) == 1.0


def test_no_subject_rates_name_recall_and_false_alarms() -> None:
    scores = no_subject_rates([True, True, False, True], [False, True])
    assert scores.value("no_subject_recall") == 0.75
    assert scores.value("no_subject_false_alarm") == 0.5
    assert scores.value("no_subject_precision") == 0.75
    assert no_subject_rates([True], []).get("no_subject_false_alarm") is None
    assert no_subject_rates([False], [False]).get("no_subject_precision") is None


def test_intervals_repeat_and_hold_the_mean() -> None:
    cases = [case(TRUTH), case(triple(Baseline.CENTRE)), case(triple(Baseline.MEAN)), case(None)]
    first, second = evaluate(cases), evaluate(cases)
    assert first == second
    for metric in first.metrics:
        assert metric.low <= metric.value <= metric.high
    iou = first.get("iou")
    assert iou is not None and iou.low < iou.high


def test_interval_of_half_and_half_is_that_of_the_binomial() -> None:
    metric = summarise([{("complete", None): float(i % 2)} for i in range(100)]).get("complete")
    assert metric is not None
    assert metric.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert metric.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)


def test_every_metric_that_is_measured_has_a_meaning() -> None:
    scores = evaluate([case(TRUTH, truth=compose(WIDE, MIDDLE, TIGHT, facing="left"))], baseline=TRUTH)
    names = [measure.name for measure in MEASURES]
    assert {metric.name for metric in scores.metrics} == set(names) - {
        "caption_retrieval",
        "joint_cut",
        "no_subject_precision",
        "no_subject_recall",
        "no_subject_false_alarm",
    }
    assert len(set(names)) == len(names)
    with pytest.raises(KeyError, match="iou of nothing"):
        scores.value("iou of nothing")


def test_no_photos_give_no_metrics() -> None:
    assert evaluate([]).metrics == ()


sides = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(sides, sides, sides, sides), min_size=3, max_size=3))
def test_localisation_stays_within_its_bounds(corners: list[tuple[float, float, float, float]]) -> None:
    answer = compose(*(clamp(*four) for four in corners))
    scores = evaluate([case(answer)], baseline=triple(Baseline.FULL), resamples=10)
    for metric in scores.metrics:
        assert (-1.0 if metric.name == "gain" else 0.0) <= metric.value <= 1.0


def test_boundary_error_is_the_mean_over_four_sides() -> None:
    assert boundary_error(Box(0.1, 0, 1, 1), FULL_FRAME) == pytest.approx(0.025)


def test_baselines_are_triples_in_order() -> None:
    assert [shot.box for shot in triple(Baseline.FULL).shots] == [FULL_FRAME] * 3
    assert tuple(shot.box for shot in triple(Baseline.CENTRE).shots) == CENTRE_BOXES
    assert tuple(shot.box for shot in triple(Baseline.MEAN).shots) == MEAN_BOXES
    for boxes in (CENTRE_BOXES, MEAN_BOXES):
        assert boxes[0].area > boxes[1].area > boxes[2].area


def test_mean_boxes_average_each_side() -> None:
    other = compose(WIDE, Box(0.4, 0.3, 1.0, 0.9), TIGHT)
    assert tuple(mean_boxes([TRUTH, other])[1]) == pytest.approx((0.3, 0.2, 0.9, 0.8))
    with pytest.raises(ValueError, match="at least one"):
        mean_boxes([])
