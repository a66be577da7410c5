"""Facts about crops with other boxes than the model proposed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shotcrop_cli.captions.facts_in_box import Shown, facts_in_box
from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.shots import FULL_FRAME, Box

KNOWN, BODY, HEAD = Box(0.1, 0.1, 0.9, 0.9), Box(0.15, 0.2, 0.35, 0.85), Box(0.22, 0.2, 0.28, 0.32)
HEADS = tuple(Box(x, 0.2, x + 0.05, 0.3) for x in (0.45, 0.55, 0.65, 0.75))
NEAR, HALF = Box(0.11, 0.1, 0.89, 0.9), Box(0.1, 0.1, 0.5, 0.9)


def facts_for(facts: CropFacts, box: Box, heads: int = 4, known: Box = KNOWN, is_main: bool = True) -> CropFacts:
    return facts_in_box(facts, known, box, Shown(BODY, HEAD, HEADS[:heads], is_main))


def test_a_box_that_is_nearly_the_same_shows_the_same() -> None:
    facts = CropFacts(Who.GROUP, colour="red", thing="dog", place="snow", another="blue")
    assert facts_for(facts, NEAR) == facts
    assert facts_for(facts, HALF) != facts


@pytest.mark.parametrize(
    ("who", "heads", "box", "said"),
    [
        (Who.GROUP, 0, HALF, Who.GROUP),  # those whom the model counted are not recorded
        (Who.GROUP, 4, HALF, Who.MAIN),
        (Who.GROUP, 4, Box(0.1, 0.1, 0.7, 0.9), Who.PEOPLE),
        (Who.TWO, 1, Box(0.1, 0.1, 0.4, 0.9), Who.ONE),
        (Who.PERSON, 4, HALF, Who.PERSON),
        (Who.UNSURE, 4, HALF, Who.UNSURE),
    ],
)
def test_a_narrower_crop_shows_fewer_people(who: Who, heads: int, box: Box, said: Who) -> None:
    assert facts_for(CropFacts(who), box, heads).who is said


@pytest.mark.parametrize(
    ("who", "said"),
    [(Who.ALONE, Who.MAIN), (Who.PERSON, Who.MAIN), (Who.ONE, Who.ONE), (Who.TWO, Who.PEOPLE), (Who.GROUP, Who.GROUP)],
)
def test_a_wider_crop_may_show_more_people(who: Who, said: Who) -> None:
    assert facts_for(CropFacts(who), KNOWN, known=HALF).who is said


def test_small_heads_are_in_the_background() -> None:
    shown = Shown(BODY, Box(0.2, 0.2, 0.3, 0.4), HEADS)
    assert facts_in_box(CropFacts(Who.ALONE), HALF, KNOWN, shown).who is Who.ALONE
    assert facts_in_box(CropFacts(Who.PERSON, behind="several"), KNOWN, HALF, shown) == CropFacts(Who.PERSON)


def test_somebody_else_is_never_the_main_person() -> None:
    assert facts_for(CropFacts(Who.GROUP), HALF, is_main=False).who is Who.ONE


def test_what_may_have_been_left_out_is_not_named() -> None:
    facts = CropFacts(Who.GROUP, colour="red", thing="dog", place="snow", another="blue")
    assert facts_for(facts, HALF) == CropFacts(Who.MAIN, place="snow")
    person = CropFacts(Who.PERSON, colour="red", behind="several")
    assert facts_for(person, HALF) == replace(person, behind=None)


def test_the_place_in_the_picture_is_that_in_the_crop() -> None:
    facts = CropFacts(Who.PERSON, side="left")
    assert facts_for(facts, HALF, 0).side is None, "in its middle"
    assert facts_for(facts, FULL_FRAME, 0).side == "left"


def test_a_figure_is_whole_where_the_crop_holds_it() -> None:
    facts = CropFacts(Who.PERSON, framing="full")
    assert facts_for(facts, HALF, 0).framing == "full"
    assert facts_for(facts, Box(0.1, 0.1, 0.9, 0.6), 0).framing is None
    assert facts_for(replace(facts, framing="distance"), HALF, 0).framing is None


def test_shoulders_and_background_are_named_where_the_crop_surely_shows_them() -> None:
    facts = CropFacts(Who.PERSON, Part.SHOULDERS, background="dark")
    narrower, shorter = Box(0.15, 0.1, 0.85, 0.9), Box(0.1, 0.1, 0.9, 0.8)
    assert facts_for(facts, narrower, 0) == facts
    assert facts_for(facts, shorter, 0).part is Part.HEAD and facts_for(facts, HALF, 0).part is Part.HEAD
    assert facts_for(facts, FULL_FRAME, 0) == replace(facts, background=None)
