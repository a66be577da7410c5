"""Scenes of drawn figures for tests of the compact model, and the raw output of a detector that sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shotcrop_cli.model.nano.decoding import BOX_OF_KIND, BOX_STRIDES, CHANNELS, Kind, grid
from shotcrop_cli.model.nano.manifest import FaultCosts, NanoManifest
from shotcrop_cli.model.nano.scene import JOINTS, Floats, Scene
from shotcrop_cli.shots import FACINGS, SETTINGS

NO_BOXES = np.zeros((0, 5), np.float32)
JOINT_HEADS = (1.5, 1.5, 2.7, 2.7, 3.8, 3.8, 4.0, 4.0, 5.5, 5.5, 7.1, 7.1)
"""How far below the crown each joint is, in heads."""
JOINT_SIDES = (-0.7, 0.7, -0.9, 0.9, -1.0, 1.0, -0.4, 0.4, -0.4, 0.4, -0.4, 0.4)
"""How far to the side, in heads."""


@dataclass(frozen=True)
class Figure:
    """A standing figure.

    Args:
        x: Middle, as a share of the photo's width.
        y: The crown, as a share of the photo's height.
        head: Height of the head, as a share of the photo's height.
        look: Where the nose is, from -1 at the left eye to 1 at the right eye; None for a hidden face.
        joints: Whether joints are seen.
        score: Of head and body.
    """

    x: float
    y: float
    head: float
    look: float | None = 0.0
    joints: bool = False
    score: float = 0.9


def scene_of(
    *figures: Figure,
    aspect: float = 1.5,
    hands: Sequence[Sequence[float]] = (),
    animals: Sequence[Sequence[float]] = (),
    objects: Sequence[Sequence[float]] = (),
) -> Scene:
    """Return the scene of some figures, in their order; things are boxes of the photo frame with scores."""
    n = len(figures)
    head, body, face = (np.full((n, 4), np.nan, np.float32) for _ in range(3))
    landmarks, joints = np.full((n, 5, 2), np.nan, np.float32), np.full((n, len(JOINTS), 3), np.nan, np.float32)
    for i, one in enumerate(figures):
        unit = np.array([one.head / aspect, one.head])
        crown = np.array([one.x, one.y])
        head[i] = np.concatenate([crown + [-0.4, 0] * unit, crown + [0.4, 1] * unit])
        body[i] = np.concatenate([crown + [-1.1, 0] * unit, crown + [1.1, 7.5] * unit])
        if one.look is not None:
            face[i] = np.concatenate([crown + [-0.3, 0.25] * unit, crown + [0.3, 0.95] * unit])
            points = [(-0.15, 0.5), (0.15, 0.5), (0.15 * one.look, 0.65), (-0.1, 0.8), (0.1, 0.8)]
            landmarks[i] = crown + np.array(points) * unit
        if one.joints:
            places = np.column_stack([JOINT_SIDES, JOINT_HEADS])
            joints[i] = np.column_stack([crown + places * unit, np.full(len(JOINTS), 0.6)])
    score = np.array([one.score for one in figures], np.float32)

    def things(boxes: Sequence[Sequence[float]]) -> Floats:
        return np.array(boxes, np.float32).reshape(-1, 5)

    return Scene(
        aspect=aspect,
        head=head.clip(0, 1),
        head_score=score,
        face=face.clip(0, 1),
        face_score=np.array([0.0 if one.look is None else one.score for one in figures], np.float32),
        landmarks=landmarks,
        body=body.clip(0, 1),
        body_score=score,
        joints=joints,
        hands=things(hands),
        animals=things(animals),
        objects=things(objects),
        person_features=np.zeros((n, 0), np.float32),
        photo_features=np.zeros(0, np.float32),
        estimated=np.zeros(n, np.bool_),
    )


def manifest(**changes: object) -> NanoManifest:
    """Return the manifest of a small model without features from the detector."""
    tags = ("people", *SETTINGS[::-1], *FACINGS)
    values: dict[str, object] = {"format": "shotcrop-nano/2", "name": "tiny", "image_size": 64, "features": 130}
    values |= {"person_features": 0, "photo_features": 0, "tags": tags, "refinement": FaultCosts()} | changes
    return NanoManifest(**values)  # type: ignore[arg-type]


class RawCells:
    """Raw output of a detector in which nothing is seen until something is put there.

    Args:
        side: Side of the square input in pixels.
    """

    def __init__(self, side: int = 64) -> None:
        self.side = side
        self.centres, self.strides = grid(side)
        self.cells = np.zeros((len(self.centres), sum(CHANNELS.values())), np.float32)
        starts = np.cumsum([0, *CHANNELS.values()])
        self.part = dict(zip(CHANNELS, np.split(self.cells, starts[1:-1], axis=1), strict=True))
        for name in ("kind", "face", "person", "joint_seen"):
            self.part[name][:] = -9.0

    def put(self, kind: Kind, box: Sequence[float], score: float = 0.9, *, shift: int = 0) -> int:
        """Let the cell nearest to a box's middle, or the one `shift` cells after it, see an object there.

        Args:
            kind: Of the object.
            box: In the photo frame.
            score: Of the object.
            shift: Which cell.

        Returns:
            The cell's number.
        """
        middle = self._middle(box)
        cell = int(np.abs(self.centres - middle).sum(1).argmin()) + shift
        which = BOX_OF_KIND[kind]
        self.part["box"][cell, 4 * which : 4 * which + 4] = self._raw(box, cell, BOX_STRIDES[which])
        self.part["kind"][cell, kind] = np.log(score / (1 - score))
        return cell

    def add_face(self, cell: int, box: Sequence[float]) -> None:
        """Give the head of a cell a face."""
        self.part["face"][cell], self.part["face_box"][cell] = 4.0, self._raw(box, cell, 2.0)

    def add_body(self, cell: int, box: Sequence[float]) -> None:
        """Let the head of a cell predict its body."""
        self.part["person"][cell], self.part["person_box"][cell] = 4.0, self._raw(box, cell, 10.0, 4.0)

    def add_joints(self, cell: int, points: Floats) -> None:
        """Give the body of a cell visible joints (12, 2) in the photo frame."""
        stride = self.strides[cell]
        self.part["joints"][cell] = ((points * self.side - self.centres[cell]) / stride / 2).reshape(-1)
        self.part["joint_seen"][cell] = 9.0

    def _middle(self, box: Sequence[float]) -> Floats:
        return np.array([box[0] + box[2], box[1] + box[3]]) / 2 * self.side

    def _raw(self, box: Sequence[float], cell: int, size: float, shift: float = 1.0) -> Floats:
        stride = float(self.strides[cell, 0])
        sides = np.array([box[2] - box[0], box[3] - box[1]]) * self.side
        offset = (self._middle(box) - self.centres[cell]) / stride / shift
        return np.concatenate([offset, np.log(sides / stride / size)])
