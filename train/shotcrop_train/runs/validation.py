"""Validate a model during training: compose the held-back photos and measure them as `shotcrop eval` does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.metrics import Case, evaluate, no_subject_rates
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import Answer, Composition, NoSubject
from shotcrop_train.data.grounding import ground
from shotcrop_train.data.samples import load_photo, load_pixels
from shotcrop_train.torch_composer import TorchComposer

PREFIX = "held_"


def answer(composer: TorchComposer, records: Sequence[Record]) -> list[Answer]:
    """Return a model's answers to the photos of some records, with one batch of photos in memory at a time."""
    answers: list[Answer] = []
    for first in range(0, len(records), composer.batch_size):
        batch = records[first : first + composer.batch_size]
        aspects = [None if record.squashed else record.aspect for record in batch]
        answers += composer.compose([_open(composer, record) for record in batch], aspects)
    return answers


def _open(composer: TorchComposer, record: Record) -> Image.Image:
    if composer.base.image_size is not None:
        return load_pixels(record.path)
    return load_photo(record.path, composer.base.max_side)


def validate(composer: TorchComposer, records: Sequence[Record]) -> dict[str, float]:
    """Measure a model on held-back photos.

    Returns:
        The metrics of `evaluate` as `held_METRIC`, the mean over the shots, and `held_METRIC_SHOT`. Also
        `held_iou_head`: how well a model that grounds its answers finds the main person's head.
    """
    cases, heads, empty, peopled = [], [], [], []
    for record, found in zip(records, answer(composer, records), strict=True):
        if record.composition is None:
            empty.append(isinstance(found, NoSubject))
            continue
        peopled.append(isinstance(found, NoSubject))
        composition = found if isinstance(found, Composition) else None
        cases.append(Case(record.composition, composition, record.detections, record.aspect))
        head = ground(record.detections, record.aspect, record.composition).head
        if head is not None and composition and composition.grounding and composition.grounding.head:
            heads.append(iou(head, composition.grounding.head))
    metrics = (*evaluate(cases).metrics, *no_subject_rates(empty, peopled).metrics)
    figures = {f"{PREFIX}{one.name}" + (f"_{one.shot}" if one.shot else ""): one.value for one in metrics}
    if heads:
        figures[f"{PREFIX}iou_head"] = float(np.mean(heads))
    return {name: round(value, 4) for name, value in figures.items()}
