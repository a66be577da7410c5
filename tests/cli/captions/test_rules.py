import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.captions.rules import Company, captions, verbalise
from shotcrop_cli.geometry import clamp
from shotcrop_cli.shots import FACINGS, FULL_FRAME, NATIVE_SCALES, SETTINGS, Box, Grounding

HEAD = Box(0.45, 0.1, 0.55, 0.2)
"""A tenth of the photo high, so that an edge at .1 + .1 n lies n heads below the crown."""
STANDING = Box(0.35, 0.1, 0.65, 0.85)
STEADY = (0.9, 0.9, 0.9)

boxes = st.tuples(*(st.floats(0.0, 1.0) for _ in range(4))).map(lambda sides: clamp(*sides, min_side=0.02))
groundings = st.builds(
    Grounding,
    main_person=boxes,
    head=boxes,
    people=st.sampled_from([None, 1, 2, 3, 4]),
    setting=st.sampled_from([None, *SETTINGS]),
    facing=st.sampled_from([None, *FACINGS]),
    native_scale=st.sampled_from([None, *NATIVE_SCALES]),
)


def to(edge: float) -> Box:
    """Return a crop around the head whose lower edge lies so many heads below the crown."""
    return Box(0.2, 0.05, 0.8, 0.1 + 0.1 * edge)


def tell(seen: Grounding, company: Company, shots: tuple[Box, Box, Box]) -> tuple[str, str, str]:
    """Return the captions of boxes that the model is sure of."""
    return captions(seen, company, shots, STEADY)


def told(lead: Box, medium: Box, close_up: Box, setting: str | None = "outdoor") -> tuple[str, str, str]:
    return tell(Grounding(lead, HEAD, setting=setting), Company.PERSON, (FULL_FRAME, medium, close_up))


def test_a_standing_figure_is_told_by_where_the_crops_cut_it() -> None:
    assert told(STANDING, to(4.5), to(1.9)) == (
        "A person outdoors, full length",
        "The person, three-quarter length",
        "Head and shoulders of the person",
    )


def test_a_figure_that_the_photo_cuts_gets_no_part_of_the_body() -> None:
    head, lead = Box(0.3, 0.2, 0.6, 0.5), Box(0.1, 0.2, 0.9, 1.0)
    texts = tell(Grounding(lead, head), Company.PERSON, (FULL_FRAME, Box(0.05, 0.1, 0.95, 0.98), lead))
    assert texts[0] == "A person and the surroundings"
    assert texts[1] == "A closer view of the person"


@pytest.mark.parametrize("edge", [3.5, 5.5])
def test_where_a_cut_is_not_sure_no_part_of_the_body_is_named(edge: float) -> None:
    assert told(STANDING, to(edge), to(1.9))[1] == "A closer view of the person"


def test_a_bent_figure_is_not_measured_by_heads() -> None:
    crouching = Box(0.35, 0.1, 0.65, 0.6)
    assert told(crouching, to(4.5), to(2.2)) == (
        "A person outdoors",
        "A closer view of the person",
        "A close-up of the person",
    )


def test_no_part_of_the_body_is_named_where_the_model_is_unsure() -> None:
    seen, shots = Grounding(STANDING, HEAD, setting="outdoor"), (FULL_FRAME, to(4.5), to(1.9))
    texts = captions(seen, Company.PERSON, shots, (0.9, 0.7, 0.7))
    assert texts[1:] == ("A closer view of the person", "A close-up of the person")


def test_a_small_lead_is_said_to_be_small() -> None:
    head, lead = Box(0.49, 0.4, 0.51, 0.43), Box(0.48, 0.4, 0.52, 0.6)
    wide = tell(Grounding(lead, head, setting="outdoor"), Company.PERSON, (FULL_FRAME, to(4), to(2)))[0]
    assert wide == "A person outdoors, small in the frame"


def test_a_close_up_beside_the_head_is_a_detail() -> None:
    assert told(STANDING, to(4.5), Box(0.3, 0.5, 0.6, 0.9))[2] == "A detail of the person"


def test_several_people_have_one_lead() -> None:
    seen = Grounding(STANDING, HEAD, people=None, setting="outdoor")
    assert tell(seen, Company.GROUP, (FULL_FRAME, to(4.5), to(1.9))) == (
        "A group of people outdoors",
        "One of the group, three-quarter length",
        "Head and shoulders of one of the group",
    )
    assert tell(seen, Company.SEVERAL, (FULL_FRAME, to(4.5), to(1.9)))[0] == "People outdoors"


def test_who_may_not_be_alone_is_the_main_person() -> None:
    seen = Grounding(STANDING, HEAD, people=None, setting="outdoor")
    assert tell(seen, Company.UNKNOWN, (FULL_FRAME, to(4.5), to(1.9))) == (
        "The main person outdoors, full length",
        "The main person, three-quarter length",
        "Head and shoulders of the main person",
    )


def test_nothing_known_still_makes_three_captions() -> None:
    assert tell(Grounding(), Company.PERSON, (FULL_FRAME, to(4), to(2))) == (
        "A person and the surroundings",
        "A closer view of the person",
        "A detail of the person",
    )


@given(
    groundings,
    st.sampled_from(Company),
    st.tuples(boxes, boxes, boxes),
    st.tuples(*(st.floats(0.0, 1.0) for _ in range(3))),
)
def test_captions_are_distinct_and_plain_sentences(
    grounding: Grounding,
    company: Company,
    shots: tuple[Box, Box, Box],
    scores: tuple[float, ...],
) -> None:
    texts = captions(grounding, company, shots, scores)
    assert len(set(texts)) == 3
    for text in texts:
        assert text[0].isupper() and not text.endswith(".") and "  " not in text and len(text.split()) <= 18


def test_each_sentence_begins_with_a_capital_and_ends_with_a_stop() -> None:
    assert verbalise(Grounding(setting="outdoor")).scene == "Outdoors."


def test_verbalised_reasoning_says_only_what_is_known() -> None:
    reasoning = verbalise(Grounding())
    assert (reasoning.scene, reasoning.subject, reasoning.story) == ("", "", "")
    reasoning = verbalise(Grounding(Box(0.0, 0.0, 0.3, 1.0), None, 2, "outdoor", "right", "full"))
    assert reasoning.scene == "Two people outdoors."
    assert reasoning.subject == "The main person is left of centre, facing right."
    assert reasoning.story
