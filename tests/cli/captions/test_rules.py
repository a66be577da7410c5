from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.captions.rules import count_facts, describe, reword, verbalise
from shotcrop_cli.crop_facts import (
    ACTIONS,
    BACKGROUNDS,
    COLOURS,
    FACINGS,
    FRAMINGS,
    PLACES,
    SIDES,
    THINGS,
    CropFacts,
    Part,
    Who,
)
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Grounding, Shot

optional = {
    name: st.sampled_from([None, *values])
    for name, values in {
        "colour": COLOURS,
        "thing": THINGS,
        "action": ACTIONS,
        "place": PLACES,
        "facing": FACINGS,
        "framing": FRAMINGS,
        "background": BACKGROUNDS,
        "side": SIDES,
        "another": COLOURS,
    }.items()
}
wider = st.builds(CropFacts, who=st.sampled_from(Who), **optional)
closest = st.builds(CropFacts, who=st.sampled_from(Who), part=st.sampled_from(Part), **optional)

CHILD = CropFacts(Who.CHILD, colour="red", thing="dog", place="snow")


def captions(*crops: CropFacts) -> tuple[str, ...]:
    return tuple(text.caption for text in describe(crops))


def test_each_shot_says_what_it_shows_best() -> None:
    assert captions(
        replace(CHILD, facing="left", side="right"),
        replace(CHILD, thing=None, facing="left", framing="three-quarter"),
        CropFacts(Who.CHILD, Part.FACE, place="snow", facing="left", background="light"),
    ) == (
        "A child in red with a dog in the snow, on the right of the picture",
        "One child in red in the snow, facing left",
        "The face of a child, facing left, against a light background",
    )


def test_where_little_is_known_medium_and_close_up_say_where_people_are() -> None:
    person = CropFacts(Who.PERSON, place="outdoor")
    assert captions(person, replace(person, facing="away"), replace(person, part=Part.SHOULDERS, facing="away")) == (
        "A person outdoors",
        "A person outdoors, seen from behind",
        "Head and shoulders of a person outdoors, seen from behind",
    )


def test_the_clothes_of_one_of_the_people_are_not_those_of_all() -> None:
    one = CropFacts(Who.ONE, colour="red", place="beach", facing="left")
    assert captions(CropFacts(Who.PEOPLE), one, replace(one, part=Part.FACE, facing=None))[1:] == (
        "One of the people, in red at the beach, facing left",
        "The face of one of the people, in red at the beach",
    )


def test_several_people_have_one_who_wears_a_colour() -> None:
    group = CropFacts(Who.GROUP, colour="blue", place="street")
    assert captions(group, replace(group, who=Who.PEOPLE), CropFacts(Who.PERSON, Part.FACE, colour="blue")) == (
        "A group of people in town, one of them in blue",
        "People in town, one of them in blue",
        "The face of a person in blue",
    )


@pytest.mark.parametrize(
    ("medium", "wide", "said"),
    [
        ("three-quarter", None, ("People outdoors", "People outdoors, three-quarter length")),
        (None, "full", ("People outdoors, full length", "People outdoors")),
        (None, None, ("People outdoors", "People outdoors, in a closer view")),
    ],
)
def test_two_shots_about_which_the_same_is_known_still_differ(
    medium: str | None, wide: str | None, said: tuple[str, str]
) -> None:
    people = CropFacts(Who.PEOPLE, place="outdoor")
    crops = (replace(people, framing=wide), replace(people, framing=medium), CropFacts(Who.ONE, Part.FACE))
    assert captions(*crops)[:2] == said


def test_a_medium_shot_says_that_there_is_no_one_else() -> None:
    alone, person = CropFacts(Who.ALONE, place="outdoor"), CropFacts(Who.PERSON, place="outdoor")
    face = CropFacts(Who.ALONE, Part.FACE)
    assert captions(alone, alone, face)[:2] == ("A person outdoors", "One person outdoors")
    facing = replace(alone, facing="left")
    assert captions(facing, facing, face)[:2] == ("A person outdoors", "One person outdoors, facing left")
    assert captions(person, person, face)[:2] == ("A person outdoors", "A person outdoors, in a closer view")
    assert describe((person, alone, face))[1].alt_text == "One person outdoors."


def test_people_in_the_background_are_named_once() -> None:
    person = CropFacts(Who.PERSON, place="street", facing="left", behind="several")
    one = replace(person, behind="one")
    face = CropFacts(Who.PERSON, Part.FACE)
    texts = describe((person, one, face))
    assert [text.caption for text in texts[:2]] == [
        "A person in town, with other people in the background",
        "A person in town, facing left",
    ]
    assert texts[1].alt_text == "A person in town, facing left, with someone else in the background."
    assert count_facts(person) == 3
    subject = verbalise(Grounding(main_person=Box(0.0, 0.0, 0.2, 1.0)), (person,)).subject
    assert subject == "The main person is on the left of the photo, facing left."


def test_an_establishing_shot_says_where_a_face_points_if_nothing_else_is_known() -> None:
    plain = CropFacts(Who.PERSON, place="outdoor", facing="left")
    face = CropFacts(Who.PERSON, Part.FACE)
    assert captions(plain, replace(plain, facing=None), face)[0] == "A person outdoors, facing left"
    assert captions(replace(plain, place="snow"), plain, face)[0] == "A person in the snow"
    both = "A person outdoors, facing left, on the right of the picture"
    assert captions(replace(plain, side="right"), plain, face)[0] == both
    unsure = replace(plain, who=Who.MAIN)
    assert captions(unsure, unsure, face)[:2] == ("The main person outdoors", "The main person outdoors, facing left")


def test_two_of_several_people_wear_two_colours() -> None:
    two = CropFacts(Who.TWO, colour="red", place="beach", another="dark")
    tight = replace(two, part=Part.HEAD, place=None)
    assert captions(two, replace(two, another=None), tight) == (
        "Two people at the beach, one of them in red and another in dark clothes",
        "Two people at the beach, one of them in red",
        "The heads of two people, one of them in red and another in dark clothes",
    )


def test_what_may_be_no_person_is_called_a_scene() -> None:
    scene = CropFacts(Who.UNSURE, thing="dog", place="outdoor")
    assert captions(scene, replace(scene, thing=None), CropFacts(Who.UNSURE, Part.DETAIL, place="outdoor")) == (
        "A scene with a dog outdoors",
        "A scene outdoors",
        "A detail of a scene outdoors",
    )
    body = Grounding(Box(0.0, 0.0, 0.3, 1.0))
    assert verbalise(body, (scene,)).subject == "" and verbalise(body, (CropFacts(),)).subject
    assert describe((CropFacts(Who.UNSURE), scene, scene), strict=True)[0].caption == ""


def test_a_close_up_without_shoulders_shows_a_head() -> None:
    said = [captions(CropFacts(), CHILD, CropFacts(Who.CHILD, part))[2] for part in (Part.SHOULDERS, Part.HEAD)]
    assert said == ["Head and shoulders of a child", "The head of a child"]


def test_where_others_may_be_no_one_is_called_a_person() -> None:
    main = CropFacts(Who.MAIN, place="water")
    assert captions(main, main, replace(main, part=Part.DETAIL)) == (
        "The main person at the water",
        "The main person at the water, in a closer view",
        "A detail of the main person at the water",
    )


def test_a_small_person_is_seen_from_a_distance() -> None:
    small = CropFacts(Who.PERSON, place="rocks", framing="distance")
    assert captions(small, CropFacts(), CropFacts(part=Part.DETAIL))[0] == "A person among rocks, seen from a distance"


def test_nothing_known_names_the_subject_plainly() -> None:
    crops = (CropFacts(), CropFacts(), CropFacts(part=Part.DETAIL))
    assert captions(*crops) == ("The main person", "The main person, in a closer view", "A detail of the main person")


def test_alternative_texts_are_sentences_with_all_facts() -> None:
    wide = replace(CHILD, facing="left", framing="full", side="right")
    assert describe((wide, CHILD, CHILD))[0].alt_text == (
        "A child in red with a dog in the snow, facing left, full length, on the right of the picture."
    )


def test_a_person_and_the_size_of_the_shot_are_no_facts() -> None:
    assert count_facts(CropFacts(Who.PERSON, Part.FACE, framing="full")) == 0
    assert count_facts(CropFacts(Who.MAIN)) == 0
    assert count_facts(CHILD) == 4


@given(wider, wider, closest)
def test_captions_are_distinct_and_plain(wide: CropFacts, medium: CropFacts, tight: CropFacts) -> None:
    texts = describe((wide, medium, tight))
    assert len({text.caption for text in texts}) == 3
    for text in texts:
        assert not text.caption.endswith(".") and text.alt_text.endswith(".")
        for one in (text.caption, text.alt_text):
            assert one[0] == one[0].upper() and "  " not in one and not {"{", "}"} & set(one)


def test_an_answer_is_reworded_from_its_facts() -> None:
    box = Box(0.0, 0.0, 0.3, 1.0)
    shots = tuple(Shot(kind, box, "old", 0.5) for kind in SHOT_TYPES)
    plain = Composition(shots)
    assert reword(plain) is plain
    said = reword(Composition(shots, grounding=Grounding(box), facts=(CHILD, CHILD, replace(CHILD, part=Part.FACE))))
    assert said.shots[0].caption == "A child in red with a dog in the snow"
    assert all(shot.alt_text and shot.score == 0.5 for shot in said.shots)
    assert said.reasoning.scene == "A child in the snow."
    assert said.reasoning.subject == "The person is on the left of the photo."


def test_each_sentence_begins_with_a_capital_and_ends_with_a_stop() -> None:
    assert verbalise(Grounding(setting="outdoor")).scene == "Outdoors."


def test_verbalised_reasoning_says_only_what_is_known() -> None:
    reasoning = verbalise(Grounding())
    assert (reasoning.scene, reasoning.subject, reasoning.story) == ("", "", "")
    reasoning = verbalise(Grounding(Box(0.0, 0.0, 0.3, 1.0), None, 2, "outdoor", "right", "full"))
    assert reasoning.scene == "Two people outdoors."
    assert reasoning.subject == "The main person is on the left of the photo, facing right."
    assert reasoning.story
    assert verbalise(Grounding(people=4), (CropFacts(),)).scene == ""


@pytest.mark.parametrize(
    ("part", "end"),
    [
        (Part.FACE, "the face."),
        (Part.SHOULDERS, "the head."),
        (Part.HEAD, "the head."),
        (Part.DETAIL, "a detail."),
    ],
)
def test_a_story_ends_with_what_the_close_up_shows(part: Part, end: str) -> None:
    grounding = Grounding(Box(0.0, 0.0, 0.3, 1.0), native_scale="full")
    assert verbalise(grounding, (CHILD, CHILD, replace(CHILD, part=part))).story.endswith(f"then {end}")
    assert verbalise(grounding).story.endswith("then the head.")
