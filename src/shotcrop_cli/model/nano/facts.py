"""What the refinement knows about a main subject and what is around it, drawn from a scene.

All lengths, boxes and points are in the even frame (see `scene`), boxes as (x0, y0, x1, y1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.nano.scene import Scene

Doubles = NDArray[np.floating[Any]]

HEAD_MARGIN = (0.04, 0.07, 0.04, 0.03)
"""Margin around a main head for hair and hat: left, above, right, below, as shares of its width and height."""
SMALLEST_HEAD = 0.004
"""Heads count as at least this high."""

OTHER_HEAD_SCORE, OTHER_BODY_SCORE = 0.25, 0.5
"""Another person counts from this score of the head, or of the body, on."""
OTHER_WEIGHT, ESTIMATED_HEAD_CERTAINTY = 0.3, 0.2
"""Another person weighs this, plus the head's score (the second value if the head is estimated); at most 1."""

THING_CERTAINTY = (0.2, 0.6)
"""Scores at which animals and objects begin to count, and count in full."""
LARGEST_THING = 0.5
"""Things that fill at least this share of the photo do not count: no crop could hold them."""
HAND_SCORE = 0.3
JOINT_CERTAINTY = (0.25, 0.5)
"""Confidences at which joints begin to count, and count in full."""
ARM_JOINTS, LEG_JOINTS = range(2, 6), range(6, 12)
"""Elbows and wrists; hips, knees and ankles; see `scene.JOINTS`."""

SEEN_BODY = 0.3
"""A body counts from this score on."""
UPRIGHT_HEADS = (6.0, 9.5)
"""A body between this many heads high stands upright and is seen whole."""
USUAL_LEG_JOINTS, USUAL_CERTAINTY = (5.4, 7.0), 0.8
"""Where knees and ankles of such a body are if no joint was detected, in heads below the crown."""
FEET_HEADS, FEET_LIMIT = 5.0, 0.985
"""Feet are visible if the body is higher than this many heads and ends above this height in the photo."""

LOOK_GAIN, LOOK_DEAD_ZONE = 1.6, 0.35
"""A nose that is off the middle of the eyes by 1 / LOOK_GAIN of their distance looks aside fully; values below the dead
zone count as looking at the camera."""
NARROWEST_EYES = 0.12
"""Eyes count as at least this far apart, in heads: in profile they meet."""


@dataclass(frozen=True, eq=False)
class Facts:
    """A main subject of m people, n other people, t things and h hands.

    Args:
        aspect: Width / height of the photo.
        main_heads: (m, 4), with a margin for hair.
        crown: Upper edge of the highest main head, without the margin.
        head_size: Height of the main person's head.
        other_heads: (n, 4).
        other_bodies: (n, 4), NaN where unknown.
        other_weights: (n,), 0..1.
        things: (t, 4), animals and held objects.
        thing_weights: (t,), 0..1.
        is_animal: (t,).
        hands: (h, 4), of everybody.
        hand_weights: (h,), 0..1.
        leg_joints: (j, 2): y and weight of the main person's hips, knees and ankles.
        arm_joints: (k, 3): x, y and weight of the main person's elbows and wrists.
        feet: Lower edge of the main body where its feet are visible, else NaN.
        figure_height: From the main person's crown to the lower edge of the body, NaN where unknown.
        look: Where the main person looks: -1 left, 0 to the camera or unknown, 1 right.
        eyes: (2,), between the main person's eyes.
    """

    aspect: float
    main_heads: Doubles
    crown: float
    head_size: float
    other_heads: Doubles
    other_bodies: Doubles
    other_weights: Doubles
    things: Doubles
    thing_weights: Doubles
    is_animal: NDArray[np.bool_]
    hands: Doubles
    hand_weights: Doubles
    leg_joints: Doubles
    arm_joints: Doubles
    feet: float
    figure_height: float
    look: float
    eyes: Doubles

    def near(self, box: Doubles, reach: float) -> Facts:
        """Return the facts without other people, things and hands that a box cannot touch.

        Args:
            box: (4,).
            reach: How far the box's edges may move, as a share of its sides.
        """
        margin = reach * np.array([box[2] - box[0], box[3] - box[1]])
        area = np.concatenate([box[:2] - margin, box[2:] + margin])
        other = touches(self.other_heads, area) | touches(self.other_bodies, area)
        thing, hand = touches(self.things, area), touches(self.hands, area)
        return replace(
            self,
            other_heads=self.other_heads[other],
            other_bodies=self.other_bodies[other],
            other_weights=self.other_weights[other],
            things=self.things[thing],
            thing_weights=self.thing_weights[thing],
            is_animal=self.is_animal[thing],
            hands=self.hands[hand],
            hand_weights=self.hand_weights[hand],
        )


def gather_facts(scene: Scene, members: Sequence[int]) -> Facts:
    """Gather the facts about a main subject.

    Args:
        scene: What the photo shows.
        members: Indices of the main people in the scene, the main person first.
    """
    aspect, first = scene.aspect, members[0]
    head, body = to_even(scene.head, aspect), to_even(scene.body, aspect)
    main = list(members)
    others = [index for index in range(len(scene)) if index not in members and _counts(scene, index)]
    head_size = max(float(head[first, 3] - head[first, 1]), SMALLEST_HEAD)
    has_body = bool(scene.body_score[first] > SEEN_BODY)
    figure_height = float(body[first, 3] - head[first, 1]) if has_body else float("nan")
    has_feet = has_body and float(scene.body[first, 3]) < FEET_LIMIT and figure_height / head_size > FEET_HEADS
    things, thing_weights = _things(scene)
    hands = scene.hands[scene.hands[:, 4] > HAND_SCORE]
    look, eyes = _look(scene, first, head_size)
    return Facts(
        aspect=aspect,
        main_heads=_with_hair(head[main], aspect),
        crown=float(head[main, 1].min()),
        head_size=head_size,
        other_heads=head[others].reshape(-1, 4),
        other_bodies=body[others].reshape(-1, 4),
        other_weights=np.array([_weight_of_other(scene, index) for index in others]),
        things=things,
        thing_weights=thing_weights,
        is_animal=np.arange(len(things)) < len(scene.animals),
        hands=to_even(hands[:, :4], aspect),
        hand_weights=hands[:, 4].astype(np.float64).clip(0, 1),
        leg_joints=_leg_joints(scene, first, float(head[first, 1]), head_size, figure_height),
        arm_joints=_arm_joints(scene, first),
        feet=float(body[first, 3]) if has_feet else float("nan"),
        figure_height=figure_height,
        look=look,
        eyes=eyes,
    )


def to_even(boxes: Doubles, aspect: float) -> Doubles:
    """Return boxes (..., 4) of the photo frame in the even frame."""
    even = np.array(boxes, np.float64)
    even[..., 0::2] *= aspect
    return even


def touches(boxes: Doubles, area: Doubles) -> NDArray[np.bool_]:
    """Tell which of the boxes (n, 4) share some of an area (4,); NaN boxes share none."""
    low, high = np.maximum(boxes[:, :2], area[:2]), np.minimum(boxes[:, 2:], area[2:])
    result: NDArray[np.bool_] = np.logical_and.reduce(low < high, axis=1)
    return result


def _counts(scene: Scene, index: int) -> bool:
    """Tell whether another person is certain enough to count."""
    return bool(scene.head_score[index] > OTHER_HEAD_SCORE or scene.body_score[index] > OTHER_BODY_SCORE)


def _weight_of_other(scene: Scene, index: int) -> float:
    certainty = ESTIMATED_HEAD_CERTAINTY if scene.estimated[index] else float(scene.head_score[index])
    return min(1.0, OTHER_WEIGHT + certainty)


def _with_hair(heads: Doubles, aspect: float) -> Doubles:
    """Return heads (m, 4) with a margin, inside the photo."""
    width, height = heads[:, 2] - heads[:, 0], heads[:, 3] - heads[:, 1]
    left, above, right, below = HEAD_MARGIN
    grown = heads + np.stack([-left * width, -above * height, right * width, below * height], 1)
    grown[:, :2] = grown[:, :2].clip(0)
    return np.minimum(grown, [aspect, 1, aspect, 1]) if len(grown) else grown


def _things(scene: Scene) -> tuple[Doubles, Doubles]:
    """Return the boxes (t, 4) and weights (t,) of animals and held objects, animals first."""
    found = np.concatenate([scene.animals, scene.objects])
    boxes = to_even(found[:, :4], scene.aspect)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    start, full = THING_CERTAINTY
    certainty = ((found[:, 4].astype(np.float64) - start) / (full - start)).clip(0, 1)
    return boxes, certainty * (area < LARGEST_THING * scene.aspect)


def _joint_certainty(scene: Scene, person: int) -> Doubles:
    """Return the weights (12,) of a person's joints, 0 for hidden ones."""
    start, full = JOINT_CERTAINTY
    confidence = scene.joints[person, :, 2].astype(np.float64)
    return np.nan_to_num((confidence - start) / (full - start)).clip(0, 1)


def _leg_joints(scene: Scene, person: int, crown: float, head_size: float, figure_height: float) -> Doubles:
    """Return y and weight (j, 2) of a person's hips, knees and ankles, estimated for an upright figure without any."""
    certainty = _joint_certainty(scene, person)
    found = [(float(scene.joints[person, k, 1]), certainty[k]) for k in LEG_JOINTS if certainty[k] > 0]
    shortest, tallest = UPRIGHT_HEADS
    if not found and shortest < figure_height / head_size < tallest:
        found = [(crown + heads * head_size, USUAL_CERTAINTY) for heads in USUAL_LEG_JOINTS]
    return np.array(found, np.float64).reshape(-1, 2)


def _arm_joints(scene: Scene, person: int) -> Doubles:
    """Return x, y and weight (k, 3) of a person's elbows and wrists."""
    certainty = _joint_certainty(scene, person)
    joints = np.column_stack([scene.joints[person, :, :2].astype(np.float64) * [scene.aspect, 1], certainty])
    return joints[[k for k in ARM_JOINTS if certainty[k] > 0]].reshape(-1, 3)


def _look(scene: Scene, person: int, head_size: float) -> tuple[float, Doubles]:
    """Return where a person looks, -1..1, and the point (2,) between the eyes."""
    head = to_even(scene.head[person], scene.aspect)
    points = scene.landmarks[person].astype(np.float64) * [scene.aspect, 1]
    if scene.face_score[person] <= 0 or np.isnan(points).any():
        return 0.0, (head[:2] + head[2:]) / 2
    left_eye, right_eye, nose = points[:3]
    eyes = (left_eye + right_eye) / 2
    span = max(abs(right_eye[0] - left_eye[0]), NARROWEST_EYES * head_size)
    look = float(np.clip((nose[0] - eyes[0]) / span * LOOK_GAIN, -1, 1))
    return (0.0 if abs(look) < LOOK_DEAD_ZONE else look), eyes
