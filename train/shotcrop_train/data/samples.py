"""Training samples: a photo and its targets, from experts, detections or pseudo labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.shots import SHOT_TYPES, Box, Grounding, Reasoning
from shotcrop_train.data import rule_based
from shotcrop_train.data.grounding import ground, guess_aspect

CACHE_SIDE = 352
"""Photos are kept in memory squashed to at most this many pixels per side. 256 of them are 73 % of the side."""


@dataclass(frozen=True, slots=True)
class ShotTarget:
    """What is known of one shot.

    Args:
        box: The crop, None when unknown.
        captions: Any number of captions; one is drawn each time.
        weight: Weight in the loss; an expert's shot has 1. A shot of weight 0 is part of the answer, since an answer
            needs three shots, but has no loss.
    """

    box: Box | None = None
    captions: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo and its targets.

    Args:
        path: The photo.
        aspect: Width / height of the upright photo, None when unknown.
        grounding: The chain of thought in figures; fields that are None have no loss.
        shots: Targets of the three shots, in their order; empty for a photo without people.
        reasoning: The chain of thought in words.
    """

    path: Path
    aspect: float | None
    grounding: Grounding
    shots: tuple[ShotTarget, ...]
    reasoning: Reasoning = field(default_factory=Reasoning)


def expert_samples(records: Iterable[Record]) -> list[Sample]:
    """Return a sample for each record with a triple. A shot that was not accepted gets weight 0."""
    samples = []
    for record in records:
        if record.composition is None:
            continue
        shots = tuple(
            ShotTarget(shot.box, (shot.caption,) if shot.caption else (), float(accepted))
            for shot, accepted in zip(record.composition.shots, record.accepted, strict=True)
        )
        grounding = ground(record.detections, record.aspect, record.composition)
        samples.append(Sample(record.path, _known_aspect(record), grounding, shots, record.composition.reasoning))
    return samples


def proposal_samples(records: Iterable[Record], shot_weight: float) -> list[Sample]:
    """Return a sample for each record with detections: grounding, rule-based triple, captions of the whole photo."""
    samples = []
    for record in records:
        if not record.detections.persons:
            continue
        aspect = guess_aspect(record.detections.faces) if record.squashed else record.aspect
        grounding = ground(record.detections, aspect)
        boxes = rule_based.propose(grounding, record.detections, aspect) or (None,) * len(SHOT_TYPES)
        captions = (record.captions, (), ())
        shots = tuple(ShotTarget(box, texts, shot_weight) for box, texts in zip(boxes, captions, strict=True))
        samples.append(Sample(record.path, _known_aspect(record), grounding, shots))
    return samples


def empty_samples(records: Iterable[Record]) -> list[Sample]:
    """Return a sample for each record of a photo without people."""
    return [
        Sample(record.path, _known_aspect(record), Grounding(people=0), ()) for record in records if record.no_subject
    ]


def _known_aspect(record: Record) -> float | None:
    return None if record.squashed else record.aspect


def held_back(record: Record) -> bool:
    """Return whether a record belongs to the tenth of a training set that is held back for validation.

    The file's name decides, so this tenth is the same in every run and every stage.
    """
    return hashlib.sha256(record.path.name.encode()).digest()[0] % 10 == 0


def load_photo(photo: Path | BinaryIO, max_side: int | None = None) -> Image.Image:
    """Return the upright photo in its own shape, its longer side at most `max_side` pixels, mode RGB."""
    with Image.open(photo) as image:
        if max_side is not None:
            image.draft("RGB", (max_side, max_side))
        upright = ImageOps.exif_transpose(image).convert("RGB")
    if max_side is not None and max(upright.size) > max_side:
        upright.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    return upright


def load_pixels(path: Path, side: int = CACHE_SIDE) -> Image.Image:
    """Return the whole upright photo squashed into at most `side` x `side` pixels, mode RGB."""
    with Image.open(path) as image:
        image.draft("RGB", (side, side))
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return upright.resize(
        (min(upright.width, side), min(upright.height, side)), Image.Resampling.BILINEAR, reducing_gap=2.0
    )


def split(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Split records into those to train on and those held back."""
    return [one for one in records if not held_back(one)], [one for one in records if held_back(one)]
