"""What editors reject in a crop, as costs: cut heads, headless bodies, cut hands and things, bad headroom and more.

A crop's cost is what it loses in IoU with the composer's box, plus the cost of its faults in the same unit. All
geometry is in the even frame (see `scene`).
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np

from shotcrop_cli.model.nano.facts import Doubles, Facts
from shotcrop_cli.model.nano.manifest import FaultCosts


class ShotSize(IntEnum):
    """The three shots, in the order of a triple."""

    ESTABLISHING = 0
    MEDIUM = 1
    CLOSE_UP = 2


HEAD_CUT = (0.04, 0.96)
"""A head is cut if more than the first and less than the second share of it is inside."""
HEAD_CUT_COST, HALF_HEAD_COST = 0.35, 0.8
"""A cut head costs the first, plus the second times s * (1 - s) for a visible share s: most for half a head."""
MAIN_HEAD_IN_ESTABLISHING = 0.5
"""A cut main head costs this much less in an establishing shot."""
HEADLESS_SHARE = 0.015
"""A body without its head is a fault if it fills more than this share of the crop."""
HEADLESS_COST, HEADLESS_GAIN, HEADLESS_MOST = 0.15, 1.5, 0.8
"""It costs the first, plus its share of the crop times the second, at most the third."""
THING_CUT = (0.08, 0.93)
THING_IN_SHOT = (0.7, 1.0, 0.6)
"""How much cut animals and objects count in each shot."""
HAND_CUT = (0.05, 0.95)
HAND_IN_CLOSE_UP = 0.5
"""How much cut hands count in a close-up, compared to a medium shot."""
LEG_JOINT_REACH, ARM_JOINT_REACH = 0.3, 0.2
"""An edge that is nearer to a joint than this, in heads, runs through it."""
ARM_JOINT_SHARE = 0.5
"""A side edge through an arm costs this share of a lower edge through a leg."""
FEET_REACH = 0.09
"""A lower edge that is up to this share of the figure above its soles cuts the feet."""
BOTTOM, TOP, SIDE_OF_JOINT, SIDE_OF_LOOK = 0.99, 0.002, 0.01, 0.005
"""An edge this near to the photo's border, as a share of its side, is on the border: the photo itself ends there."""
TOO_MUCH_HEADROOM = 0.8
"""Too much headroom costs this share of too little."""
BALANCE = 0.95
"""The space behind the eyes may be up to this share of the space in front of them."""
RATIOS = (0.64, 1.75)
"""Smallest and largest width / height of medium shots and close-ups."""
LOG_RATIOS = (math.log(RATIOS[0]), math.log(RATIOS[1]))
ALIKE = 0.76
"""Two shots are too alike above this IoU."""


class CropCost:
    """The cost of crops for one shot of one main subject.

    Args:
        facts: What is around the crop.
        shot: Which shot it is.
        wanted: The composer's box (4,).
        wider: The box (4,) of the next wider shot, None for the widest.
        costs: Costs of the faults.
    """

    def __init__(self, facts: Facts, shot: ShotSize, wanted: Doubles, wider: Doubles | None, costs: FaultCosts) -> None:
        self.facts, self.shot, self.wanted, self.wider, self.costs = facts, shot, wanted, wider, costs
        bodies = np.where(np.isnan(facts.other_bodies), 0, facts.other_bodies)
        parts = (facts.main_heads, facts.other_heads, bodies, facts.things, facts.hands)
        self._rectangles: Doubles = np.concatenate(parts)
        self._areas, self._body_areas = np.maximum(areas(self._rectangles), 1e-9), areas(bodies)
        self._ends: list[int] = np.cumsum([len(part) for part in parts]).tolist()
        self._thing_costs = (
            np.where(facts.is_animal, costs.animal, costs.held) * facts.thing_weights * THING_IN_SHOT[shot]
        )

    def __call__(self, boxes: Doubles, of_move: Doubles | None = None) -> Doubles:
        """Return the costs (n,) of boxes (n, 4).

        Args:
            boxes: The boxes.
            of_move: What `of_move` returned for them (n,), if it is known.
        """
        heads, other_heads, bodies, things, hands = self._visible(boxes)
        total = self.of_move(boxes) if of_move is None else of_move.copy()
        total += self._main_heads(heads)
        if other_heads.shape[1]:
            total += self._other_heads(other_heads)
            total += self._headless(other_heads, bodies, areas(boxes))
        if things.shape[1]:
            total += (_is_cut(things, THING_CUT) * self._thing_costs).sum(1)
        if self.shot is not ShotSize.ESTABLISHING:
            self._add_tight_faults(total, boxes, hands)
        return total

    def of_move(self, boxes: Doubles) -> Doubles:
        """Return what the boxes (n, 4) cost (n,) because they are not the composer's: they cost no less in all."""
        cost: Doubles = self.costs.move * (1 - iou(boxes, self.wanted))
        return cost

    def _add_tight_faults(self, total: Doubles, boxes: Doubles, hands: Doubles) -> None:
        """Add the faults of medium shots and close-ups to a total (n,) in place."""
        if hands.shape[1]:
            total += self._hands(hands)
        total += self._leg_joints(boxes)
        total += self._arm_joints(boxes)
        total += self._feet(boxes)
        total += self._headroom(boxes)
        total += self._look_room(boxes)
        total += self._ratio(boxes)
        if self.shot is ShotSize.CLOSE_UP and self.costs.least_height > 0:
            height = boxes[:, 3] - boxes[:, 1]
            total += self.costs.small * (self.costs.least_height / height - 1).clip(0, 1)
        if self.wider is not None:
            total += self.costs.distinct * np.maximum(iou(boxes, self.wider) - ALIKE, 0)

    def _visible(self, boxes: Doubles) -> list[Doubles]:
        """Return the shares (n, m) inside the boxes of main heads, other heads, other bodies, things and hands."""
        these = self._rectangles
        width = np.minimum(these[:, 2], boxes[:, 2:3]) - np.maximum(these[:, 0], boxes[:, 0:1])
        height = np.minimum(these[:, 3], boxes[:, 3:4]) - np.maximum(these[:, 1], boxes[:, 1:2])
        share: Doubles = np.maximum(width, 0) * np.maximum(height, 0) / self._areas
        return [share[:, start:end] for start, end in zip((0, *self._ends), self._ends, strict=False)]

    def _main_heads(self, visible: Doubles) -> Doubles:
        cost = self.costs.main_head
        if self.shot is ShotSize.ESTABLISHING:
            cost *= MAIN_HEAD_IN_ESTABLISHING
        result: Doubles = cost * (1 - visible).mean(1)
        return result

    def _other_heads(self, visible: Doubles) -> Doubles:
        extent = HEAD_CUT_COST + HALF_HEAD_COST * visible * (1 - visible)
        cut = _is_cut(visible, HEAD_CUT)
        result: Doubles = self.costs.other_head * (cut * self.facts.other_weights * extent).sum(1)
        return result

    def _headless(self, heads: Doubles, bodies: Doubles, crop_areas: Doubles) -> Doubles:
        share = bodies * self._body_areas / crop_areas[:, None]
        headless = (heads <= HEAD_CUT[0]) & (share > HEADLESS_SHARE)
        extent = np.minimum(HEADLESS_MOST, HEADLESS_COST + HEADLESS_GAIN * share)
        result: Doubles = self.costs.headless * (headless * self.facts.other_weights * extent).sum(1)
        return result

    def _hands(self, visible: Doubles) -> Doubles:
        cost = self.costs.hand * (1.0 if self.shot is ShotSize.MEDIUM else HAND_IN_CLOSE_UP)
        result: Doubles = cost * (_is_cut(visible, HAND_CUT) * self.facts.hand_weights).sum(1)
        return result

    def _leg_joints(self, boxes: Doubles) -> Doubles | float:
        """Return the cost of lower edges through hips, knees or ankles."""
        joints, bottom = self.facts.leg_joints, boxes[:, 3]
        if len(joints) == 0:
            return 0.0
        nearness = 1 - np.abs(bottom[:, None] - joints[:, 0]) / (LEG_JOINT_REACH * self.facts.head_size)
        result: Doubles = self.costs.joint * (np.maximum(nearness, 0) * joints[:, 1]).max(1) * (bottom < BOTTOM)
        return result

    def _arm_joints(self, boxes: Doubles) -> Doubles | float:
        """Return the cost of side edges through elbows or wrists."""
        if len(self.facts.arm_joints) == 0:
            return 0.0
        x, y, weight = self.facts.arm_joints.T
        level = (y > boxes[:, 1:2]) & (y < boxes[:, 3:4])
        edges, border = boxes[:, 0::2], SIDE_OF_JOINT * self.facts.aspect
        inside = (edges >= border) & (edges <= self.facts.aspect - border)
        nearness = 1 - np.abs(edges[:, :, None] - x) / (ARM_JOINT_REACH * self.facts.head_size)
        cost = (np.maximum(nearness, 0) * (weight * level)[:, None]).max(2) * inside
        result: Doubles = ARM_JOINT_SHARE * self.costs.joint * cost.sum(1)
        return result

    def _feet(self, boxes: Doubles) -> Doubles | float:
        """Return the cost of lower edges through the feet."""
        if np.isnan(self.facts.feet):
            return 0.0
        above_soles = (self.facts.feet - boxes[:, 3]) / max(self.facts.figure_height, 1e-6)
        result: Doubles = self.costs.feet * ((above_soles > 0.0) & (above_soles < FEET_REACH))
        return result

    def _headroom(self, boxes: Doubles) -> Doubles:
        room = (self.facts.crown - boxes[:, 1]) / (boxes[:, 3] - boxes[:, 1])
        too_little = np.maximum(self.costs.room_low[self.shot] - room, 0) * (boxes[:, 1] > TOP)
        too_much = np.maximum(room - self.costs.room_high[self.shot], 0)
        result: Doubles = self.costs.headroom * too_little + TOO_MUCH_HEADROOM * self.costs.headroom * too_much
        return result

    def _look_room(self, boxes: Doubles) -> Doubles | float:
        """Return the cost of less space in front of a turned head than behind it."""
        if not self.facts.look:
            return 0.0
        left, right = self.facts.eyes[0] - boxes[:, 0], boxes[:, 2] - self.facts.eyes[0]
        if self.facts.look > 0:
            front, back, at_border = right, left, boxes[:, 2] > (1 - SIDE_OF_LOOK) * self.facts.aspect
        else:
            front, back, at_border = left, right, boxes[:, 0] < SIDE_OF_LOOK * self.facts.aspect
        lack = np.maximum((back - BALANCE * front) / (boxes[:, 2] - boxes[:, 0]), 0)
        result: Doubles = self.costs.look_room * abs(self.facts.look) * lack * ~at_border
        return result

    def _ratio(self, boxes: Doubles) -> Doubles:
        ratio = np.log((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))
        tallest, widest = LOG_RATIOS
        result: Doubles = self.costs.aspect * (np.maximum(tallest - ratio, 0) + np.maximum(ratio - widest, 0))
        return result


def areas(boxes: Doubles) -> Doubles:
    """Return the areas (n,) of boxes (n, 4)."""
    result: Doubles = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return result


def iou(boxes: Doubles, box: Doubles) -> Doubles:
    """Return the IoU (n,) of boxes (n, 4) with one box (4,)."""
    width = np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0])
    height = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    total = areas(boxes) + (box[2] - box[0]) * (box[3] - box[1])
    result: Doubles = shared / np.maximum(total - shared, 1e-9)
    return result


def _is_cut(visible: Doubles, limits: tuple[float, float]) -> Doubles:
    """Return 1 where a visible share is between the limits, else 0."""
    return ((visible > limits[0]) & (visible < limits[1])).astype(np.float64)
