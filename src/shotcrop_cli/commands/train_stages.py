"""The stages of `shotcrop train run`. Each one imports its training package when it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shotcrop_cli.evaluation.data_source import Data, open_dataset

VERIFIED_PHOTOS = 64
"""Number of photos that verify an export."""

Made = Callable[[str], str]
Stage = Callable[[Any, Made, Data, Path], Path]


def stages(offline: bool, weights: Path | None = None) -> Mapping[str, Stage]:
    """Return the function that runs each kind of stage; see `shotcrop_train.pipeline.Stage`.

    Args:
        offline: Whether to use only models on this machine.
        weights: Weights that detectors start from where the pipeline names none.
    """
    from shotcrop_train import stages as run

    def detector(stage: Any, made: Made, data: Data, output: Path) -> Path:
        start = Path(stage.start) if stage.start else weights
        fold = stage.fold if stage.fold >= 0 else None
        steps = stage.steps or None
        return Path(run.detector(stage.recipe, data, output, start, steps=steps, fold=fold, changes=stage.set))

    def sft(stage: Any, made: Made, data: Data, output: Path) -> Path:
        start, others = made(stage.start) if stage.start else None, list(map(made, stage.crossfit))
        steps = stage.steps or None
        return Path(
            run.sft(stage.recipe, data, output, start, crossfit=others, steps=steps, offline=offline, changes=stage.set)
        )

    def pseudo_label(stage: Any, made: Made, data: Data, output: Path) -> Path:
        team, limit = list(map(made, stage.proposers)), stage.limit or None
        return Path(run.pseudo_label(stage.recipe, data, output, team, limit=limit, offline=offline, changes=stage.set))

    def ssft(stage: Any, made: Made, data: Data, output: Path) -> Path:
        pseudo, start, steps = Path(made(stage.pseudo)), made(stage.start), stage.steps or None
        return Path(
            run.ssft(stage.recipe, data, pseudo, output, start, steps=steps, offline=offline, changes=stage.set)
        )

    def grpo(stage: Any, made: Made, data: Data, output: Path) -> Path:
        from shotcrop_train.pseudo.report import HARD

        hard = Path(made(stage.hard)) / HARD if stage.hard else None
        start, steps = made(stage.start), stage.steps or None
        return Path(
            run.grpo(stage.recipe, data, output, start, hard=hard, steps=steps, offline=offline, changes=stage.set)
        )

    def export(stage: Any, made: Made, data: Data, output: Path) -> Path:
        from shotcrop_cli.evaluation.dataset import read_dataset
        from shotcrop_export.nano.concepts import add_concepts
        from shotcrop_export.nano.export import export_nano
        from shotcrop_train.composer.nano_checkpoint import find_checkpoint
        from shotcrop_train.runs import provenance
        from shotcrop_train.train_detector import load_detector

        photos, start = open_dataset(data, stage.photos), Path(made(stage.start))
        captioned = [open_dataset(data, name) for name in stage.concepts]
        provenance.record(output, stage="export", recipe=stage, datasets=[photos, *captioned], start=start)
        target = output / "model"
        export_nano(start, target, [record.path for record in read_dataset(photos.folder)], verified=VERIFIED_PHOTOS)
        checkpoint = find_checkpoint(start)
        if captioned and checkpoint is not None:
            add_concepts(target, [one.folder for one in captioned], target, load_detector(checkpoint).variant)
        return target

    return {
        "detector": detector,
        "sft": sft,
        "pseudo-label": pseudo_label,
        "ssft": ssft,
        "grpo": grpo,
        "export": export,
    }
