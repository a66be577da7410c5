"""Rules of composition in numbers: bands for head scale, headroom, eye line and lead room.

The bands are our own, derived from a figure of 7.5 heads and from the face that a detector boxes, forehead to chin.
Each ratio is measured along one axis of the crop, so relative coordinates are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shotcrop_cli.body import HAIR_ABOVE_FACE
from shotcrop_cli.evaluation.detections import Face, Landmark
from shotcrop_cli.shots import Box, ShotType

YAW = 0.08
"""A nose that is off the middle of the eyes by this share of the face's width means a turned head. Our own choice: in
the experts' annotations, faces marked `left` or `right` have a median of .15, and nine in ten of those marked `camera`
stay within about .1."""


@dataclass(frozen=True, slots=True)
class Band:
    """A range with full credit inside hard limits: `hard_low` <= `low` <= `high` <= `hard_high`."""

    low: float
    high: float
    hard_low: float
    hard_high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def tolerates(self, value: float) -> bool:
        """Whether a value keeps the hard limits."""
        return self.hard_low <= value <= self.hard_high

    def credit(self, value: float) -> float:
        """Return 1 inside the band, 0 beyond the hard limits, linear in between."""
        if value in self:
            return 1.0
        if not self.tolerates(value):
            return 0.0
        if value < self.low:
            return (value - self.hard_low) / (self.low - self.hard_low)
        return (self.hard_high - value) / (self.hard_high - self.high)


HEAD_SCALE: Mapping[ShotType, Band] = {
    ShotType.ESTABLISHING: Band(0.0, 0.12, 0.0, 0.20),
    ShotType.MEDIUM: Band(0.16, 0.30, 0.10, 0.36),
    ShotType.CLOSE_UP: Band(0.35, 0.65, 0.25, 0.85),
}
"""Face height / crop height."""

HEADROOM: Mapping[ShotType, Band] = {
    ShotType.MEDIUM: Band(0.02, 0.16, -0.03, 0.26),
    ShotType.CLOSE_UP: Band(-0.10, 0.10, -0.20, 0.20),
}
"""Gap above the hair / crop height; negative where the crop cuts the hair. The hard limits are .05 to .10 wider."""

EYE_LINE: Mapping[ShotType, Band] = {
    ShotType.MEDIUM: Band(0.18, 0.38, 0.10, 0.48),
    ShotType.CLOSE_UP: Band(0.28, 0.45, 0.18, 0.55),
}
"""Distance of the eyes from the crop's upper edge / crop height. The hard limits are about .10 wider."""

LEAD_ROOM = Band(0.55, 0.80, 0.40, 0.95)
"""Share of the free width that is in front of the gaze, about two thirds in every shot."""


def head_scale(crop: Box, face: Face) -> float:
    """Return face height / crop height, as a face detector boxes it."""
    return face.box.height / crop.height


def headroom(crop: Box, face: Face) -> float:
    """Return the gap above the hair / crop height; negative where the crop cuts the hair."""
    return (face.box.y0 - HAIR_ABOVE_FACE * face.box.height - crop.y0) / crop.height


def eye_line(crop: Box, face: Face) -> float:
    """Return the distance of the eyes from the crop's upper edge, in crop heights; 0..1 inside the crop."""
    right, left = face.landmarks[Landmark.RIGHT_EYE], face.landmarks[Landmark.LEFT_EYE]
    return ((right.y + left.y) / 2 - crop.y0) / crop.height


def yaw(face: Face) -> float:
    """Return how far right of the middle between the eyes the nose is, in widths of the face."""
    right, left = face.landmarks[Landmark.RIGHT_EYE], face.landmarks[Landmark.LEFT_EYE]
    return (face.landmarks[Landmark.NOSE].x - (right.x + left.x) / 2) / face.box.width


def gaze(face: Face) -> str:
    """Return the direction a face points as the viewer sees it: `left`, `right` or `camera`."""
    turn = yaw(face)
    if abs(turn) < YAW:
        return "camera"
    return "left" if turn < 0.0 else "right"


def lead_room(crop: Box, face: Face, facing: str) -> float | None:
    """Return the share of the free width beside the face that is in front of the gaze.

    Args:
        crop: The shot.
        face: The main person's face.
        facing: The direction it points as the viewer sees it, as in `Grounding.facing` or from `gaze`.

    Returns:
        0..1, or None when the face looks neither left nor right or fills the whole width.
    """
    left, right = max(face.box.x0 - crop.x0, 0.0), max(crop.x1 - face.box.x1, 0.0)
    if facing not in ("left", "right") or left + right <= 0.0:
        return None
    return (left if facing == "left" else right) / (left + right)
