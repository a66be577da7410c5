"""What the refinement knows about main subjects and what is around them, drawn from scenes.

All lengths, boxes and points are in the even frame (see `scene`), boxes as (x0, y0, x1, y1). `Facts` describes many
subjects at once, so that numpy works on all of them together: subjects with fewer heads, things or hands than others
have NaN in the places that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.nano.scene import Indices, Mask, Scene

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
HAND_MARGIN = 0.2
"""Margin on each side of a detected hand, as a share of its size: for fingertips, and for a grip on what it holds.
Source: of 0, 0.15, 0.2, 0.3 and 0.6, the best on one half of the cross-validated photos, confirmed on the other."""
JOINT_CERTAINTY = (0.25, 0.5)
"""Confidences at which joints begin to count, and count in full."""
ARM_JOINTS, LEG_JOINTS = slice(2, 6), slice(6, 12)
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
    """The facts about s main subjects of up to m people, with up to n other people, t things and h hands around them.

    Args:
        aspect: (s,), width / height of the photo.
        main_heads: (s, m, 4), with a margin for hair.
        crown: (s,), upper edge of the highest main head, without the margin.
        head_size: (s,), height of the main person's head.
        other_heads: (s, n, 4).
        other_bodies: (s, n, 4), NaN where unknown.
        other_weights: (s, n), 0..1.
        things: (s, t, 4), animals and held objects.
        thing_weights: (s, t), 0..1.
        is_animal: (s, t), 1 or 0.
        hands: (s, h, 4), of everybody.
        hand_weights: (s, h), 0..1.
        leg_joints: (s, 6, 2): y and weight of the main person's hips, knees and ankles, weight 0 for hidden ones.
        arm_joints: (s, 4, 3): x, y and weight of the main person's elbows and wrists, weight 0 for hidden ones.
        feet: (s,), lower edge of the main body where its feet are visible, else NaN.
        figure_height: (s,), from the main person's crown to the lower edge of the body, NaN where unknown.
        look: (s,), where the main person looks: -1 left, 0 to the camera or unknown, 1 right.
        eyes: (s, 2), between the main person's eyes.
    """

    aspect: Doubles
    main_heads: Doubles
    crown: Doubles
    head_size: Doubles
    other_heads: Doubles
    other_bodies: Doubles
    other_weights: Doubles
    things: Doubles
    thing_weights: Doubles
    is_animal: Doubles
    hands: Doubles
    hand_weights: Doubles
    leg_joints: Doubles
    arm_joints: Doubles
    feet: Doubles
    figure_height: Doubles
    look: Doubles
    eyes: Doubles

    def __len__(self) -> int:
        return len(self.aspect)

    def near(self, boxes: Doubles, reach: float) -> Facts:
        """Return the facts without other people, things and hands that a box cannot touch.

        Args:
            boxes: (s, 4), one per subject.
            reach: How far a box's edges may move, as a share of its sides.
        """
        margin = reach * (boxes[:, 2:] - boxes[:, :2])
        area = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)
        other = touches(self.other_heads, area) | touches(self.other_bodies, area)
        heads, bodies, other_weights = _keep(other, self.other_heads, self.other_bodies, self.other_weights)
        thing = touches(self.things, area)
        things, thing_weights, is_animal = _keep(thing, self.things, self.thing_weights, self.is_animal)
        hands, hand_weights = _keep(touches(self.hands, area), self.hands, self.hand_weights)
        return replace(
            self,
            other_heads=heads,
            other_bodies=bodies,
            other_weights=other_weights,
            things=things,
            thing_weights=thing_weights,
            is_animal=is_animal,
            hands=hands,
            hand_weights=hand_weights,
        )


def gather_facts(scene: Scene, subjects: Sequence[Sequence[int]]) -> Facts:
    """Gather the facts about main subjects of a scene.

    Args:
        scene: What the photo shows.
        subjects: For each subject the indices of its people in the scene, the main person first.
    """
    aspect, s = scene.aspect, len(subjects)
    head, body = to_even(scene.head, aspect), to_even(scene.body, aspect)
    first = np.array([members[0] for members in subjects])
    belongs: Mask = np.zeros((s, len(scene)), bool)
    for row, members in enumerate(subjects):
        belongs[row, list(members)] = True
    crown, lower_end = head[first, 1], body[first, 3]
    head_size = np.maximum(head[first, 3] - crown, SMALLEST_HEAD)
    figure_height = np.where(scene.body_score[first] > SEEN_BODY, lower_end - crown, np.nan)
    has_feet = (lower_end < FEET_LIMIT) & (figure_height / head_size > FEET_HEADS)
    (main_heads,) = _keep(belongs, _repeat(_with_margin(head, HEAD_MARGIN, aspect), s))
    heads, bodies, weights = _repeat(head, s), _repeat(body, s), _repeat(_weights_of_others(scene), s)
    other_heads, other_bodies, other_weights = _keep(_counts(scene) & ~belongs, heads, bodies, weights)
    things, thing_weights, is_animal = _things(scene)
    hands = scene.hands[scene.hands[:, 4] > HAND_SCORE]
    look, eyes = _look(scene, first, head_size)
    return Facts(
        aspect=np.full(s, aspect),
        main_heads=main_heads,
        crown=np.where(belongs, head[:, 1], np.inf).min(1),
        head_size=head_size,
        other_heads=other_heads,
        other_bodies=other_bodies,
        other_weights=other_weights,
        things=_repeat(things, s),
        thing_weights=_repeat(thing_weights, s),
        is_animal=_repeat(is_animal, s),
        hands=_repeat(_with_margin(to_even(hands[:, :4], aspect), (HAND_MARGIN,) * 4, aspect), s),
        hand_weights=_repeat(hands[:, 4].astype(np.float64).clip(0, 1), s),
        leg_joints=_leg_joints(scene, first, crown, head_size, figure_height),
        arm_joints=_arm_joints(scene, first),
        feet=np.where(has_feet, lower_end, np.nan),
        figure_height=figure_height,
        look=look,
        eyes=eyes,
    )


def join(parts: Sequence[Facts]) -> Facts:
    """Return the facts of several scenes as one."""
    if len(parts) == 1:
        return parts[0]
    return Facts(**{one.name: _join([getattr(part, one.name) for part in parts]) for one in fields(Facts)})


def to_even(boxes: Doubles, aspect: float | Doubles) -> Doubles:
    """Return boxes (..., 4) of the photo frame in the even frame."""
    even = np.array(boxes, np.float64)
    even[..., 0::2] *= aspect
    return even


def touches(boxes: Doubles, areas: Doubles) -> Mask:
    """Tell which of the boxes (s, n, 4) share some of their area (s, 4); NaN boxes share none."""
    low, high = np.maximum(boxes[..., :2], areas[:, None, :2]), np.minimum(boxes[..., 2:], areas[:, None, 2:])
    inside = low < high
    result: Mask = inside[..., 0] & inside[..., 1]
    return result


def _join(parts: list[Doubles]) -> Doubles:
    """Concatenate arrays (s, ...) or (s, n, ...) after filling n up to the largest with NaN."""
    if parts[0].ndim == 1 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    places = max(part.shape[1] for part in parts)
    joined = np.full((sum(map(len, parts)), places, *parts[0].shape[2:]), np.nan)
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return joined


def _keep(mask: Mask, *arrays: Doubles) -> list[Doubles]:
    """Keep what a mask (s, n) selects of arrays (s, n, ...), moved to the front and filled up with NaN."""
    counts = mask.sum(1)
    places = int(counts.max(initial=0))
    order = np.argsort(~mask, 1, kind="stable")[:, :places]
    left_over = np.arange(places) >= counts[:, None]
    row = np.arange(len(mask))[:, None]
    kept = [array[row, order] for array in arrays]
    for one in kept:
        one[left_over] = np.nan
    return kept


def _repeat(array: Doubles, s: int) -> Doubles:
    """Return an array (...) once per subject (s, ...)."""
    return np.broadcast_to(array, (s, *array.shape))


def _counts(scene: Scene) -> Mask:
    """Tell who is certain enough to count as another person (n,)."""
    result: Mask = (scene.head_score > OTHER_HEAD_SCORE) | (scene.body_score > OTHER_BODY_SCORE)
    return result


def _weights_of_others(scene: Scene) -> Doubles:
    certainty = np.where(scene.estimated, ESTIMATED_HEAD_CERTAINTY, scene.head_score.astype(np.float64))
    return np.minimum(1.0, OTHER_WEIGHT + certainty)


def _with_margin(boxes: Doubles, margin: tuple[float, float, float, float], aspect: float) -> Doubles:
    """Return boxes (n, 4) with a margin: left, above, right and below, as shares of their size, inside the photo."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    left, above, right, below = margin
    grown = boxes + np.stack([-left * width, -above * height, right * width, below * height], 1)
    grown[:, :2] = grown[:, :2].clip(0)
    return np.minimum(grown, [aspect, 1, aspect, 1])


def _things(scene: Scene) -> tuple[Doubles, Doubles, Doubles]:
    """Return boxes (t, 4) and weights (t,) of animals and held objects, and 1 for animals (t,), which come first."""
    found = np.concatenate([scene.animals, scene.objects])
    boxes = to_even(found[:, :4], scene.aspect)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    start, full = THING_CERTAINTY
    certainty = ((found[:, 4].astype(np.float64) - start) / (full - start)).clip(0, 1)
    is_animal = np.arange(len(boxes)) < len(scene.animals)
    return boxes, certainty * (area < LARGEST_THING * scene.aspect), is_animal.astype(np.float64)


def _joint_certainty(scene: Scene, people: Indices) -> Doubles:
    """Return the weights (s, 12) of people's joints, 0 for hidden ones."""
    start, full = JOINT_CERTAINTY
    confidence = scene.joints[people, :, 2].astype(np.float64)
    return np.nan_to_num((confidence - start) / (full - start)).clip(0, 1)


def _leg_joints(scene: Scene, people: Indices, crown: Doubles, head_size: Doubles, figure_height: Doubles) -> Doubles:
    """Return y and weight (s, 6, 2) of people's hips, knees and ankles, estimated for upright figures without any."""
    certainty = _joint_certainty(scene, people)[:, LEG_JOINTS]
    y = np.where(certainty > 0, scene.joints[people, LEG_JOINTS, 1].astype(np.float64), 0)
    shortest, tallest = UPRIGHT_HEADS
    heads_high = figure_height / head_size
    guess = ~(certainty > 0).any(1) & (shortest < heads_high) & (heads_high < tallest)
    usual = len(USUAL_LEG_JOINTS)
    y[guess, :usual] = (crown[:, None] + np.array(USUAL_LEG_JOINTS) * head_size[:, None])[guess]
    certainty[guess, :usual] = USUAL_CERTAINTY
    return np.stack([y, certainty], -1)


def _arm_joints(scene: Scene, people: Indices) -> Doubles:
    """Return x, y and weight (s, 4, 3) of people's elbows and wrists."""
    certainty = _joint_certainty(scene, people)[:, ARM_JOINTS, None]
    places = scene.joints[people, ARM_JOINTS, :2].astype(np.float64) * [scene.aspect, 1]
    return np.concatenate([np.where(certainty > 0, places, 0), certainty], -1)


def _look(scene: Scene, people: Indices, head_size: Doubles) -> tuple[Doubles, Doubles]:
    """Return where people look (s,), -1..1, and the points (s, 2) between their eyes."""
    head = to_even(scene.head[people], scene.aspect)
    points = scene.landmarks[people].astype(np.float64) * [scene.aspect, 1]
    hidden = ~(scene.face_score[people] > 0) | np.isnan(points).any((1, 2))
    left_eye, right_eye, nose = points[:, 0], points[:, 1], points[:, 2]
    eyes = np.where(hidden[:, None], (head[:, :2] + head[:, 2:]) / 2, (left_eye + right_eye) / 2)
    span = np.maximum(np.abs(right_eye[:, 0] - left_eye[:, 0]), NARROWEST_EYES * head_size)
    look = ((nose[:, 0] - eyes[:, 0]) / span * LOOK_GAIN).clip(-1, 1)
    return np.where(hidden | (np.abs(look) < LOOK_DEAD_ZONE), 0.0, look), eyes
