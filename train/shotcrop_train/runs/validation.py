"""Validate a model during training: compose the held-back photos and measure them as `shotcrop eval` does."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.metrics import Case, evaluate, no_subject_rates
from shotcrop_cli.shots import Answer, Composition, NoSubject
from shotcrop_train.data.samples import load_photo
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
    return load_photo(record.path, composer.base.max_side)


def validate(composer: TorchComposer, records: Sequence[Record]) -> dict[str, float]:
    """Measure a model on held-back photos.

    Returns:
        The metrics of `evaluate` as `held_METRIC`, the mean over the shots, and `held_METRIC_SHOT`.
    """
    cases, empty, peopled = [], [], []
    for record, found in zip(records, answer(composer, records), strict=True):
        if record.composition is None:
            empty.append(isinstance(found, NoSubject))
            continue
        peopled.append(isinstance(found, NoSubject))
        composition = found if isinstance(found, Composition) else None
        cases.append(Case(record.composition, composition, record.detections, record.aspect))
    metrics = (*evaluate(cases).metrics, *no_subject_rates(empty, peopled).metrics)
    figures = {f"{PREFIX}{one.name}" + (f"_{one.shot}" if one.shot else ""): one.value for one in metrics}
    return {name: round(value, 4) for name, value in figures.items()}
