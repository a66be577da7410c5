"""Refinement: a deterministic local search over the edges of the three boxes against the faults that editors reject.

An edge moves only where that removes faults which cost more than the IoU that the move loses (`faults.CropCosts`), so
boxes stay close to the composer's. The search goes from the widest shot to the tightest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from shotcrop_cli.model.nano.facts import Doubles, Facts, gather_facts, join
from shotcrop_cli.model.nano.faults import CropCosts, ShotSize, areas
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.scene import Floats, Indices, Scene

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
MOST_TOGETHER = 64
"""About this many subjects are refined together; more take more memory and are not faster."""
MARGINS = {"main_heads": 0.0, "other_heads": 0.06, "hands": 0.08, "things": 0.02, "other_bodies": 0.0}
"""How far beyond the end of each an edge is tried, as a share of its size."""
FEET_MARGIN = 0.02
"""How far below the feet, as a share of the figure's height."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Boxes to refine.

    Args:
        members: Indices of the main people in the scene, the main person first.
        triple: The composer's boxes (3, 4), widest first, in the photo frame.
    """

    members: Sequence[int]
    triple: Floats


def refine(scene: Scene, members: Sequence[int], triple: Floats, costs: FaultCosts) -> Floats:
    """Refine the three boxes of a main subject; see `refine_all`.

    Args:
        scene: What the photo shows.
        members: See `Subject`.
        triple: See `Subject`.
        costs: Costs of the faults.

    Returns:
        (3, 4) in the photo frame, inside the photo.
    """
    boxes: Floats = refine_all([(scene, [Subject(members, triple)])], costs)[0][0]
    return boxes


def refine_all(wanted: Sequence[tuple[Scene, Sequence[Subject]]], costs: FaultCosts) -> list[Floats]:
    """Refine the boxes of all subjects of some scenes.

    Subjects do not influence each other; numpy works on many of them together because that is faster.

    Args:
        wanted: Scenes, each with its subjects.
        costs: Costs of the faults.

    Returns:
        For each scene its subjects' boxes (s, 3, 4) in the photo frame, inside the photo.
    """
    return list(chain.from_iterable(_refine_together(batch, costs) for batch in _batches(wanted)))


def put_in_order(triples: Floats) -> None:
    """Widen each shot (s, 3, 4) that is no larger than the next tighter one, in place, until it contains that one."""
    for wide in (ShotSize.MEDIUM, ShotSize.ESTABLISHING):
        wider, tighter = triples[:, wide], triples[:, wide + 1]
        late = areas(wider.T) <= areas(tighter.T)
        wider[late, :2] = np.minimum(wider[late, :2], tighter[late, :2])
        wider[late, 2:] = np.maximum(wider[late, 2:], tighter[late, 2:])


def _batches(wanted: Sequence[tuple[Scene, Sequence[Subject]]]) -> Iterator[list[tuple[Scene, Sequence[Subject]]]]:
    """Split scenes so that each part holds `MOST_TOGETHER` subjects or one scene."""
    batch: list[tuple[Scene, Sequence[Subject]]] = []
    for one in wanted:
        if batch and sum(len(subjects) for _, subjects in [*batch, one]) > MOST_TOGETHER:
            yield batch
            batch = []
        batch.append(one)
    yield batch


def _refine_together(wanted: Sequence[tuple[Scene, Sequence[Subject]]], costs: FaultCosts) -> list[Floats]:
    """See `refine_all`."""
    asked = [(scene, subjects) for scene, subjects in wanted if subjects]
    if not asked:
        return [np.zeros((0, len(ShotSize), 4), np.float32) for _ in wanted]
    facts = join([gather_facts(scene, [subject.members for subject in subjects]) for scene, subjects in asked])
    triples = np.stack([subject.triple for _, subjects in asked for subject in subjects]).astype(np.float64)
    aspect = facts.aspect[:, None, None]
    triples[..., 0::2] *= aspect
    wider = None
    for shot in ShotSize:
        wider = triples[:, shot] = _refine_shot(triples[:, shot], facts, shot, wider, costs)
    triples[..., 0::2] /= aspect
    ends = np.cumsum([len(subjects) for _, subjects in wanted])[:-1]
    return np.split(triples.clip(0, 1).astype(np.float32), ends)


def _refine_shot(wanted: Doubles, facts: Facts, shot: ShotSize, wider: Doubles | None, costs: FaultCosts) -> Doubles:
    """Refine one shot of each subject by moving pairs of opposite edges in turn.

    Args:
        wanted: The composer's boxes (s, 4) in the even frame.
        facts: What is in the photos.
        shot: Which shot it is.
        wider: The refined boxes (s, 4) of the next wider shot, None for the widest.
        costs: Costs of the faults.
    """
    facts = facts.near(wanted, REACH)
    search = _EdgeSearch(wanted, facts, CropCosts(facts, shot, wanted, wider, costs))
    moving = np.nonzero(search.costs >= GOOD_ENOUGH)[0]
    for steps in ROUNDS:
        if len(moving) == 0:
            break
        before = search.costs[moving]
        for axis in (1, 0):
            search.move(moving, axis, steps)
        moving = moving[search.costs[moving] <= before - LEAST_GAIN_OF_ROUND]
    boxes: Doubles = search.boxes
    return boxes


class _EdgeSearch:
    """Tries places for the edges of one box per subject, and keeps the best boxes (s, 4) and their costs (s,)."""

    def __init__(self, wanted: Doubles, facts: Facts, costs_of: CropCosts) -> None:
        self.costs_of, self.boxes = costs_of, wanted.copy()
        self.costs = costs_of(wanted.T.copy(), np.arange(len(wanted)))
        self.sides = wanted[:, 2:] - wanted[:, :2]
        self.limits = (facts.aspect, np.ones(len(facts)))
        self.marks = (_marks(facts, 0), _marks(facts, 1))

    def move(self, subjects: Indices, axis: int, steps: Doubles) -> None:
        """Put the two edges on an axis (0 for x, 1 for y) of some subjects' boxes where they cost least."""
        places = self._places(subjects, axis, steps)
        starts, ends = places[:, 0, :, None], places[:, 1, None, :]
        allowed = ends - starts > SHORTEST * self.sides[subjects, axis][:, None, None]
        row, start, end = np.nonzero(allowed)
        boxes = self.boxes[subjects].T[:, row]
        boxes[axis], boxes[axis + 2] = places[row, 0, start], places[row, 1, end]
        # Most boxes are too far from the composer's to cost less, whatever their faults.
        of_move, limit = self.costs_of.of_move(boxes, subjects[row]), self.costs[subjects] - LEAST_GAIN
        cheap = np.nonzero(of_move < limit[row])[0]
        row, boxes = row[cheap], boxes[:, cheap]
        values = self.costs_of(boxes, subjects[row], of_move[cheap])
        least = np.full(len(subjects), np.inf)
        np.minimum.at(least, row, values)
        best = np.nonzero((values == least[row]) & (values < limit[row]))[0]
        moved, first = np.unique(row[best], return_index=True)  # of boxes that cost the same, the first
        self.boxes[subjects[moved]], self.costs[subjects[moved]] = boxes[:, best[first]].T, values[best[first]]

    def _places(self, subjects: Indices, axis: int, steps: Doubles) -> Doubles:
        """Return places (s, 2, p) for both edges on an axis in order, NaN behind them.

        They are some steps around each edge, and near ends of heads, hands and things.
        """
        edges, length = self.boxes[subjects][:, axis::2], self.sides[subjects, axis]
        marks = self.marks[axis][subjects][:, None]
        distance = np.abs(marks - edges[..., None])
        near = np.where(distance < MARK_REACH * length[:, None, None], distance, np.inf)
        order = np.argsort(near, 2, kind="stable")[..., :MOST_MARKS]
        nearest = np.where(np.isinf(np.take_along_axis(near, order, 2)), np.nan, np.take_along_axis(marks, order, 2))
        around = edges[..., None] + steps * length[:, None, None]
        places = np.concatenate([around, nearest], 2).clip(0, self.limits[axis][subjects, None, None])
        places = np.sort(places.round(DIGITS), 2)
        places[..., 1:][places[..., 1:] == places[..., :-1]] = np.nan
        return places


def _marks(facts: Facts, axis: int) -> Doubles:
    """Return the places (s, p) on an axis where heads, hands, things, other bodies and feet begin or end, or NaN."""
    ends = []
    for name, margin in MARGINS.items():
        boxes: Doubles = getattr(facts, name)
        gap = margin * (boxes[..., axis + 2] - boxes[..., axis])
        ends += [boxes[..., axis] - gap, boxes[..., axis + 2] + gap]
    if axis == 1:
        ends.append((facts.feet + FEET_MARGIN * facts.figure_height)[:, None])
    return np.concatenate(ends, 1)
