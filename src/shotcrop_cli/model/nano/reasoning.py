"""The compact model's reasoning in figures: from what the detector saw to `Grounding`, and to what captions may say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

import numpy as np

from shotcrop_cli.body import native_scale
from shotcrop_cli.model.nano.manifest import CountRule, NanoManifest
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_cli.shots import FACINGS, MANY_PEOPLE, SETTINGS, Grounding, Person


class Company(Enum):
    """How many people a photo surely shows: unknown, just one, at least two, or at least three."""

    UNKNOWN = "unknown"
    PERSON = "one"
    SEVERAL = "two or more"
    GROUP = "three or more"


def ground(scene: Scene, main: Person, tags: Floats, manifest: NanoManifest) -> Grounding:
    """Return the chain of thought in figures.

    Args:
        scene: What the photo shows.
        main: The main person.
        tags: Logits (tags,) of the manifest's tags.
        manifest: The model's.
    """
    return Grounding(
        main_person=main.body,
        head=main.head,
        people=min(max(count_people(scene, manifest.count.sure), 1), MANY_PEOPLE),
        setting=_choose(tags, manifest.tags, SETTINGS, manifest.setting_threshold),
        facing=_choose(tags, manifest.tags, FACINGS, manifest.facing_threshold),
        native_scale=None if main.head is None else native_scale(main.head.height),
    )


def ground_scene(tags: Floats, manifest: NanoManifest) -> Grounding:
    """Return what the tags alone say, for a photo whose people were not located; see `ground`."""
    return Grounding(setting=_choose(tags, manifest.tags, SETTINGS, manifest.setting_threshold))


def certain(grounding: Grounding, company: Company) -> Grounding:
    """Return a grounding that keeps the number of people only where it is certain, for use in words.

    Detectors miss people more often than they invent them, so "four or more" is certain where four were counted, and
    smaller numbers are not.
    """
    if company is Company.PERSON or grounding.people == MANY_PEOPLE:
        return grounding
    return replace(grounding, people=None)


def count_people(scene: Scene, least: float) -> int:
    """Return how many people have a head or body with at least this score."""
    return int((np.maximum(scene.head_score, scene.body_score) >= least).sum())


def company_of(scene: Scene, rule: CountRule) -> Company:
    """Return how many people the photo is sure to show."""
    sure, possible = count_people(scene, rule.sure), count_people(scene, rule.possible)
    if sure >= 3:
        return Company.GROUP
    if sure == 2:
        return Company.SEVERAL
    return Company.PERSON if rule.alone and sure == possible == 1 else Company.UNKNOWN


def _choose(tags: Floats, names: Sequence[str], choices: Sequence[str], threshold: float) -> str | None:
    """Return the most likely of some tags that exclude each other, None if it is less likely than the threshold."""
    logits = np.array([tags[names.index(choice)] for choice in choices], np.float64)
    odds = np.exp(logits - logits.max())
    best = int(logits.argmax())
    return choices[best] if odds[best] / odds.sum() >= threshold else None
