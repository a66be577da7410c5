"""Stage 2 of the compact model, second half: learn from experts' shots and accepted pseudo labels.

The algorithm is that of stage 1 with two kinds of photos. Pseudo-labelled photos are drawn so often that the networks
learn `ratio` accepted shots for each expert's shot. Only accepted shots have a loss.

    shotcrop train ssft --config nano --data DATA --pseudo runs/labels -o runs/ssft --from runs/sft/final
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data, open_datasets
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_train.composer.composer_fit import fit
from shotcrop_train.composer.composer_run import CHECKPOINT_TABLES, ComposerRun, Log, examples_of
from shotcrop_train.composer.nano_checkpoint import load_members
from shotcrop_train.composer.nano_recipe import NanoRecipe
from shotcrop_train.nano.composer_examples import Example
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.detector_labels import LabelledPhoto
from shotcrop_train.nano.folds import Fold
from shotcrop_train.pseudo.report import SUMMARY
from shotcrop_train.runs import provenance


def train(recipe: NanoRecipe, data: Data, pseudo: Path, output: Path, start: Path) -> Path:
    """Run the second half of stage 2 and return the folder of the checkpoint.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        pseudo: Dataset written by `train pseudo-label`.
        output: Run folder; see `composer_sft.train`.
        start: Checkpoint of stage 1.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset or the checkpoint cannot be read, or no pseudo label was accepted.
    """
    if not (pseudo / SUMMARY).is_file():
        raise ShotcropError(
            f"{pseudo} holds no complete pseudo labels: {SUMMARY} is missing",
            hint="name the folder of a `train pseudo-label` run, or start that run again until it is complete",
        )
    used = recipe.data.experts + recipe.data.empty
    provenance.record(
        output,
        stage="ssft",
        recipe=recipe.only("ssft", *CHECKPOINT_TABLES),
        datasets=[*open_datasets(data, used), pseudo],
        start=start,
    )
    run, members, plan = ComposerRun(recipe, data, output, start), load_members(start), recipe.ssft
    experts = run.experts()
    labelled = run.see([pseudo], has_accepted)
    if not labelled:
        raise ShotcropError(f"no shot of {pseudo} was accepted", hint="label more photos, or relax the recipe's rule")
    rng, teaching = np.random.default_rng(recipe.composer.seed), run.teaching(experts)
    groups = [examples_of(one, plan.examples, rng) for one in (*teaching, *labelled)]

    def fit_one(number: int, unseen: Fold, log: Log) -> ComposerNetwork:
        kept = [bool(group) for group in groups]
        for index, one in enumerate(teaching):
            kept[index] &= not unseen.holds(one.photo.path)
        chosen = [group for group, keep in zip(groups, kept, strict=True) if keep]
        often = draws(chosen, sum(kept[: len(teaching)]), plan.ratio)
        return fit(
            chosen,
            recipe.composer,
            plan.fitting,
            plan.loss,
            recipe.composer.seed + number,
            often=often,
            start=None if plan.restart else members[number].network,
            say=lambda step, loss: log(step, {"loss": loss}),
        )

    return run.train(experts, [member.unseen for member in members], fit_one)


def has_accepted(photo: LabelledPhoto) -> bool:
    """Return whether a photo has a triple of which at least one shot was accepted."""
    return photo.triple is not None and any(photo.accepted)


def draws(groups: list[list[Example]], experts: int, ratio: float) -> Floats:
    """Return how often each photo is drawn: experts' photos, which come first, once.

    Args:
        groups: The examples of each photo.
        experts: Number of experts' photos.
        ratio: Accepted shots per expert's shot.
    """
    shots = np.array([group[0].weight.sum() for group in groups])
    often = np.ones(len(groups))
    often[experts:] = ratio * shots[:experts].sum() / max(float(shots[experts:].sum()), 1.0)
    return often
