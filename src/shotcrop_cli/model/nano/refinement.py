"""Refinement: a deterministic local search over the edges of the three boxes against the faults that editors reject.

An edge moves only where that removes faults which cost more than the IoU that the move loses (`faults.CropCost`), so
boxes stay close to the composer's. The search goes from the widest shot to the tightest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from shotcrop_cli.model.nano.facts import Doubles, Facts, gather_facts, to_even
from shotcrop_cli.model.nano.faults import CropCost, ShotSize
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.scene import Floats, Scene

COARSE = np.array([-0.2, -0.1, -0.045, 0.0, 0.045, 0.1, 0.2])
FINE = np.array([-0.06, -0.03, -0.015, 0.0, 0.015, 0.03, 0.06])
"""Steps of an edge, as shares of the box's side."""
ROUNDS = (COARSE, COARSE, FINE)
GOOD_ENOUGH = 0.004
"""A box that costs less than this stays as it is."""
LEAST_GAIN, LEAST_GAIN_OF_ROUND = 1e-4, 1e-3
"""A move has to gain more than the first; a round that gains less than the second is the last."""
REACH, MARK_REACH = 0.3, 0.25
"""Facts farther away than this, as shares of the box's sides, do not count; ends of heads and things farther away than
the second are not tried as places for an edge."""
MOST_MARKS = 6
"""At most this many of them are tried, the nearest ones."""
SHORTEST = 0.5
"""A side keeps more than this share of its first length."""
DIGITS = 4
"""Edges are tried at this many decimals of the photo's height."""
MARGINS = {"main_heads": 0.0, "other_heads": 0.06, "hands": 0.08, "things": 0.02, "other_bodies": 0.0}
"""How far beyond the end of each an edge is tried, as a share of its size."""
FEET_MARGIN = 0.02
"""How far below the feet, as a share of the figure's height."""


def refine(scene: Scene, members: Sequence[int], triple: Floats, costs: FaultCosts) -> Floats:
    """Refine the three boxes of a main subject.

    Args:
        scene: What the photo shows.
        members: Indices of the main people in the scene, the main person first.
        triple: (3, 4), widest first, in the photo frame.
        costs: Costs of the faults.

    Returns:
        (3, 4) in the photo frame, inside the photo.
    """
    facts = gather_facts(scene, members)
    boxes = to_even(triple, scene.aspect)
    wider = None
    for shot in ShotSize:
        wider = boxes[shot] = refine_box(boxes[shot], facts, shot, wider, costs)
    boxes[:, 0::2] /= scene.aspect
    return boxes.clip(0, 1).astype(np.float32)


def refine_box(wanted: Doubles, facts: Facts, shot: ShotSize, wider: Doubles | None, costs: FaultCosts) -> Doubles:
    """Refine one box by moving pairs of opposite edges in turn.

    Args:
        wanted: The composer's box (4,) in the even frame.
        facts: What is in the photo.
        shot: Which shot it is.
        wider: The refined box (4,) of the next wider shot, None for the widest.
        costs: Costs of the faults.
    """
    facts = facts.near(wanted, REACH)
    cost_of = CropCost(facts, shot, wanted, wider, costs)
    best, best_cost = wanted, float(cost_of(wanted[None])[0])
    if best_cost < GOOD_ENOUGH:
        return best
    search = _EdgeSearch(wanted, facts, cost_of)
    for steps in ROUNDS:
        before = best_cost
        for axis in (1, 0):
            best, best_cost = search.move(best, best_cost, axis, steps)
        if best_cost > before - LEAST_GAIN_OF_ROUND:
            break
    return best


class _EdgeSearch:
    """Tries places for the edges of one box."""

    def __init__(self, wanted: Doubles, facts: Facts, cost_of: CropCost) -> None:
        self.cost_of = cost_of
        self.sides = (wanted[2] - wanted[0], wanted[3] - wanted[1])
        self.limits = (facts.aspect, 1.0)
        self.marks = (_marks(facts, 0), _marks(facts, 1))

    def move(self, box: Doubles, cost: float, axis: int, steps: Doubles) -> tuple[Doubles, float]:
        """Return the box with the best places of its two edges on an axis (0 for x, 1 for y), and its cost."""
        starts, ends = (self._places(float(box[edge]), axis, steps) for edge in (axis, axis + 2))
        low, high = np.repeat(starts, len(ends)), np.tile(ends, len(starts))
        allowed = high - low > SHORTEST * self.sides[axis]
        boxes = np.repeat(box[None], int(allowed.sum()), 0)
        boxes[:, axis], boxes[:, axis + 2] = low[allowed], high[allowed]
        # Most boxes are too far from the composer's to cost less, whatever their faults.
        of_move = self.cost_of.of_move(boxes)
        cheap = of_move < cost - LEAST_GAIN
        boxes = boxes[cheap]
        if len(boxes) == 0:
            return box, cost
        values = self.cost_of(boxes, of_move[cheap])
        at = int(values.argmin())
        return (boxes[at], float(values[at])) if values[at] < cost - LEAST_GAIN else (box, cost)

    def _places(self, edge: float, axis: int, steps: Doubles) -> Doubles:
        """Return places (p,) for an edge: some steps around it, and near ends of heads, hands and things."""
        marks, length = self.marks[axis], self.sides[axis]
        distance = np.abs(marks - edge)
        near = marks[distance < MARK_REACH * length]
        if len(near) > MOST_MARKS:
            near = near[np.argsort(np.abs(near - edge), kind="stable")[:MOST_MARKS]]
        places = np.concatenate([edge + steps * length, near]).clip(0, self.limits[axis]).round(DIGITS)
        return np.array(sorted(set(places.tolist())))  # faster than `np.unique` for a dozen numbers


def _marks(facts: Facts, axis: int) -> Doubles:
    """Return the places (p,) on an axis where heads, hands, things, other bodies and feet begin or end."""
    ends = []
    for name, margin in MARGINS.items():
        boxes: Doubles = getattr(facts, name)
        gap = margin * (boxes[:, axis + 2] - boxes[:, axis])
        ends.append((boxes[:, axis] - gap, boxes[:, axis + 2] + gap))
    marks = np.concatenate([*chain.from_iterable(ends)])
    if axis == 1:
        marks = np.append(marks, facts.feet + FEET_MARGIN * facts.figure_height)
    known: Doubles = marks[~np.isnan(marks)]
    return known
