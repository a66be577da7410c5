"""The recipe of the compact model: one file with a table for each part and each stage.

`family = "nano"` at its start tells it from the recipes of large models. Every stage reads the shared tables and its
own one, and `run.json` records only these. So a change of stage 3 does not invalidate a run of stage 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano.manifest import CountRule, DecodingLimits, FaultCosts
from shotcrop_train.pseudo.decision import Rule
from shotcrop_train.pseudo.proposers import NEAR_DUPLICATE
from shotcrop_train.recipe import RECIPES, build, changed, read_toml
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.train_detector import DetectorRecipe

FAMILY = "nano"


@dataclass(frozen=True)
class NanoData:
    """Which datasets below the data folder the composer uses.

    Args:
        experts: Datasets with expert triples.
        empty: Datasets of photos without people, for the rule that recognises them.
        unlabelled: Datasets that get pseudo labels.
        triples: Number of expert triples to learn from, drawn at random; 0 for all. Figures are measured on all.
    """

    experts: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    triples: int = 0

    def __post_init__(self) -> None:
        if not self.experts:
            raise ValueError("name datasets under `experts`")


@dataclass(frozen=True)
class SceneRecipe:
    """What the composer gets to see of a photo.

    Args:
        side: Side in pixels of the detector's square input.
        looks: 1 for the photo, 2 to let the detector also look at the mirror image: it makes other mistakes there.
        teachers: Show it the teachers' detections in place of the detector's. This is for comparisons: there are no
            teachers at run time.
        decoding: Thresholds of the detections.
    """

    side: int = 288
    looks: int = 2
    teachers: bool = False
    decoding: DecodingLimits = field(default_factory=DecodingLimits)

    def __post_init__(self) -> None:
        if self.looks not in (1, 2):
            raise ValueError("'looks' must be 1 or 2")


@dataclass(frozen=True)
class ComposerShape:
    """The ensemble of networks.

    Args:
        pixels: Use the detector's features, not only its boxes.
        width: Width of a network.
        layers: Its transformer blocks.
        dropout: Dropout in training.
        networks: Networks of the ensemble.
        folds: Number k leaves out fold k of so many, which then measures it; 0 trains all on everything and measures
            nothing. With as many folds as networks, the ensemble has seen every photo.
        seed: Random seed of the first network.
    """

    pixels: bool = True
    width: int = 96
    layers: int = 2
    dropout: float = 0.15
    networks: int = 5
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.networks < 1 or self.folds < 0 or self.folds == 1:
            raise ValueError("'networks' must be at least 1, 'folds' 0 or at least 2")


@dataclass(frozen=True)
class Examples:
    """How many examples are made of each photo, and how strongly they are disturbed.

    Args:
        own: Examples from what the detector sees.
        teacher: Examples from what the teachers saw.
        own_strength: Strength of the disturbance of the former.
        teacher_strength: The same of the latter, which are too good to be true otherwise.
    """

    own: int = 6
    teacher: int = 2
    own_strength: float = 0.6
    teacher_strength: float = 1.0


@dataclass(frozen=True)
class Fitting:
    """How a network is fitted.

    Args:
        steps: Optimiser steps.
        batch_size: Photos per step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Gradients longer than this are scaled down to it.
        threads: Threads; 0 for torch's own choice.
    """

    steps: int = 1200
    batch_size: int = 40
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0
    threads: int = 1


@dataclass(frozen=True)
class ComposerLoss:
    """Weights of the loss.

    Args:
        subject: Which candidate is the main subject.
        box: Generalised IoU and L1 of the boxes.
        scale: Scales of the edges.
        quality: Expected IoU.
    """

    subject: float = 0.4
    box: float = 2.0
    scale: float = 0.1
    quality: float = 0.1


@dataclass(frozen=True)
class NanoSft:
    """Stage 1."""

    examples: Examples = field(default_factory=Examples)
    fitting: Fitting = field(default_factory=Fitting)
    loss: ComposerLoss = field(default_factory=ComposerLoss)


@dataclass(frozen=True)
class NanoPseudoLabel:
    """Stage 2, first half: networks on the teachers' detections propose triples for unlabelled photos.

    Args:
        networks: Number of these networks; each leaves out another fold of the experts' photos.
        folds: Number of folds.
        seed: Random seed of the first one; other than that of `composer`, so that they are independent.
        refine: Whether the refinement removes faults from the proposals.
        examples: Examples of each photo of an expert; the teachers' alone.
        fitting: How the networks are fitted.
        criteria: Names of the scorers; all of them must agree.
        rule: When a proposal is accepted.
        near_duplicate: Proposals with a higher IoU are merged.
        max_side: Photos are shrunk to this many pixels on their longer side for scorers that look at pixels.
        chunk: Photos in memory at a time.
    """

    networks: int = 5
    folds: int = 5
    seed: int = 1000
    refine: bool = True
    examples: int = 4
    fitting: Fitting = field(default_factory=Fitting)
    criteria: tuple[str, ...] = ("agreement", "faults")
    rule: Rule = field(default_factory=Rule)
    near_duplicate: float = NEAR_DUPLICATE
    max_side: int = 512
    chunk: int = 64

    def __post_init__(self) -> None:
        if self.networks < 2:
            raise ValueError("agreement needs at least 2 'networks'")


@dataclass(frozen=True)
class NanoSsft:
    """Stage 2, second half.

    Args:
        ratio: Accepted pseudo-labelled shots per expert's shot.
        restart: Fit new networks instead of the earlier stage's.
        examples: Examples of each photo.
        fitting: How the networks are fitted.
        loss: Weights of the loss.
    """

    ratio: float = 1.0
    restart: bool = False
    examples: Examples = field(default_factory=Examples)
    fitting: Fitting = field(default_factory=lambda: Fitting(steps=600, learning_rate=5e-4))
    loss: ComposerLoss = field(default_factory=ComposerLoss)

    def __post_init__(self) -> None:
        if not self.ratio > 0.0:
            raise ValueError(f"ratio must be above 0, not {self.ratio}")


@dataclass(frozen=True)
class NanoGrpo:
    """Stage 3.

    Args:
        steps: Batches of each network.
        photos: Photos per batch.
        group: Triples sampled for each photo, G.
        passes: Optimiser steps on each batch; from the second one on, clipping matters.
        learning_rate: Constant.
        hard_share: Share of hard cases among the draws, if a run of stage 2 provides any.
        max_grad_norm: Gradients longer than this are scaled down to it.
        temperature: Sampling temperature: of the choice of the main subject, and factor of the edges' scales.
        beta: Weight of the KL penalty.
        clip_low: A probability ratio is clipped this far below 1.
        clip_high: It is clipped this far above 1.
        reward: What the reward consists of.
        log_every: Batches between log lines.
        threads: Threads; 0 for torch's own choice.
    """

    steps: int = 200
    photos: int = 32
    group: int = 8
    passes: int = 2
    learning_rate: float = 3e-5
    hard_share: float = 0.1
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    beta: float = 0.01
    clip_low: float = 0.2
    clip_high: float = 0.28
    reward: RewardRecipe = field(default_factory=lambda: RewardRecipe("cinema", "composition", "words"))
    log_every: int = 10
    threads: int = 1

    def __post_init__(self) -> None:
        if self.group < 2:
            raise ValueError("a group needs at least 2 triples")
        if not 0.0 <= self.hard_share < 1.0:
            raise ValueError(f"hard_share must be within 0..1, not {self.hard_share}")


@dataclass(frozen=True)
class PresenceFitting:
    """How the rule for photos without people is fitted.

    Args:
        keep: Share of the photos with people that it has to recognise.
        highest: Highest threshold. Detectors in 8-bit integers are a little less sure of people than those in single
            precision, on which the rule is fitted; at 0.5 they lost a third of 326 photos. No held-out photo without
            people came above 0.01.
        prior: Weight of a Gaussian prior on its weights, in photos.
    """

    keep: float = 0.998
    highest: float = 0.1
    prior: float = 1.0


@dataclass(frozen=True)
class NanoRecipe:
    """All settings of the compact model.

    Args:
        family: `nano`.
        data: The composer's datasets.
        detector: The detector.
        scenes: What the composer gets to see.
        composer: The ensemble.
        sft: Stage 1.
        pseudo_label: Stage 2, first half.
        ssft: Stage 2, second half.
        grpo: Stage 3.
        presence: How the rule for photos without people is fitted.
        refinement: Costs of the faults that the refinement removes.
        count: When the number of people is certain.
    """

    family: str
    data: NanoData
    detector: DetectorRecipe = field(default_factory=DetectorRecipe)
    scenes: SceneRecipe = field(default_factory=SceneRecipe)
    composer: ComposerShape = field(default_factory=ComposerShape)
    sft: NanoSft = field(default_factory=NanoSft)
    pseudo_label: NanoPseudoLabel = field(default_factory=NanoPseudoLabel)
    ssft: NanoSsft = field(default_factory=NanoSsft)
    grpo: NanoGrpo = field(default_factory=NanoGrpo)
    presence: PresenceFitting = field(default_factory=PresenceFitting)
    refinement: FaultCosts = field(default_factory=FaultCosts)
    count: CountRule = field(default_factory=CountRule)

    def __post_init__(self) -> None:
        if self.family != FAMILY:
            raise ValueError(f"the family of the compact model is '{FAMILY}', not '{self.family}'")

    def only(self, *tables: str) -> dict[str, Any]:
        """Return some tables as plain values, for `run.json`."""
        content: Mapping[str, Any] = asdict(self)
        return {name: content[name] for name in tables}

    def shortened(self, stage: str, steps: int | None) -> NanoRecipe:
        """Return the recipe with another number of optimiser steps in a stage: `detector`, `sft`, `ssft` or `grpo`."""
        if steps is None:
            return self
        if stage == "grpo":
            return replace(self, grpo=replace(self.grpo, steps=steps))
        if stage == "detector":
            plan = replace(self.detector.optimisation, steps=steps)
            return replace(self, detector=replace(self.detector, optimisation=plan))
        table = getattr(self, stage)
        return replace(self, **{stage: replace(table, fitting=replace(table.fitting, steps=steps))})


def is_nano(name: str) -> bool:
    """Return whether the recipe of this name or path is one of the compact model.

    Raises:
        ShotcropError: There is no such recipe.
    """
    return read_toml(name, RECIPES).get("family") == FAMILY


def load_nano_recipe(name: str, changes: Sequence[str] = ()) -> NanoRecipe:
    """Read a recipe of the compact model, with changes; see `recipe.load_recipe`.

    Raises:
        ShotcropError: There is no such recipe, it is for a large model, or it is not valid.
    """
    content = read_toml(name, RECIPES)
    if content.get("family") != FAMILY:
        raise ShotcropError(f"{name} is no recipe of the compact model", hint=f'write family = "{FAMILY}" at its start')
    for change in changes:
        if change.startswith(("model.", "tracking.")):
            name = change.partition("=")[0]
            raise ShotcropError(
                f"the compact model has no setting '{name}'", hint="leave it out: it is for large models"
            )
    return build(NanoRecipe, changed(content, NanoRecipe, changes), name)
