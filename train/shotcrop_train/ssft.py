"""Stage 2 of large models, second half: semi-supervised fine-tuning on experts' shots and accepted pseudo labels.

The algorithm is that of stage 1 on a mixture with one more group: photos with at least one accepted shot. Only their
accepted shots have a loss. The others are part of the answer, which needs all three, but are masked. Pseudo-labelled
photos are drawn so often that the model learns one accepted shot for each expert's shot. Both are second-hand, from a
transcription of the paper's text.

    shotcrop train ssft --config qwen3-vl-ssft --data DATA --pseudo runs/labels -o runs/ssft --from runs/sft/final

Two choices are our own:
* Groups of stage 1 to which the recipe gives a share, such as photos without people, stay in the mixture.
* The model learns the chain of thought of a pseudo-labelled photo, which is its proposer's, like an expert's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import set_seed

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data, open_dataset
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train.data.samples import Sample, expert_samples
from shotcrop_train.data.streaming import StreamedGroup
from shotcrop_train.pseudo.report import SUMMARY
from shotcrop_train.recipe import SftRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.sft import datasets_of, fit, load_start, open_training_set

EXPERT, PSEUDO = "expert", "pseudo"


@dataclass(frozen=True)
class SsftRecipe(SftRecipe):
    """A supervised run with pseudo labels. `data.shares` holds the shares of stage 1; that of pseudo labels follows.

    Args:
        ratio: Accepted pseudo-labelled shots per expert's shot.
    """

    ratio: float = 1.0

    def __post_init__(self) -> None:
        if not self.ratio > 0.0:
            raise ValueError(f"ratio must be above 0, not {self.ratio}")
        if not self.data.shares.get(EXPERT, 0.0) > 0.0:
            raise ValueError("the ratio is relative to experts, so `expert` needs a share above 0")


def train(
    recipe: SsftRecipe,
    data: Data,
    pseudo: Path,
    output: Path,
    start: str | Path | None = None,
    *,
    offline: bool = False,
) -> Path:
    """Run the second half of stage 2 and return the folder of the trained model.

    Args:
        recipe: The run's recipe.
        data: Folder that holds the recipe's datasets.
        pseudo: Dataset written by `pseudo_label.label`.
        output: Run folder; see `sft.fit`.
        start: Base to start from; see `sft.train`.
        offline: Use only models on this machine.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset or the base cannot be read, or no pseudo label was accepted.
    """
    samples = pseudo_samples(pseudo)
    datasets, streaming = [*datasets_of(data, recipe.data), open_dataset(pseudo, ".")], recipe.data.streaming
    provenance.record(output, stage="ssft", recipe=recipe, datasets=datasets, start=start, streaming=streaming)
    set_seed(recipe.optimisation.seed)
    training = open_training_set(data, recipe.data, output)
    added: Sequence[Sample] | StreamedGroup = samples
    if streaming:
        parts = open_dataset(pseudo, ".").parts()
        added = StreamedGroup(parts, lambda record: expert_samples([record] if any(record.accepted) else []))
    shares = {**recipe.data.shares, PSEUDO: recipe.data.shares[EXPERT] * recipe.ratio * photos_per_expert(samples)}
    recipe = replace(recipe, data=replace(recipe.data, shares=shares))
    base = load_start(recipe, start, offline=offline)
    return fit(base, replace(training, groups={**training.groups, PSEUDO: added}), recipe, output)


def pseudo_samples(pseudo: Path) -> list[Sample]:
    """Return the photos of a pseudo-labelled dataset that have an accepted shot. Their other shots get weight 0.

    Raises:
        ShotcropError: The dataset is not complete, or no shot was accepted.
    """
    if not (pseudo / SUMMARY).is_file():
        raise ShotcropError(
            f"{pseudo} holds no complete pseudo labels: {SUMMARY} is missing",
            hint="name the folder of a `train pseudo-label` run, or start that run again until it is complete",
        )
    samples = expert_samples(record for record in read_dataset(pseudo) if any(record.accepted))
    if not samples:
        raise ShotcropError(f"no shot of {pseudo} was accepted", hint="label more photos, or relax the recipe's [rule]")
    return samples


def photos_per_expert(samples: Sequence[Sample]) -> float:
    """Return how many pseudo-labelled photos have as many accepted shots as one expert's photo has shots."""
    accepted = sum(shot.weight > 0.0 for sample in samples for shot in sample.shots)
    return len(SHOT_TYPES) * len(samples) / accepted
