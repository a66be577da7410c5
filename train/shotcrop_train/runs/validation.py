"""Validate a model during training: compose the held-back photos and measure them as `shotcrop eval` does."""

from __future__ import annotations

from collections.abc import Sequence

from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.metrics import Case, evaluate, no_subject_rates
from shotcrop_cli.shots import Answer, Composition, NoSubject
from shotcrop_train.data.samples import load_photo
from shotcrop_train.data.skipped_photos import UNREADABLE, SkippedPhotos
from shotcrop_train.torch_composer import TorchComposer

PREFIX = "held_"


def answer(
    composer: TorchComposer, records: Sequence[Record], skipped: SkippedPhotos | None = None
) -> list[Answer | None]:
    """Return a model's answers to the photos of some records, with one batch of photos in memory at a time.

    Args:
        composer: The model.
        records: The records.
        skipped: Gets the photos that cannot be opened. Their answer is None.
    """
    skipped = SkippedPhotos() if skipped is None else skipped
    answers: list[Answer | None] = [None] * len(records)
    for first in range(0, len(records), composer.batch_size):
        photos = {}
        for index in range(first, min(first + composer.batch_size, len(records))):
            try:
                photos[index] = load_photo(records[index].path, composer.base.max_side)
            except UNREADABLE as error:
                skipped.add(records[index].path, error)
        aspects = [None if records[index].squashed else records[index].aspect for index in photos]
        found = composer.compose(list(photos.values()), aspects) if photos else []
        for index, one in zip(photos, found, strict=True):
            answers[index] = one
    return answers


def validate(
    composer: TorchComposer, records: Sequence[Record], skipped: SkippedPhotos | None = None
) -> dict[str, float]:
    """Measure a model on held-back photos. Those that cannot be opened do not count; `skipped` gets them.

    Returns:
        The metrics of `evaluate` as `held_METRIC`, the mean over the shots, and `held_METRIC_SHOT`.
    """
    cases, empty, peopled = [], [], []
    for record, found in zip(records, answer(composer, records, skipped), strict=True):
        if found is None:
            continue
        if record.composition is None:
            empty.append(isinstance(found, NoSubject))
            continue
        peopled.append(isinstance(found, NoSubject))
        composition = found if isinstance(found, Composition) else None
        cases.append(Case(record.composition, composition, record.detections, record.aspect))
    metrics = (*evaluate(cases).metrics, *no_subject_rates(empty, peopled).metrics)
    figures = {f"{PREFIX}{one.name}" + (f"_{one.shot}" if one.shot else ""): one.value for one in metrics}
    return {name: round(value, 4) for name, value in figures.items()}
