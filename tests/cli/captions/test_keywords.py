"""Keywords: which there are, and in which languages."""

from __future__ import annotations

from itertools import product

import pytest

from conftest import fixed_composition
from shotcrop_cli.captions.keywords import KEYWORDS, keywords_in, keywords_of
from shotcrop_cli.crop_facts import ACTIONS, PLACES, THINGS, CropFacts
from shotcrop_cli.shots import SETTINGS, Composition, Grounding


def test_each_keyword_that_a_crop_may_have_can_be_translated() -> None:
    facts = [
        *(CropFacts(place=place) for place in PLACES),
        *(CropFacts(thing=thing) for thing in THINGS),
        *(CropFacts(action=action) for action in ACTIONS),
    ]
    shots = fixed_composition().shots
    answers = [Composition(shots, grounding=Grounding(setting=setting), facts=tuple(facts)) for setting in SETTINGS]
    found = {word for answer, number in product(answers, range(len(facts))) for word in keywords_of(answer, number)}
    assert found == set(KEYWORDS)


@pytest.mark.parametrize(
    ("language", "said"),
    [("de-AT", ("Hund", "Ana")), ("zh", ("狗", "Ana")), ("pt-BR", ("dog", "Ana")), ("en", ("dog", "Ana"))],
)
def test_what_the_rules_do_not_know_stays_as_it_is(language: str, said: tuple[str, ...]) -> None:
    assert keywords_in(language, ("dog", "Ana")) == said
