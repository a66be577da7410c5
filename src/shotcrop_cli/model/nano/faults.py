"""What editors reject in a crop, as costs: cut heads, headless bodies, cut hands and things, bad headroom and more.

A crop's cost is what it loses in IoU with the composer's box, plus the cost of its faults in the same unit. All
geometry is in the even frame (see `scene`).
"""

from __future__ import annotations

import math
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.nano.facts import Doubles, Facts
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.scene import Indices


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


class CropCosts:
    """The costs of crops for one shot of s main subjects.

    Crops are arrays (4, n), one row per edge, together with the number (n,) of each crop's subject.

    Args:
        facts: What is around the crops.
        shot: Which shot it is.
        wanted: The composer's boxes (s, 4).
        wider: The boxes (s, 4) of the next wider shot, None for the widest.
        costs: Costs of the faults.
    """

    def __init__(self, facts: Facts, shot: ShotSize, wanted: Doubles, wider: Doubles | None, costs: FaultCosts) -> None:
        self.facts, self.shot, self.costs = facts, shot, costs
        self.wanted, self.wider = wanted.T.copy(), None if wider is None else wider.T.copy()
        parts = [facts.main_heads, facts.other_heads, facts.other_bodies, facts.things, facts.hands]
        # Nothing is ever visible of a box of zeros.
        self._rectangles = np.nan_to_num(np.concatenate(parts, 1).transpose(2, 1, 0))
        self._areas = np.maximum(areas(self._rectangles), 1e-9)
        ends = np.cumsum([0, *(part.shape[1] for part in parts)]).tolist()
        heads, others, bodies, things, hands = (slice(*span) for span in pairwise(ends))
        self._heads, self._other_heads, self._bodies, self._things, self._hands = heads, others, bodies, things, hands
        self._body_areas = areas(self._rectangles[:, bodies])
        is_main = ~np.isnan(facts.main_heads[..., 0]).T
        self._is_main, self._main_count = is_main.astype(np.float64), is_main.sum(0)
        self._other_weights = np.nan_to_num(facts.other_weights.T)
        thing_costs = np.where(facts.is_animal > 0, costs.animal, costs.held) * facts.thing_weights
        self._thing_costs = np.nan_to_num(thing_costs.T) * THING_IN_SHOT[shot]
        self._hand_weights = np.nan_to_num(facts.hand_weights.T)
        self._leg_joints, self._arm_joints = facts.leg_joints.transpose(2, 1, 0), facts.arm_joints.transpose(2, 1, 0)

    def __call__(self, boxes: Doubles, subject: Indices, of_move: Doubles | None = None) -> Doubles:
        """Return the costs (n,) of boxes (4, n).

        Args:
            boxes: The boxes.
            subject: (n,), the subject of each.
            of_move: What `of_move` returned for them (n,), if it is known.
        """
        total = self.of_move(boxes, subject) if of_move is None else of_move.copy()
        visible = self._visible(boxes, subject)
        total += self._cut_main_heads(visible[self._heads], subject)
        if len(self._other_weights):
            weights, heads = self._other_weights[:, subject], visible[self._other_heads]
            total += self._cut_other_heads(heads, weights)
            total += self._headless(heads, visible[self._bodies], weights, boxes, subject)
        if len(self._thing_costs):
            total += (_is_cut(visible[self._things], THING_CUT) * self._thing_costs[:, subject]).sum(0)
        if self.shot is not ShotSize.ESTABLISHING:
            self._add_tight_faults(total, boxes, subject, visible[self._hands])
        return total

    def of_move(self, boxes: Doubles, subject: Indices) -> Doubles:
        """Return what the boxes (4, n) cost (n,) because they are not the composer's: they cost no less in all."""
        cost: Doubles = self.costs.move * (1 - iou(boxes, self.wanted[:, subject]))
        return cost

    def _add_tight_faults(self, total: Doubles, boxes: Doubles, subject: Indices, hands: Doubles) -> None:
        """Add the faults of medium shots and close-ups to a total (n,) in place."""
        if len(self._hand_weights):
            total += self._cut_hands(hands, self._hand_weights[:, subject])
        head_size, aspect = self.facts.head_size[subject], self.facts.aspect[subject]
        total += self._cut_legs(boxes, self._leg_joints[:, :, subject], head_size)
        total += self._cut_arms(boxes, self._arm_joints[:, :, subject], head_size, aspect)
        total += self._cut_feet(boxes, subject)
        total += self._headroom(boxes, subject)
        total += self._look_room(boxes, subject, aspect)
        total += self._ratio(boxes)
        if self.shot is ShotSize.CLOSE_UP and self.costs.least_height > 0:
            height = boxes[3] - boxes[1]
            total += self.costs.small * (self.costs.least_height / height - 1).clip(0, 1)
        if self.wider is not None:
            total += self.costs.distinct * np.maximum(iou(boxes, self.wider[:, subject]) - ALIKE, 0)

    def _visible(self, boxes: Doubles, subject: Indices) -> Doubles:
        """Return the shares (m, n) inside the boxes of main heads, other heads, other bodies, things and hands."""
        these = self._rectangles[:, :, subject]
        width = np.minimum(these[2], boxes[2]) - np.maximum(these[0], boxes[0])
        height = np.minimum(these[3], boxes[3]) - np.maximum(these[1], boxes[1])
        share: Doubles = np.maximum(width, 0) * np.maximum(height, 0) / self._areas[:, subject]
        return share

    def _cut_main_heads(self, visible: Doubles, subject: Indices) -> Doubles:
        cost = self.costs.main_head
        if self.shot is ShotSize.ESTABLISHING:
            cost *= MAIN_HEAD_IN_ESTABLISHING
        hidden = ((1 - visible) * self._is_main[:, subject]).sum(0)
        result: Doubles = cost * (hidden / self._main_count[subject])
        return result

    def _cut_other_heads(self, visible: Doubles, weights: Doubles) -> Doubles:
        extent = HEAD_CUT_COST + HALF_HEAD_COST * visible * (1 - visible)
        result: Doubles = self.costs.other_head * (_is_cut(visible, HEAD_CUT) * weights * extent).sum(0)
        return result

    def _headless(self, heads: Doubles, bodies: Doubles, weights: Doubles, boxes: Doubles, subject: Indices) -> Doubles:
        share = bodies * self._body_areas[:, subject] / areas(boxes)
        headless = (heads <= HEAD_CUT[0]) & (share > HEADLESS_SHARE)
        extent = np.minimum(HEADLESS_MOST, HEADLESS_COST + HEADLESS_GAIN * share)
        result: Doubles = self.costs.headless * (headless * weights * extent).sum(0)
        return result

    def _cut_hands(self, visible: Doubles, weights: Doubles) -> Doubles:
        cost = self.costs.hand * (1.0 if self.shot is ShotSize.MEDIUM else HAND_IN_CLOSE_UP)
        result: Doubles = cost * (_is_cut(visible, HAND_CUT) * weights).sum(0)
        return result

    def _cut_legs(self, boxes: Doubles, joints: Doubles, head_size: Doubles) -> Doubles:
        """Return the cost of lower edges through hips, knees or ankles."""
        y, weight = joints
        nearness = 1 - np.abs(boxes[3] - y) / (LEG_JOINT_REACH * head_size)
        result: Doubles = self.costs.joint * (np.maximum(nearness, 0) * weight).max(0) * (boxes[3] < BOTTOM)
        return result

    def _cut_arms(self, boxes: Doubles, joints: Doubles, head_size: Doubles, aspect: Doubles) -> Doubles:
        """Return the cost of side edges through elbows or wrists."""
        x, y, weight = joints
        weight = weight * ((y > boxes[1]) & (y < boxes[3]))
        border, reach = SIDE_OF_JOINT * aspect, ARM_JOINT_REACH * head_size
        total = np.zeros(boxes.shape[1])
        for edge in (boxes[0], boxes[2]):
            inside = (edge >= border) & (edge <= aspect - border)
            nearness = 1 - np.abs(edge - x) / reach
            total += (np.maximum(nearness, 0) * weight).max(0) * inside
        result: Doubles = ARM_JOINT_SHARE * self.costs.joint * total
        return result

    def _cut_feet(self, boxes: Doubles, subject: Indices) -> Doubles:
        """Return the cost of lower edges through the feet."""
        above_soles = (self.facts.feet[subject] - boxes[3]) / np.maximum(self.facts.figure_height[subject], 1e-6)
        result: Doubles = self.costs.feet * ((above_soles > 0.0) & (above_soles < FEET_REACH))
        return result

    def _headroom(self, boxes: Doubles, subject: Indices) -> Doubles:
        room = (self.facts.crown[subject] - boxes[1]) / (boxes[3] - boxes[1])
        too_little = np.maximum(self.costs.room_low[self.shot] - room, 0) * (boxes[1] > TOP)
        too_much = np.maximum(room - self.costs.room_high[self.shot], 0)
        result: Doubles = self.costs.headroom * too_little + TOO_MUCH_HEADROOM * self.costs.headroom * too_much
        return result

    def _look_room(self, boxes: Doubles, subject: Indices, aspect: Doubles) -> Doubles:
        """Return the cost of less space in front of a turned head than behind it."""
        eyes, look = self.facts.eyes[subject, 0], self.facts.look[subject]
        left, right, to_right = eyes - boxes[0], boxes[2] - eyes, look > 0
        front, back = np.where(to_right, right, left), np.where(to_right, left, right)
        at_right_border = boxes[2] > (1 - SIDE_OF_LOOK) * aspect
        at_border = np.where(to_right, at_right_border, boxes[0] < SIDE_OF_LOOK * aspect)
        lack = np.maximum((back - BALANCE * front) / (boxes[2] - boxes[0]), 0)
        result: Doubles = self.costs.look_room * np.abs(look) * lack * ~at_border
        return result

    def _ratio(self, boxes: Doubles) -> Doubles:
        ratio = np.log((boxes[2] - boxes[0]) / (boxes[3] - boxes[1]))
        tallest, widest = LOG_RATIOS
        result: Doubles = self.costs.aspect * (np.maximum(tallest - ratio, 0) + np.maximum(ratio - widest, 0))
        return result


def areas(boxes: Doubles) -> Doubles:
    """Return the areas (...) of boxes (4, ...)."""
    result: Doubles = (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
    return result


def iou(a: Doubles, b: Doubles) -> Doubles:
    """Return the IoU (...) of each box of a (4, ...) with the one of b (4, ...)."""
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    result: Doubles = shared / np.maximum(areas(a) + areas(b) - shared, 1e-9)
    return result


def _is_cut(visible: Doubles, limits: tuple[float, float]) -> NDArray[np.bool_]:
    """Tell where a visible share is between the limits."""
    return (visible > limits[0]) & (visible < limits[1])
