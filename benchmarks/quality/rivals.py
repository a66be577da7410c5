"""Answers to annotated photos that need no model: the baselines, and the expert's own crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shotcrop_cli.evaluation.baselines import Baseline, triple
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Shot
from shotcrop_train.data import rule_based
from shotcrop_train.data.grounding import ground


@dataclass(frozen=True, slots=True)
class Rival:
    """One set of answers.

    Args:
        name: Its name in the tables.
        answers: One per annotated photo.
    """

    name: str
    answers: tuple[Composition, ...]


def rivals(records: Sequence[Record], mean: tuple[Box, ...]) -> list[Rival]:
    """Return the baselines.

    Args:
        records: The annotated photos.
        mean: The mean boxes of a training set, in the order of `SHOT_TYPES`.
    """
    means = triple(Baseline.MEAN, mean)
    return [
        Rival("full frame", (triple(Baseline.FULL),) * len(records)),
        Rival("fixed boxes in the middle", (triple(Baseline.CENTRE),) * len(records)),
        Rival("mean box of train", (means,) * len(records)),
        Rival("rules over the detections", tuple(by_rule(record) or means for record in records)),
    ]


def expert(records: Sequence[Record]) -> Rival:
    """Return the expert's crops, with which all others are compared.

    Args:
        records: The annotated photos.
    """
    return Rival("the expert", tuple(record.composition for record in records if record.composition is not None))


def by_rule(record: Record) -> Composition | None:
    """Let the rules crop a photo. Returns None if the detections show no main person, or no head of theirs."""
    boxes = rule_based.propose(ground(record.detections, record.aspect), record.detections, record.aspect)
    if boxes is None:
        return None
    return Composition(tuple(Shot(kind, box) for kind, box in zip(SHOT_TYPES, boxes, strict=True)))
