"""Stage 1 of the compact model: learn from experts' triples where to crop, given what is seen in a photo.

The algorithm: let the detector look at every expert photo and its mirror image; list the possible main subjects of each
scene; fit networks with different seeds (`composer_fit`). Scenes are mirrored and disturbed. Scenes that the teachers
saw are mixed in. Each network leaves out one fold of the photos, and its figures are measured there.

    shotcrop train sft --config nano --data DATA -o runs/sft --from runs/detector/final
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shotcrop_cli.evaluation.data_source import Data, open_datasets
from shotcrop_train.composer.composer_fit import fit
from shotcrop_train.composer.composer_run import CHECKPOINT_TABLES, ComposerRun, Log, examples_of, fold_list
from shotcrop_train.composer.nano_recipe import NanoRecipe
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.folds import Fold
from shotcrop_train.runs import provenance


def train(recipe: NanoRecipe, data: Data, output: Path, detector: Path, crossfit: Sequence[Path] = ()) -> Path:
    """Run stage 1 and return the folder of the checkpoint.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Run folder. It will hold `log.jsonl`, `curves.png` and the checkpoint in `final`.
        detector: Folder of a trained detector.
        crossfit: Folders of further detectors; see `photo_scenes`.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset or a detector cannot be read.
    """
    used = recipe.data.experts + recipe.data.empty
    provenance.record(
        output,
        stage="sft",
        recipe=recipe.only("sft", *CHECKPOINT_TABLES),
        datasets=open_datasets(data, used),
        start=detector,
        helpers=crossfit,
    )
    run = ComposerRun(recipe, data, output, detector, tuple(crossfit))
    experts, plan = run.experts(), recipe.sft
    rng, teaching = np.random.default_rng(recipe.composer.seed), run.teaching(experts)
    groups = [examples_of(one, plan.examples, rng) for one in teaching]

    def fit_one(number: int, unseen: Fold, log: Log) -> ComposerNetwork:
        chosen = [
            group for one, group in zip(teaching, groups, strict=True) if group and not unseen.holds(one.photo.path)
        ]
        seed = recipe.composer.seed + number
        return fit(
            chosen, recipe.composer, plan.fitting, plan.loss, seed, say=lambda step, loss: log(step, {"loss": loss})
        )

    return run.train(experts, fold_list(recipe), fit_one)
