"""Proposers of pseudo labels: checkpoints of any family, and rules over detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import SHOT_TYPES, Box, Composer, Composition, Shot
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data import rule_based
from shotcrop_train.data.grounding import ground
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.scorers import Photo

RULE_BASED = "rule-based"
"""The word that names the rules in place of a checkpoint."""

FORMER_RULE_BASED = "cinematographer"
"""The same in older recipes."""

NEAR_DUPLICATE = 0.95
"""Boxes with a higher IoU are one proposal. Second-hand: a transcription of the paper's text."""


class Proposer(Protocol):
    """Proposes triples."""

    @property
    def name(self) -> str:
        """Its name in rows and reports."""
        ...

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        """Return a triple for each photo, None where it proposes nothing."""
        ...


class RuleBasedProposer:
    """Proposes by the rules of `rule_based`. Its shots have no captions."""

    def __init__(self, name: str = RULE_BASED) -> None:
        self.name = name

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        """Return triples; see `Proposer`."""
        return [_by_rule(photo) for photo in photos]


def _by_rule(photo: Photo) -> Composition | None:
    grounding = ground(photo.detections, photo.aspect)
    boxes = rule_based.propose(grounding, photo.detections, photo.aspect)
    if boxes is None:
        return None
    return Composition(tuple(map(Shot, SHOT_TYPES, boxes)), grounding=grounding)


class CheckpointProposer:
    """Proposes what a model answers. Unreadable answers and "no people" propose nothing."""

    def __init__(self, name: str, composer: Composer) -> None:
        self.name, self.composer = name, composer

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        """Return triples; see `Proposer`."""
        answers = self.composer.compose([photo.image for photo in photos], [photo.aspect for photo in photos])
        return [answer if isinstance(answer, Composition) else None for answer in answers]


def load_proposers(
    names: Sequence[str | Path], recipe: ModelRecipe, batch_size: int, *, offline: bool = False
) -> list[Proposer]:
    """Load proposers.

    Args:
        names: Checkpoint folders or hub ids, and the word `rule-based`. Where boxes are merged, the first one counts.
        recipe: How checkpoints are loaded.
        batch_size: Photos that a checkpoint sees at a time.
        offline: Use only models on this machine.

    Raises:
        ShotcropError: No proposer is named, one is named twice, or one cannot be loaded.
    """
    texts = [str(name) for name in names]
    if not texts or len(set(texts)) < len(texts):
        raise ShotcropError(
            "pseudo labels need at least one proposer, and each only once",
            hint="name checkpoints, or rule-based for the rules",
        )
    return [_load(text, recipe, batch_size, offline) for text in texts]


def _load(name: str, recipe: ModelRecipe, batch_size: int, offline: bool) -> Proposer:
    if name in (RULE_BASED, FORMER_RULE_BASED):
        return RuleBasedProposer(name)
    from shotcrop_train.torch_composer import TorchComposer

    return CheckpointProposer(name, TorchComposer(load_base(name, recipe, offline=offline), batch_size))


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed crop after near-duplicates are merged.

    Args:
        shot: Box and caption of the first merged proposal that has a caption, else of the first.
        proposers: Names of all merged proposers.
        rivals: Boxes of all other proposers for this shot, merged ones included: close agreement counts too.
    """

    shot: Shot
    proposers: tuple[str, ...]
    rivals: tuple[Box, ...]


def merge(shots: Sequence[tuple[str, Shot]], limit: float = NEAR_DUPLICATE) -> list[Proposal]:
    """Merge the near-identical boxes that several proposers give for one shot.

    Args:
        shots: Name and shot of each proposer.
        limit: A box joins a group if its IoU with the first box of the group is higher.
    """
    groups: list[list[int]] = []
    for index, (_, shot) in enumerate(shots):
        group = next((group for group in groups if iou(shots[group[0]][1].box, shot.box) > limit), None)
        if group is None:
            groups.append([index])
        else:
            group.append(index)
    return [_merged(shots, group) for group in groups]


def _merged(shots: Sequence[tuple[str, Shot]], group: Sequence[int]) -> Proposal:
    speaker = next((index for index in group if shots[index][1].caption), group[0])
    return Proposal(
        shot=shots[speaker][1],
        proposers=tuple(shots[index][0] for index in group),
        rivals=tuple(shot.box for index, (_, shot) in enumerate(shots) if index != speaker),
    )
