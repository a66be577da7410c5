"""The compact model's reasoning in figures: from what the detector saw to `Grounding`, and to what captions may say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shotcrop_cli.captions.rules import INDOORS, OUTDOORS, Company
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_cli.shots import FACINGS, NATIVE_SCALES, SETTINGS, Box, Grounding, Person

SCALE_LIMITS = (0.07, 0.19, 0.42)
"""Head heights, as shares of the photo's, between the native scales. Source: halfway between the medians of the
experts' labels."""
SURE_PERSON, POSSIBLE_PERSON = 0.5, 0.25
"""Scores of a head from which on a person is counted, and below which nobody is there."""
MANY_PEOPLE = 4
"""`Grounding.people` counts up to this: four stands for four or more."""


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
        people=min(max(count_people(scene), 1), MANY_PEOPLE),
        setting=_choose(tags, manifest.tags, SETTINGS, manifest.setting_threshold),
        facing=_choose(tags, manifest.tags, FACINGS, manifest.facing_threshold),
        native_scale=native_scale(main.head),
    )


def count_people(scene: Scene) -> int:
    """Return how many people are there for sure."""
    return int(((scene.head_score >= SURE_PERSON) | (scene.body_score >= SURE_PERSON)).sum())


def company_of(scene: Scene) -> Company:
    """Return how many people the photo is sure to show."""
    sure, possible = count_people(scene), int((scene.head_score >= POSSIBLE_PERSON).sum())
    if sure >= 3:
        return Company.GROUP
    if sure == 2:
        return Company.SEVERAL
    return Company.PERSON if sure == 1 and max(sure, possible) == 1 else Company.UNKNOWN


def predicted_tags(tags: Floats, manifest: NanoManifest) -> frozenset[str]:
    """Return what the detector's tags say about the place, in the words of `captions.rules`."""
    setting = _choose(tags, manifest.tags, SETTINGS, manifest.setting_threshold)
    words = {"indoor": INDOORS, "outdoor": OUTDOORS}
    return frozenset() if setting is None else frozenset({words[setting]})


def native_scale(head: Box | None) -> str | None:
    """Return how the photo frames a person, from the height of the head; None without a head."""
    if head is None:
        return None
    return NATIVE_SCALES[int(np.searchsorted(SCALE_LIMITS, head.height, side="right"))]


def _choose(tags: Floats, names: Sequence[str], choices: Sequence[str], threshold: float) -> str | None:
    """Return the most likely of some tags that exclude each other, None if it is less likely than the threshold."""
    logits = np.array([tags[names.index(choice)] for choice in choices], np.float64)
    odds = np.exp(logits - logits.max())
    best = int(logits.argmax())
    return choices[best] if odds[best] / odds.sum() >= threshold else None
