import pytest

from shotcrop_cli.evaluation.caption_claims import View, look, refuted
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Person, Point
from shotcrop_cli.shots import FULL_FRAME, Box

HEIGHTS = {
    **dict.fromkeys((Joint.NOSE, Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.LEFT_EAR, Joint.RIGHT_EAR), 0.15),
    **dict.fromkeys((Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER), 0.25),
    **dict.fromkeys((Joint.LEFT_HIP, Joint.RIGHT_HIP), 0.5),
    **dict.fromkeys((Joint.LEFT_KNEE, Joint.RIGHT_KNEE), 0.7),
    **dict.fromkeys((Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE), 0.88),
}


def upright(x: float, confidence: float = 0.9) -> Person:
    points = tuple(Keypoint(x, HEIGHTS.get(joint, 0.4), confidence) for joint in Joint)
    return Person(Box(x - 0.1, 0.1, x + 0.1, 0.9), 0.9, points)


def face(x: float) -> Face:
    return Face(Box(x - 0.03, 0.12, x + 0.03, 0.2), 0.9, (Point(x, 0.15),) * 5)


BOTH = Detections((upright(0.3), upright(0.7)), (face(0.3), face(0.7)))
TO_THE_THIGHS, TO_THE_CHEST, FEET = Box(0.15, 0.05, 0.45, 0.6), Box(0.2, 0.05, 0.4, 0.3), Box(0.2, 0.75, 0.4, 1.0)


def test_a_view_tells_how_much_of_the_lead_and_how_many_people_a_box_shows() -> None:
    whole, thighs, chest = look((FULL_FRAME, TO_THE_THIGHS, TO_THE_CHEST), BOTH)
    assert (whole.people, thighs.people, chest.people) == (2, 1, 1)
    assert (whole.waist, whole.hips, whole.knees, whole.ankles) == (True, True, True, True)
    assert (thighs.waist, thighs.hips, thighs.knees, thighs.ankles) == (True, True, False, False)
    assert (chest.head, chest.waist, chest.hips) == (True, False, False)
    assert whole.face == pytest.approx(0.08)
    assert chest.face == pytest.approx(0.08 / 0.25)


def test_a_head_is_shown_from_behind_too_but_not_by_feet() -> None:
    backs = Detections((upright(0.3),))
    *_, chest = look((FULL_FRAME, FULL_FRAME, TO_THE_CHEST), backs)
    *_, feet = look((FULL_FRAME, FULL_FRAME, FEET), backs)
    assert chest.head is True and chest.face == 0.0
    assert feet.head is False


@pytest.mark.parametrize("detections", [Detections(), Detections((upright(0.3, confidence=0.1),))])
def test_what_no_detector_saw_refutes_nothing(detections: Detections) -> None:
    *_, view = look((FULL_FRAME, FULL_FRAME, FEET), detections)
    assert view.head is None and view.hips is None
    for caption in ("Head and shoulders", "The person from the waist up", "Two people", "A man, full length"):
        assert not refuted(caption, view)


@pytest.mark.parametrize(
    ("caption", "true", "false"),
    [
        ("Head and shoulders of the person", TO_THE_CHEST, TO_THE_THIGHS),
        ("Her face is calm", TO_THE_CHEST, FEET),
        ("The person from the waist up", Box(0.2, 0.05, 0.4, 0.5), FULL_FRAME),
        ("The man from mid-thigh up", TO_THE_THIGHS, FULL_FRAME),
        ("The man, seen to the knees", TO_THE_THIGHS, TO_THE_CHEST),
        ("A person outdoors, full length", FULL_FRAME, TO_THE_THIGHS),
        ("Two young men talk", FULL_FRAME, TO_THE_CHEST),
        ("A couple walks", FULL_FRAME, TO_THE_CHEST),
        ("One person indoors", TO_THE_CHEST, FULL_FRAME),
    ],
)
def test_a_claim_is_refuted_where_detections_show_otherwise(caption: str, true: Box, false: Box) -> None:
    views = look((false, true, TO_THE_CHEST), BOTH)
    assert refuted(caption, views[0])
    assert not refuted(caption, views[1])


@pytest.mark.parametrize(
    "caption", ["Two bottles on a table", "A couple of cups", "All-denim outfit", "A woman stands"]
)
def test_words_that_claim_nothing_are_never_refuted(caption: str) -> None:
    nothing = View(True, 0.0, 1, 2, waist=True, hips=True, knees=True, ankles=True)
    assert not refuted(caption, nothing)


def test_more_people_than_detectors_saw_anywhere_are_not_refuted() -> None:
    assert not refuted("Three women chat", look((FULL_FRAME,) * 3, BOTH)[0])
