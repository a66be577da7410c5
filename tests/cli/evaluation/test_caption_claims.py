import pytest

from shotcrop_cli.evaluation.caption_claims import View, refuted, views
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.shots import FULL_FRAME, Box
from two_people import BOTH, FEET, TO_THE_CHEST, TO_THE_THIGHS, upright


def test_a_view_holds_how_much_of_the_main_person_and_how_many_people_a_box_shows() -> None:
    whole, thighs, chest = views((FULL_FRAME, TO_THE_THIGHS, TO_THE_CHEST), BOTH)
    assert (whole.people, thighs.people, chest.people) == (2, 1, 1)
    assert (whole.waist, whole.hips, whole.knees, whole.ankles) == (True, True, True, True)
    assert (thighs.waist, thighs.hips, thighs.knees, thighs.ankles) == (True, True, False, False)
    assert (chest.head, chest.waist, chest.hips) == (True, False, False)
    assert whole.face == pytest.approx(0.08)
    assert chest.face == pytest.approx(0.08 / 0.25)


def test_a_head_is_shown_from_behind_too_but_not_by_feet() -> None:
    backs = Detections((upright(0.3),))
    *_, chest = views((FULL_FRAME, FULL_FRAME, TO_THE_CHEST), backs)
    *_, feet = views((FULL_FRAME, FULL_FRAME, FEET), backs)
    assert chest.head is True and chest.face == 0.0
    assert feet.head is False


@pytest.mark.parametrize("detections", [Detections(), Detections((upright(0.3, confidence=0.1),))])
def test_what_no_detector_saw_refutes_nothing(detections: Detections) -> None:
    *_, view = views((FULL_FRAME, FULL_FRAME, FEET), detections)
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
        ("The man, three-quarter length", TO_THE_THIGHS, FULL_FRAME),
        ("The man, seen to the knees", TO_THE_THIGHS, TO_THE_CHEST),
        ("A person outdoors, full length", FULL_FRAME, TO_THE_THIGHS),
        ("Two young men talk", FULL_FRAME, TO_THE_CHEST),
        ("A couple walks", FULL_FRAME, TO_THE_CHEST),
        ("One person indoors", TO_THE_CHEST, FULL_FRAME),
    ],
)
def test_a_claim_is_refuted_where_detections_show_otherwise(caption: str, true: Box, false: Box) -> None:
    wrong, right, _ = views((false, true, TO_THE_CHEST), BOTH)
    assert refuted(caption, wrong)
    assert not refuted(caption, right)


@pytest.mark.parametrize(
    "caption", ["Two bottles on a table", "A couple of cups", "All-denim outfit", "A woman stands"]
)
def test_words_that_claim_nothing_are_never_refuted(caption: str) -> None:
    nothing = View(True, 0.0, 1, 2, waist=True, hips=True, knees=True, ankles=True)
    assert not refuted(caption, nothing)


def test_more_people_than_detectors_saw_anywhere_are_not_refuted() -> None:
    assert not refuted("Three women chat", views((FULL_FRAME,) * 3, BOTH)[0])
