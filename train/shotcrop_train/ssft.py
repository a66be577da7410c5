"""Stage 2, second half: semi-supervised fine-tuning on experts' shots and accepted pseudo labels.

The algorithm is that of stage 1 on a mixture with one more group: photos with at least one accepted shot. Of these,
the accepted shots alone carry loss; the others are written, since an answer needs all three, and masked [S].
Pseudo-labelled photos are drawn so often that one accepted shot is learned for each expert's shot [S].

    shotcrop train ssft --config nano-ssft --data DATA --pseudo runs/pseudo -o runs/ssft --from runs/cot/final

Departures from the paper [O]:
* Groups of stage 1 that the recipe gives a share, such as photos of nobody, stay in the mixture.
* The chain of thought of a pseudo-labelled photo, its proposer's own, is learned like an expert's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import set_seed

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train.data.samples import Sample, expert_samples
from shotcrop_train.pseudo.report import SUMMARY
from shotcrop_train.recipe import SftRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.sft import dataset_folders, fit, load_start, read_training_set

EXPERT, PSEUDO = "expert", "pseudo"


@dataclass(frozen=True)
class SsftRecipe(SftRecipe):
    """A supervised run with pseudo labels; `data.shares` are those of stage 1, the pseudo labels' follows from them.

    Args:
        ratio: Accepted pseudo shots that are learned for each expert's shot.
    """

    ratio: float = 1.0

    def __post_init__(self) -> None:
        if not self.ratio > 0.0:
            raise ValueError(f"ratio must be above 0, not {self.ratio}")
        if not self.data.shares.get(EXPERT, 0.0) > 0.0:
            raise ValueError("the ratio is one to experts, so shares must give `expert` some")


def train(
    recipe: SsftRecipe,
    data: Path,
    pseudo: Path,
    output: Path,
    start: str | Path | None = None,
    *,
    offline: bool = False,
) -> Path:
    """Run the second half of stage 2 and return the folder of the trained model.

    Args:
        recipe: What to do.
        data: Folder that holds the recipe's datasets.
        pseudo: Dataset that `pseudo_label.label` wrote.
        output: Run folder; see `sft.fit`.
        start: Base to start from, as of `sft.train`.
        offline: Whether the hub is not asked for the base.

    Raises:
        Complete: The folder holds this very run, and it is finished.
        ShotcropError: A dataset or the base cannot be read, or no pseudo label was accepted.
    """
    samples = pseudo_samples(pseudo)
    folders = [*dataset_folders(data, recipe.data), pseudo]
    provenance.record(output, stage="ssft", recipe=recipe, datasets=folders, start=start)
    set_seed(recipe.optimisation.seed)
    training = read_training_set(data, recipe.data)
    shares = {**recipe.data.shares, PSEUDO: recipe.data.shares[EXPERT] * recipe.ratio * photos_per_expert(samples)}
    recipe = replace(recipe, data=replace(recipe.data, shares=shares))
    base = load_start(recipe, training, start, offline=offline)
    return fit(base, replace(training, groups={**training.groups, PSEUDO: samples}), recipe, output)


def pseudo_samples(pseudo: Path) -> list[Sample]:
    """Return the photos of a pseudo-labelled dataset that have an accepted shot; other shots weigh 0.

    Raises:
        ShotcropError: It is not complete, or nothing was accepted.
    """
    if not (pseudo / SUMMARY).is_file():
        raise ShotcropError(
            f"{pseudo} holds no complete pseudo labels: it has no {SUMMARY}",
            hint="name the folder of a `train pseudo-label` run, or run that again until it ends",
        )
    samples = expert_samples(record for record in read_dataset(pseudo) if any(record.accepted))
    if not samples:
        raise ShotcropError(f"no shot of {pseudo} was accepted", hint="label more photos, or relax the recipe's [rule]")
    return samples


def photos_per_expert(samples: Sequence[Sample]) -> float:
    """Return how many pseudo-labelled photos hold as many accepted shots as an expert's photo holds shots."""
    accepted = sum(shot.weight > 0.0 for sample in samples for shot in sample.shots)
    return len(SHOT_TYPES) * len(samples) / accepted
