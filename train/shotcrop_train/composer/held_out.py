"""Compose photos in training with the code of the run time, and measure networks on what they have not learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shotcrop_cli.model.nano.composer import SMALLEST_SIDE, Proposal, SetTransformer, widened
from shotcrop_cli.model.nano.faults import HEAD_CUT
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.refinement import refine
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train.composer.nano_checkpoint import Member
from shotcrop_train.composer.photo_scenes import SeenPhoto
from shotcrop_train.nano.composer_network import ComposerEnsemble, ComposerNetwork
from shotcrop_train.nano.detector_labels import cover

CERTAIN_HEAD = 0.5
"""Score from which a teacher's head counts."""
AT_ONCE = 64
"""Scenes that an ensemble composes at once."""


class TorchSession:
    """Runs an ensemble as ONNX Runtime runs its graph."""

    def __init__(self, networks: Sequence[ComposerNetwork]) -> None:
        self.session = self
        self.ensemble = ComposerEnsemble(list(networks)).eval()

    def running(self) -> nullcontext[None]:
        """Return a context without effect."""
        return nullcontext()

    @torch.no_grad()
    def run(self, _names: Sequence[str], feed: Mapping[str, Any]) -> list[Floats]:
        """Return probabilities, boxes and expected IoU."""
        answer = self.ensemble(**{name: torch.from_numpy(value) for name, value in feed.items()})
        probability, boxes, _, expected = (one.numpy() for one in answer)
        return [probability, boxes, expected]


class TorchTransformer(SetTransformer):
    """The run time's composer with networks of torch."""

    def __init__(self, networks: Sequence[ComposerNetwork]) -> None:
        session: Any = TorchSession(networks)
        self.inputs, self.session = ("features", "known", "valid", "kind", "pixels", "photo"), session


def propose(networks: Sequence[ComposerNetwork], scenes: Sequence[Scene]) -> list[Proposal | None]:
    """Compose scenes; see `SetTransformer.propose`."""
    transformer = TorchTransformer(networks)
    proposals: list[Proposal | None] = []
    for first in range(0, len(scenes), AT_ONCE):
        proposals += transformer.propose(scenes[first : first + AT_ONCE])
    return proposals


def refine_main(scene: Scene, proposal: Proposal, costs: FaultCosts) -> Floats:
    """Return the main subject's boxes (3, 4), refined."""
    boxes = widened(proposal.boxes[proposal.main], SMALLEST_SIDE)
    return refine(scene, proposal.candidates.members[proposal.main], boxes, costs)


def overlap(boxes: Floats, wanted: Floats) -> Floats:
    """Return the IoU (n,) of boxes (n, 4) with others (n, 4), each with its own."""
    low, high = np.maximum(boxes[:, :2], wanted[:, :2]), np.minimum(boxes[:, 2:], wanted[:, 2:])
    shared = (high - low).clip(0).prod(1)
    total = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (wanted[:, 2:] - wanted[:, :2]).prod(1) - shared
    result: Floats = shared / np.maximum(total, 1e-9)
    return result


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Networks on photos that they have not learned from.

    Args:
        plain: IoU (n, 3) of the composers' boxes with the expert's; NaN for a shot that is not accepted.
        refined: IoU (n, 3) of the refined boxes; NaN for a shot that is not accepted.
        expected: IoU (n, 3) that the composers expect; NaN where no people were detected, and for shots that are not
            accepted.
        certainty: Probability (n, 3) that somebody of the main subject is part of the right one, the same for each
            shot; NaN where no people were detected.
        plain_cuts: (n, 3), 1 where the composers' box cuts a head that the teachers saw.
        refined_cuts: (n, 3), 1 where the refined box does.
    """

    plain: Floats
    refined: Floats
    expected: Floats
    certainty: Floats
    plain_cuts: Floats
    refined_cuts: Floats

    def figures(self) -> dict[str, float]:
        """Return the figures for the log.

        They are the mean IoU of the refined boxes, that of each shot, the same without refinement, and the number of
        medium shots and close-ups that cut somebody's head, with and without refinement.
        """
        if np.isnan(self.plain).all():
            return {}
        shots = {f"held_iou_{kind.value}": _mean(self.refined[:, shot]) for shot, kind in enumerate(SHOT_TYPES)}
        values = {"held_photos": len(self.plain), "held_iou": _mean(self.refined), **shots}
        values |= {"held_plain_iou": _mean(self.plain)}
        for shot, kind in enumerate(SHOT_TYPES[1:], start=1):
            values[f"held_cuts_{kind.value}"] = self.refined_cuts[:, shot].sum()
            values[f"held_plain_cuts_{kind.value}"] = self.plain_cuts[:, shot].sum()
        return {name: round(float(value), 4) for name, value in values.items()}


def measure(members: Sequence[Member], photos: Sequence[SeenPhoto], fallback: Floats, costs: FaultCosts) -> HeldOut:
    """Measure each network on its fold of experts' photos. Photos without anybody get the fallback's boxes (3, 4)."""
    rows: list[tuple[Floats, ...]] = []
    for member in members:
        held = [one for one in photos if one.photo.triple is not None and member.unseen.holds(one.photo.path)]
        scenes = [one.own[0] for one in held]
        for one, scene, proposal in zip(held, scenes, propose([member.network], scenes), strict=True):
            wanted = one.photo.triple
            assert wanted is not None
            if proposal is None:
                plain, refined, expected = fallback, fallback, np.full(3, np.nan)
                certainty = np.nan
            else:
                plain, refined = proposal.boxes[proposal.main], refine_main(scene, proposal, costs)
                expected, certainty = proposal.expected_iou[proposal.main], proposal.certainty
            known = np.where(one.photo.accepted, 1.0, np.nan)
            cuts = cut_heads(one.teacher, plain), cut_heads(one.teacher, refined)
            overlaps = overlap(plain, wanted) * known, overlap(refined, wanted) * known
            rows.append((*overlaps, expected * known, np.full(3, certainty), *cuts))
    return HeldOut(*np.array(rows, np.float64).reshape(-1, 6, 3).transpose(1, 0, 2))


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def cut_heads(scene: Scene, boxes: Floats) -> Floats:
    """Return for each of some boxes (n, 4) 1 if it cuts a certain head of a scene, else 0."""
    sure = (scene.head_score > CERTAIN_HEAD) & ~scene.estimated
    share = cover(scene.head[sure], boxes)
    in_part = (share > HEAD_CUT[0]) & (share < HEAD_CUT[1])
    return np.where(in_part.any(0), 1.0, 0.0)
