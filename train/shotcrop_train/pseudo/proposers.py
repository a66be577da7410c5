"""Who proposes pseudo labels: checkpoints of any family, and the rule-based cinematographer over detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import SHOT_TYPES, Box, Composer, Composition, Shot
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data.grounding import ground
from shotcrop_train.pseudo import rule_based
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.scorers import Photo

CINEMATOGRAPHER = "cinematographer"
"""The word that names the rules where a checkpoint could stand."""

NEAR_DUPLICATE = 0.95
"""Boxes with a higher IoU are one proposal [S]."""


class Proposer(Protocol):
    """Proposes triples."""

    @property
    def name(self) -> str:
        """What it is called in rows and reports."""
        ...

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        """Return a triple for each photo, None where it has none to propose."""
        ...


class Cinematographer:
    """Proposes by rule; its shots carry no caption."""

    name = CINEMATOGRAPHER

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        """Return triples; see `Proposer`."""
        return [_by_rule(photo) for photo in photos]


def _by_rule(photo: Photo) -> Composition | None:
    grounding = ground(photo.detections, photo.aspect)
    boxes = rule_based.propose(grounding, photo.detections, photo.aspect)
    if boxes is None:
        return None
    return Composition(tuple(map(Shot, SHOT_TYPES, boxes)), grounding=grounding)


class Model:
    """Proposes what a model answers; "nobody" and unreadable answers propose nothing."""

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
        names: Checkpoint folders or hub ids, and the word `cinematographer`; the first ones speak first.
        recipe: How checkpoints are loaded.
        batch_size: Photos that a checkpoint sees at a time.
        offline: Whether only what is on this machine counts.

    Raises:
        ShotcropError: There is none, one is named twice or cannot be loaded.
    """
    texts = [str(name) for name in names]
    if not texts or len(set(texts)) < len(texts):
        raise ShotcropError("pseudo labels need proposers, each named once", hint="name checkpoints or cinematographer")
    return [_load(text, recipe, batch_size, offline) for text in texts]


def _load(name: str, recipe: ModelRecipe, batch_size: int, offline: bool) -> Proposer:
    if name == CINEMATOGRAPHER:
        return Cinematographer()
    from shotcrop_train.torch_composer import TorchComposer

    return Model(name, TorchComposer(load_base(name, recipe, offline=offline), batch_size))


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed crop after near-duplicates are merged.

    Args:
        shot: Box and caption of the first of them that has a caption, else of the first.
        proposers: Names of all of them.
        rivals: Boxes of all other proposers for this shot, merged ones included: who agrees closely is a witness too.
    """

    shot: Shot
    proposers: tuple[str, ...]
    rivals: tuple[Box, ...]


def merge(shots: Sequence[tuple[str, Shot]], limit: float = NEAR_DUPLICATE) -> list[Proposal]:
    """Merge the near-identical boxes that several proposers give one shot.

    Args:
        shots: Name and shot of each proposer.
        limit: A box with a higher IoU with the first of a group joins it.
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
