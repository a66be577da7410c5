"""What a photo shows: people with head, face, body and joints, and the hands, animals and held objects around them.

Frames. In the *photo frame* x and y are shares of the photo's width and height, 0..1. In the *even frame* x is
multiplied by the photo's aspect (width / height), so that one unit is the photo's height on both axes and lengths
compare. Boxes are (x0, y0, x1, y1). What was not seen is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

JOINTS = (
    *("left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist"),
    *("left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle"),
)
"""The joints of `Scene.joints`, in order."""
MIRRORED_JOINTS = (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10)
"""Where each joint's counterpart of the other side is."""
LANDMARKS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""The points of `Scene.landmarks`, in order; left and right as seen in the photo."""
MIRRORED_LANDMARKS = (1, 0, 2, 4, 3)

HEAD_PER_BODY_HEIGHT, HEAD_PER_BODY_WIDTH = 0.16, 0.6
"""Largest height of an estimated head, as a share of the body's height and of its width."""
HALF_HEAD_WIDTH = 0.4
"""Half the width of an estimated head, as a share of its height."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The detections of one photo, n people and some things, in the photo frame.

    Args:
        aspect: Width / height of the photo.
        head: Boxes (n, 4); the most certain and largest people first.
        head_score: (n,), 0..1.
        face: Boxes (n, 4), NaN where no face is visible.
        face_score: (n,), 0 where no face is visible.
        landmarks: (n, 5, 2), see `LANDMARKS`.
        body: Boxes (n, 4), NaN where no body was found.
        body_score: (n,), 0 where no body was found.
        joints: (n, 12, 3): x, y and confidence, see `JOINTS`.
        hands: (m, 5): box and score.
        animals: (m, 5).
        objects: (m, 5), objects that people hold, wear or ride.
        person_features: (n, p) features from the detector, p = 0 if the composer uses none.
        photo_features: (q,) features of the whole photo.
        estimated: (n,), true where the head was estimated from the body.
    """

    aspect: float
    head: Floats
    head_score: Floats
    face: Floats
    face_score: Floats
    landmarks: Floats
    body: Floats
    body_score: Floats
    joints: Floats
    hands: Floats
    animals: Floats
    objects: Floats
    person_features: Floats
    photo_features: Floats
    estimated: Mask

    def __len__(self) -> int:
        return len(self.head)

    def select(self, people: Indices | Mask | slice) -> Scene:
        """Return the scene with some of its people, in the given order."""
        return replace(
            self,
            head=self.head[people],
            head_score=self.head_score[people],
            face=self.face[people],
            face_score=self.face_score[people],
            landmarks=self.landmarks[people],
            body=self.body[people],
            body_score=self.body_score[people],
            joints=self.joints[people],
            person_features=self.person_features[people],
            estimated=self.estimated[people],
        )

    def mirror(self) -> Scene:
        """Return the scene of the mirrored photo; features of the detector stay as they are."""
        landmarks = self.landmarks[:, MIRRORED_LANDMARKS]
        joints = self.joints[:, MIRRORED_JOINTS]
        landmarks[..., 0] = 1 - landmarks[..., 0]
        joints[..., 0] = 1 - joints[..., 0]
        return replace(
            self,
            head=mirror_boxes(self.head),
            face=mirror_boxes(self.face),
            body=mirror_boxes(self.body),
            landmarks=landmarks,
            joints=joints,
            hands=mirror_boxes(self.hands),
            animals=mirror_boxes(self.animals),
            objects=mirror_boxes(self.objects),
        )


def mirror_boxes(boxes: Floats) -> Floats:
    """Mirror boxes (..., 4) or boxes with scores (..., 5) of the photo frame."""
    mirrored: Floats = boxes.copy()
    mirrored[..., 0], mirrored[..., 2] = 1 - boxes[..., 2], 1 - boxes[..., 0]
    return mirrored


def estimate_head(body: Floats, aspect: float) -> Floats:
    """Estimate a head (4,) at the upper end of a body (4,), both in the photo frame."""
    width, height = body[2] - body[0], body[3] - body[1]
    size = min(HEAD_PER_BODY_HEIGHT * height, HEAD_PER_BODY_WIDTH * width * aspect)
    x, half = (body[0] + body[2]) / 2, HALF_HEAD_WIDTH * size / aspect
    return np.array([x - half, body[1], x + half, body[1] + size], np.float32)
