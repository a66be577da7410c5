"""What detectors return: persons with joints, faces with landmarks.

Boxes are clipped to the upright photo and relative to it (`shots.Box`). Points use the same coordinates
but may be outside 0..1: a detector may place a joint beyond the edge of the photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from shotcrop_cli.shots import Box


class Joint(IntEnum):
    """The 17 keypoints of COCO, in COCO's order. Left and right are the person's own."""

    NOSE = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    LEFT_EAR = 3
    RIGHT_EAR = 4
    LEFT_SHOULDER = 5
    RIGHT_SHOULDER = 6
    LEFT_ELBOW = 7
    RIGHT_ELBOW = 8
    LEFT_WRIST = 9
    RIGHT_WRIST = 10
    LEFT_HIP = 11
    RIGHT_HIP = 12
    LEFT_KNEE = 13
    RIGHT_KNEE = 14
    LEFT_ANKLE = 15
    RIGHT_ANKLE = 16


class Landmark(IntEnum):
    """The five points of a face in YuNet's order. Left and right are the person's own."""

    RIGHT_EYE = 0
    LEFT_EYE = 1
    NOSE = 2
    RIGHT_MOUTH = 3
    LEFT_MOUTH = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A position relative to the photo; may be outside the frame.

    Raises:
        ValueError: A coordinate is not finite.
    """

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"point must be finite: {(self.x, self.y)}")


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A joint of a person, relative to the photo; may be outside the frame.

    Raises:
        ValueError: A coordinate or the confidence is not finite.
    """

    x: float
    y: float
    confidence: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.x, self.y, self.confidence)):
            raise ValueError(f"keypoint must be finite: {(self.x, self.y, self.confidence)}")


@dataclass(frozen=True, slots=True)
class Person:
    """A detected person.

    Args:
        box: The visible body, inside the photo.
        score: The detector's confidence, 0..1.
        keypoints: One per `Joint`, in its order.

    Raises:
        ValueError: There are not 17 keypoints.
    """

    box: Box
    score: float
    keypoints: tuple[Keypoint, ...]

    def __post_init__(self) -> None:
        if len(self.keypoints) != len(Joint):
            raise ValueError(f"a person has {len(Joint)} keypoints, not {len(self.keypoints)}")


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face, forehead to chin.

    Args:
        box: The visible face, inside the photo.
        score: The detector's confidence, 0..1.
        landmarks: One per `Landmark`, in its order.

    Raises:
        ValueError: There are not five landmarks.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...]

    def __post_init__(self) -> None:
        if len(self.landmarks) != len(Landmark):
            raise ValueError(f"a face has {len(Landmark)} landmarks, not {len(self.landmarks)}")


@dataclass(frozen=True, slots=True)
class Detections:
    """All detections in one photo."""

    persons: tuple[Person, ...] = ()
    faces: tuple[Face, ...] = ()
