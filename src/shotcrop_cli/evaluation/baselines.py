"""Triples that ignore the pixels: the baselines that a model has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, Composition, Shot


class Baseline(str, Enum):
    """A constant triple to compare with."""

    FULL = "full"
    """The whole frame three times."""
    CENTRE = "centre"
    """Fixed boxes around the middle."""
    MEAN = "mean"
    """The mean box per shot of a training set."""

    def __str__(self) -> str:
        return self.value


CENTRE_BOXES = (
    Box(0.025, 0.025, 0.975, 0.975),
    Box(0.20, 0.20, 0.80, 0.80),
    Box(0.35, 0.25, 0.65, 0.55),
)
"""95 %, 60 % and 30 % of each side around the middle, the close-up raised to where heads usually are."""

MEAN_BOXES = (
    Box(0.0241, 0.0283, 0.9826, 0.9731),
    Box(0.2304, 0.1466, 0.7777, 0.7543),
    Box(0.3534, 0.1838, 0.6655, 0.5100),
)
"""Mean of each side over 605 expert triples of our training set."""


def mean_boxes(compositions: Sequence[Composition]) -> tuple[Box, ...]:
    """Return the mean of each side per shot, in the order of `SHOT_TYPES`.

    Raises:
        ValueError: There are no compositions.
    """
    if not compositions:
        raise ValueError("a mean needs at least one composition")
    count = len(compositions)
    return tuple(
        Box(*(sum(sides) / count for sides in zip(*(triple[kind].box for triple in compositions), strict=True)))
        for kind in SHOT_TYPES
    )


def triple(baseline: Baseline, mean: tuple[Box, ...] = MEAN_BOXES) -> Composition:
    """Return the baseline's answer to every photo.

    Args:
        baseline: Which one.
        mean: The boxes of `Baseline.MEAN`, in the order of `SHOT_TYPES`.
    """
    boxes = {
        Baseline.FULL: (FULL_FRAME,) * len(SHOT_TYPES),
        Baseline.CENTRE: CENTRE_BOXES,
        Baseline.MEAN: mean,
    }[baseline]
    return Composition(tuple(Shot(kind, box) for kind, box in zip(SHOT_TYPES, boxes, strict=True)))
