from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import FIXED_BOXES
from figures import Figure, manifest, scene_of
from shotcrop_cli.model.nano.manifest import CountRule
from shotcrop_cli.model.nano.reasoning import Company, certain, company_of, count_people, ground, ground_scene
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_cli.shots import Box, Grounding, Person, Shot

MANIFEST = manifest()
BODY, HEAD = Box(0.4, 0.1, 0.6, 0.9), Box(0.45, 0.1, 0.55, 0.22)
SOMEBODY = Person(BODY, HEAD, None, 0.8, tuple(Shot(kind, box) for kind, box in FIXED_BOXES.items()))


def tags(**logits: float) -> Floats:
    """Return logits of the manifest's tags, 0 where none is given."""
    return np.array([logits.get(name, 0.0) for name in MANIFEST.tags], np.float32)


def test_what_is_sure_is_reported() -> None:
    scene = scene_of(Figure(0.5, 0.1, 0.12), Figure(0.8, 0.1, 0.1))
    grounding = ground(scene, SOMEBODY, tags(indoor=4.0, left=4.0), MANIFEST)
    assert (grounding.main_person, grounding.head) == (BODY, HEAD)
    assert (grounding.people, grounding.setting, grounding.facing) == (2, "indoor", "left")
    assert grounding.native_scale == "full"


def test_what_is_unsure_is_left_out() -> None:
    unsure = tags(indoor=1.0, outdoor=0.9, left=0.5)
    grounding = ground(scene_of(Figure(0.5, 0.1, 0.12)), SOMEBODY, unsure, MANIFEST)
    assert grounding.setting is None and grounding.facing is None
    assert ground_scene(unsure, MANIFEST) == Grounding()


def test_without_located_people_only_the_setting_is_known() -> None:
    assert ground_scene(tags(indoor=4.0, left=4.0), MANIFEST) == Grounding(setting="indoor")
    assert ground_scene(tags(outdoor=4.0), MANIFEST) == Grounding(setting="outdoor")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_people_are_counted_up_to_four(count: int) -> None:
    scene = scene_of(*(Figure(0.1 + 0.15 * i, 0.1, 0.1) for i in range(count)))
    assert count_people(scene, 0.6) == count
    assert ground(scene, SOMEBODY, tags(), MANIFEST).people == min(count, 4)


def test_somebody_unsure_is_still_one_person() -> None:
    assert ground(scene_of(Figure(0.5, 0.1, 0.12, score=0.3)), SOMEBODY, tags(), MANIFEST).people == 1


@pytest.mark.parametrize(
    ("scores", "company"),
    [
        ((0.9,), Company.PERSON),
        ((0.9, 0.1), Company.PERSON),
        ((0.9, 0.3), Company.UNKNOWN),
        ((0.4,), Company.UNKNOWN),
        ((0.9, 0.8), Company.SEVERAL),
        ((0.9, 0.8, 0.3), Company.SEVERAL),
        ((0.9, 0.8, 0.7, 0.2), Company.GROUP),
    ],
)
def test_company_says_no_more_than_is_sure(scores: tuple[float, ...], company: Company) -> None:
    scene = scene_of(*(Figure(0.1 + 0.2 * i, 0.1, 0.1, score=score) for i, score in enumerate(scores)))
    assert company_of(scene, CountRule(alone=True)) is company
    unmeasured = Company.UNKNOWN if company is Company.PERSON else company
    assert company_of(scene, CountRule()) is unmeasured


@pytest.mark.parametrize(
    ("people", "company", "told"),
    [(1, Company.PERSON, 1), (1, Company.UNKNOWN, None), (3, Company.GROUP, None), (4, Company.GROUP, 4)],
)
def test_words_give_no_number_that_may_be_too_small(people: int, company: Company, told: int | None) -> None:
    assert certain(Grounding(people=people), company).people == told


@pytest.mark.parametrize(
    ("height", "scale"), [(0.02, "wide"), (0.07, "full"), (0.18, "full"), (0.19, "medium"), (0.5, "close")]
)
def test_the_native_scale_follows_the_size_of_the_head(height: float, scale: str) -> None:
    one = replace(SOMEBODY, head=Box(0.4, 0.0, 0.6, height))
    assert ground(scene_of(Figure(0.5, 0.1, 0.12)), one, tags(), MANIFEST).native_scale == scale


def test_without_a_head_there_is_no_native_scale() -> None:
    one = replace(SOMEBODY, head=None)
    assert ground(scene_of(Figure(0.5, 0.1, 0.12)), one, tags(), MANIFEST).native_scale is None
