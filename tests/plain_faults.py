"""The costs of faults and the search of the refinement once more, box by box in plain numbers.

This is what `shotcrop_cli.model.nano.faults` and `refinement` compute for many boxes at once. It is slow and easy to
check against the descriptions of the costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shotcrop_cli.model.nano import faults
from shotcrop_cli.model.nano.facts import Facts, gather_facts
from shotcrop_cli.model.nano.faults import ShotSize
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.refinement import (
    DIGITS,
    FEET_MARGIN,
    GOOD_ENOUGH,
    LEAST_GAIN,
    LEAST_GAIN_OF_ROUND,
    MARGINS,
    MARK_REACH,
    MOST_MARKS,
    REACH,
    ROUNDS,
    SHORTEST,
)
from shotcrop_cli.model.nano.scene import Floats, Scene

Sides = tuple[float, ...]


def area(box: Sides) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(a: Sides, b: Sides) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def iou(a: Sides, b: Sides) -> float:
    return shared(a, b) / max(area(a) + area(b) - shared(a, b), 1e-9)


@dataclass
class PlainCosts:
    """The costs of crops for one shot of the first subject of some facts."""

    facts: Facts
    shot: ShotSize
    wanted: Sides
    wider: Sides | None
    costs: FaultCosts

    def rows(self, name: str) -> list[Sides]:
        """Return the first subject's values of a field as tuples."""
        return [tuple(np.atleast_1d(row).tolist()) for row in getattr(self.facts, name)[0]]

    def number(self, name: str) -> float:
        return float(getattr(self.facts, name)[0])

    def __call__(self, box: Sides) -> float:
        tight = self.shot is not ShotSize.ESTABLISHING
        total = self.costs.move * (1 - iou(box, self.wanted)) + self.heads(box) + self.others(box) + self.things(box)
        if tight:
            total += self.hands(box) + self.joints(box) + self.headroom(box) + self.look_room(box) + self.shape(box)
        if tight and self.wider is not None:
            total += self.costs.distinct * max(iou(box, self.wider) - faults.ALIKE, 0)
        return total

    def heads(self, box: Sides) -> float:
        hidden = [1 - shared(head, box) / area(head) for head in self.rows("main_heads") if not math.isnan(head[0])]
        share = faults.MAIN_HEAD_IN_ESTABLISHING if self.shot is ShotSize.ESTABLISHING else 1
        return share * self.costs.main_head * sum(hidden) / len(hidden)

    def others(self, box: Sides) -> float:
        total = 0.0
        people = zip(self.rows("other_heads"), self.rows("other_bodies"), self.rows("other_weights"), strict=True)
        for head, body, (weight,) in people:
            if math.isnan(head[0]):
                continue
            inside = shared(head, box) / area(head)
            if faults.HEAD_CUT[0] < inside < faults.HEAD_CUT[1]:
                extent = faults.HEAD_CUT_COST + faults.HALF_HEAD_COST * inside * (1 - inside)
                total += self.costs.other_head * weight * extent
            share = 0.0 if math.isnan(body[0]) else shared(body, box) / area(box)
            if inside <= faults.HEAD_CUT[0] and share > faults.HEADLESS_SHARE:
                extent = min(faults.HEADLESS_MOST, faults.HEADLESS_COST + faults.HEADLESS_GAIN * share)
                total += self.costs.headless * weight * extent
        return total

    def things(self, box: Sides) -> float:
        total = 0.0
        things = zip(self.rows("things"), self.rows("thing_weights"), self.rows("is_animal"), strict=True)
        for thing, (weight,), (animal,) in things:
            if (
                not math.isnan(thing[0])
                and faults.THING_CUT[0] < shared(thing, box) / area(thing) < faults.THING_CUT[1]
            ):
                total += weight * (self.costs.animal if animal else self.costs.held) * faults.THING_IN_SHOT[self.shot]
        return total

    def hands(self, box: Sides) -> float:
        total = 0.0
        for hand, (weight,) in zip(self.rows("hands"), self.rows("hand_weights"), strict=True):
            if not math.isnan(hand[0]) and faults.HAND_CUT[0] < shared(hand, box) / area(hand) < faults.HAND_CUT[1]:
                total += weight * self.costs.hand
        return total * (1.0 if self.shot is ShotSize.MEDIUM else faults.HAND_IN_CLOSE_UP)

    def joints(self, box: Sides) -> float:
        left, top, right, bottom = box
        head_size, aspect, feet = (self.number(name) for name in ("head_size", "aspect", "feet"))
        total = 0.0
        if bottom < faults.BOTTOM:
            reach = faults.LEG_JOINT_REACH * head_size
            near = [weight * max(1 - abs(bottom - y) / reach, 0) for y, weight in self.rows("leg_joints")]
            total += self.costs.joint * max(near)
        border = faults.SIDE_OF_JOINT * aspect
        for edge in (left, right):
            if border <= edge <= aspect - border:
                reach = faults.ARM_JOINT_REACH * head_size
                near = [
                    weight * max(1 - abs(edge - x) / reach, 0)
                    for x, y, weight in self.rows("arm_joints")
                    if top < y < bottom
                ]
                total += faults.ARM_JOINT_SHARE * self.costs.joint * max(near, default=0.0)
        if not math.isnan(feet) and 0 < (feet - bottom) / self.number("figure_height") < faults.FEET_REACH:
            total += self.costs.feet
        return total

    def headroom(self, box: Sides) -> float:
        room = (self.number("crown") - box[1]) / (box[3] - box[1])
        too_much = faults.TOO_MUCH_HEADROOM * self.costs.headroom * max(room - self.costs.room_high[self.shot], 0)
        if box[1] <= faults.TOP:
            return too_much
        return too_much + self.costs.headroom * max(self.costs.room_low[self.shot] - room, 0)

    def look_room(self, box: Sides) -> float:
        look, aspect, eyes = self.number("look"), self.number("aspect"), float(self.facts.eyes[0, 0])
        front, back = (box[2] - eyes, eyes - box[0]) if look > 0 else (eyes - box[0], box[2] - eyes)
        border = box[2] > (1 - faults.SIDE_OF_LOOK) * aspect if look > 0 else box[0] < faults.SIDE_OF_LOOK * aspect
        lack = max((back - faults.BALANCE * front) / (box[2] - box[0]), 0)
        return 0.0 if border else self.costs.look_room * abs(look) * lack

    def shape(self, box: Sides) -> float:
        ratio, (tallest, widest) = math.log((box[2] - box[0]) / (box[3] - box[1])), faults.LOG_RATIOS
        total = self.costs.aspect * (max(tallest - ratio, 0) + max(ratio - widest, 0))
        if self.shot is ShotSize.CLOSE_UP and self.costs.least_height > 0:
            total += self.costs.small * min(max(self.costs.least_height / (box[3] - box[1]) - 1, 0), 1)
        return total


def refine_plainly(scene: Scene, members: Sequence[int], triple: Floats, costs: FaultCosts) -> Floats:
    """Do what `refinement.refine` does."""
    facts, aspect = gather_facts(scene, [members]), scene.aspect
    refined: list[Sides] = []
    for shot in ShotSize:
        x0, y0, x1, y1 = triple[shot].astype(np.float64).tolist()
        wanted = (x0 * aspect, y0, x1 * aspect, y1)
        near = facts.near(np.array([wanted]), REACH)
        cost_of = PlainCosts(near, shot, wanted, refined[-1] if refined else None, costs)
        refined.append(_search(wanted, cost_of))
    boxes = np.array(refined) / [aspect, 1, aspect, 1]
    return boxes.clip(0, 1).astype(np.float32)


def _search(wanted: Sides, cost_of: PlainCosts) -> Sides:
    best, least = wanted, cost_of(wanted)
    if least < GOOD_ENOUGH:
        return best
    for steps in ROUNDS:
        before = least
        for axis in (1, 0):
            limit, length = least - LEAST_GAIN, wanted[axis + 2] - wanted[axis]
            starts, ends = (_places(best[edge], axis, length, steps.tolist(), cost_of) for edge in (axis, axis + 2))
            for start in starts:
                for end in ends:
                    box = (start, best[1], end, best[3]) if axis == 0 else (best[0], start, best[2], end)
                    if end - start > SHORTEST * length and (cost := cost_of(box)) < min(least, limit):
                        best, least = box, cost
        if least > before - LEAST_GAIN_OF_ROUND:
            break
    return best


def _places(edge: float, axis: int, length: float, steps: list[float], cost_of: PlainCosts) -> list[float]:
    marks: list[float] = []
    for name, margin in MARGINS.items():
        boxes = cost_of.rows(name)
        marks += [box[axis] - margin * (box[axis + 2] - box[axis]) for box in boxes]
        marks += [box[axis + 2] + margin * (box[axis + 2] - box[axis]) for box in boxes]
    if axis == 1:
        marks.append(cost_of.number("feet") + FEET_MARGIN * cost_of.number("figure_height"))
    near = sorted((mark for mark in marks if abs(mark - edge) < MARK_REACH * length), key=lambda mark: abs(mark - edge))
    limit = cost_of.number("aspect") if axis == 0 else 1.0
    places = [edge + step * length for step in steps] + near[:MOST_MARKS]
    return sorted({float(np.round(min(max(place, 0.0), limit), DIGITS)) for place in places})
