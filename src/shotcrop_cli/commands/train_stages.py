"""The stages of `shotcrop train run`. Each one imports its training package when it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

VERIFIED_PHOTOS = 64
"""Number of photos that verify an export and give 8-bit integers their ranges. None of them is held back."""

Made = Callable[[str], str]
Stage = Callable[[Any, Made, Path, Path], Path]


def stages(offline: bool) -> Mapping[str, Stage]:
    """Return the function that runs each kind of stage; see `shotcrop_train.pipeline.Stage`.

    Args:
        offline: Whether to use only models on this machine.
    """

    def sft(stage: Any, made: Made, data: Path, output: Path) -> Path:
        from shotcrop_train import sft
        from shotcrop_train.pipeline import stage_recipe
        from shotcrop_train.recipe import SftRecipe

        start = made(stage.start) if stage.start else None
        return Path(sft.train(stage_recipe(stage, SftRecipe), data, output, start, offline=offline))

    def pseudo_label(stage: Any, made: Made, data: Path, output: Path) -> Path:
        from shotcrop_train import pseudo_label
        from shotcrop_train.pipeline import stage_recipe

        recipe = stage_recipe(stage, pseudo_label.PseudoLabelRecipe)
        proposers = [made(proposer) for proposer in stage.proposers]
        return Path(pseudo_label.label(recipe, data, output, proposers, offline=offline, limit=stage.limit or None))

    def ssft(stage: Any, made: Made, data: Path, output: Path) -> Path:
        from shotcrop_train import ssft
        from shotcrop_train.pipeline import stage_recipe

        recipe, pseudo = stage_recipe(stage, ssft.SsftRecipe), Path(made(stage.pseudo))
        return Path(ssft.train(recipe, data, pseudo, output, made(stage.start), offline=offline))

    def grpo(stage: Any, made: Made, data: Path, output: Path) -> Path:
        from shotcrop_train import grpo
        from shotcrop_train.pipeline import stage_recipe
        from shotcrop_train.pseudo.report import HARD

        hard = Path(made(stage.hard)) / HARD if stage.hard else None
        recipe = stage_recipe(stage, grpo.GrpoRecipe)
        return Path(grpo.train(recipe, data, output, made(stage.start), hard=hard, offline=offline))

    def export(stage: Any, made: Made, data: Path, output: Path) -> Path:
        from shotcrop_cli.evaluation.dataset import read_dataset
        from shotcrop_export.nano.export import NanoExportOptions, export_nano
        from shotcrop_train.data.samples import held_back
        from shotcrop_train.runs import provenance

        photos, start = data / stage.photos, made(stage.start)
        folders = [data / name for name in stage.words]
        provenance.record(output, stage="export", recipe=stage, datasets=[photos, *folders], start=start)
        records = read_dataset(photos)
        verified = [record.path for record in records if not held_back(record)][:VERIFIED_PHOTOS]
        target = output / "model"
        captions = [record for folder in folders for record in read_dataset(folder)]
        calibration = records if stage.calibrate else ()
        options = NanoExportOptions(calibration=calibration, int8=stage.int8, captioned=captions)
        export_nano(Path(start), target, verified, options)
        return target

    return {"sft": sft, "pseudo-label": pseudo_label, "ssft": ssft, "grpo": grpo, "export": export}
