"""Frame a shot in a ratio so that no head is cut: `framing.frame_shot` says where to begin, this moves and widens it.

The heads of the subject have to be whole. A head of somebody else should be whole or not there, as far as that moves
the crop only a little. `HeadFraming.fits` says if the ratio cannot hold the subject's heads; `padded_box` then says
what to put on a background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.framing import HEAD_AIR, SHOWN, Aspect, Framing, frame_shot, size_in_ratio
from shotcrop_cli.geometry import ioa, to_pixels
from shotcrop_cli.shots import Box, PixelBox, ShotType
from shotcrop_cli.subjects import Subject

Floats = NDArray[np.float64]

STEP = 1.07
"""Factor between the sizes that are tried (our choice)."""
LEAST_SCALE = 0.8
"""A crop becomes at most this much smaller than the shot."""
SHIFTS = np.array([-0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3])
"""Moves that are tried, as shares of the crop's side, besides those to the ends of heads."""
MOST_OTHERS = 12
"""Heads of others that count at most, the largest first."""
LOST, AIRLESS, CUT_OTHER, CUT_BODY = 100.0, 0.4, 0.35, 0.5
"""What these cost: the subject's head is cut away or has no air, another head is cut in two, the body is cut."""
MOVED, GROWN, SHRUNK = (1.0, 1.5), 2.0, 2.0
"""What a move by the crop's width or height costs, and each factor e in size."""
CLEAR = 0.04
"""How far beside a head an edge is tried, as a share of the head's side."""
LARGEST_PADDED = 1.25
"""A padded crop shows at most this much more than the shot, to need less background."""


@dataclass(frozen=True, slots=True)
class HeadFraming:
    """Where a crop is, and whether it holds the heads of its subject.

    Args:
        box: The crop.
        fits: Whether it cuts none of the subject's heads more than the photo itself does.
        heads: How many heads it has to hold.
        notes: What the framing could not do, one line each.
    """

    box: PixelBox
    fits: bool = True
    heads: int = 1
    notes: tuple[str, ...] = ()


def frame_with_heads(
    shot: ShotType, box: Box, photo: tuple[int, int], framing: Framing, subject: Subject
) -> HeadFraming:
    """Place a shot in its ratio so that it cuts no head.

    Args:
        shot: Which of the three.
        box: Where the model places it.
        photo: Width and height of the photo in pixels.
        framing: What is asked for, with a ratio for this shot.
        subject: Whom it shows.
    """
    width, height = photo
    close_up = subject.shots[-1].box
    first = frame_shot(shot, box, width, height, framing, subject.body, subject.head, close_up)
    aspect = framing.for_shot(shot).aspect
    kept = [to_pixels(head, width, height) for head in subject.heads if ioa(head, box) >= SHOWN]
    if aspect is None or not kept:
        return HeadFraming(first.box, True, len(kept), first.notes)
    largest = sorted(subject.others, key=lambda head: -head.area)[:MOST_OTHERS]
    others = [to_pixels(head, width, height) for head in largest]
    body = None if subject.body is None else to_pixels(subject.body, width, height)
    search = _Search(shot, first.box, aspect, photo, kept, others, body, framing.min_size or 1)
    found = search.best()
    fits = _holds(found, kept)
    notes = () if fits else (f"{shot}: {aspect} cannot hold the {_heads(len(kept))}",)
    return HeadFraming(found, fits, len(kept), (*(note for note in first.notes if " head " not in note), *notes))


def reason(aspect: Aspect, heads: int) -> str:
    """Say why there is no crop in a ratio."""
    return f"{aspect} cannot hold the {_heads(heads)}"


def padded_box(shot: ShotType, box: Box, photo: tuple[int, int], framing: Framing, subject: Subject) -> PixelBox:
    """Return what a padded crop shows: the shot without a ratio, all its heads whole, as near to the ratio as it gets.

    Args:
        shot: As in `frame_with_heads`, like the others.
        box: See there.
        photo: See there.
        framing: See there.
        subject: See there.
    """
    width, height = photo
    plain = Framing((), framing.pad, framing.min_size)
    start = frame_shot(shot, box, width, height, plain, subject.body, subject.head).box
    left, upper, right, lower = start.corners
    for head in (to_pixels(one, width, height) for one in subject.heads if ioa(one, box) >= SHOWN):
        x, y = round(HEAD_AIR * head.width), round(HEAD_AIR * head.height)
        x0, y0, x1, y1 = head.corners
        left, upper, right, lower = min(left, x0 - x), min(upper, y0 - y), max(right, x1 + x), max(lower, y1 + y)
    left, upper, right, lower = max(left, 0), max(upper, 0), min(right, width), min(lower, height)
    aspect = framing.for_shot(shot).aspect
    if aspect is not None:
        ratio = aspect.width / aspect.height
        wide, high = right - left, lower - upper
        left, right = _grown(left, right, min(high * ratio, wide * LARGEST_PADDED), width)
        upper, lower = _grown(upper, lower, min(wide / ratio, high * LARGEST_PADDED), height)
    return PixelBox(left, upper, right - left, lower - upper)


def _grown(low: int, high: int, length: float, limit: int) -> tuple[int, int]:
    """Return a span that is at least this long, grown on both sides, as far as the photo goes."""
    wanted = min(math.floor(length), limit)
    if wanted <= high - low:
        return low, high
    start = min(max(low - (wanted - (high - low)) // 2, 0), limit - wanted)
    return start, start + wanted


def _heads(number: int) -> str:
    return "head" if number == 1 else f"{number} heads"


def _holds(outer: PixelBox, heads: Sequence[PixelBox]) -> bool:
    left, upper, right, lower = outer.corners
    return all(
        left <= x0 and upper <= y0 and x1 <= right and y1 <= lower for x0, y0, x1, y1 in (one.corners for one in heads)
    )


class _Search:
    """Tries boxes of some sizes at many places, all at once, and takes the one that costs least."""

    def __init__(
        self,
        shot: ShotType,
        first: PixelBox,
        aspect: Aspect,
        photo: tuple[int, int],
        kept: Sequence[PixelBox],
        others: Sequence[PixelBox],
        body: PixelBox | None,
        smallest: int,
    ) -> None:
        self.first, self.aspect, self.photo, self.smallest = first, aspect, photo, smallest
        self.kept, self.others = _corners(kept), _corners(others)
        self.body = _corners([body]) if body is not None and shot is ShotType.ESTABLISHING else _corners([])

    def best(self) -> PixelBox:
        """Return the box that costs least; the first one if it has nothing to gain."""
        boxes = np.concatenate([_corners([self.first]), *(self._places(*size) for size in self._sizes())])
        x0, y0, x1, y1 = boxes[int(self._costs(boxes).argmin())].astype(int).tolist()
        return PixelBox(x0, y0, x1 - x0, y1 - y0)

    def _sizes(self) -> list[tuple[int, int]]:
        first, photo = self.first, self.photo
        largest = min(photo[0] / first.width, photo[1] / first.height)
        steps = range(math.ceil(math.log(LEAST_SCALE, STEP)), math.floor(math.log(max(largest, 1.0), STEP)) + 1)
        scales = [STEP**step for step in steps] + [largest]
        sizes = dict.fromkeys(
            size_in_ratio(self.aspect, scale * first.height / self.aspect.height, (1, 1), photo) for scale in scales
        )
        sizes[first.width, first.height] = None
        least = min(self.smallest, first.width, first.height)
        return [size for size in sizes if min(size) >= least]

    def _places(self, width: int, height: int) -> Floats:
        xs, ys = self._starts(0, width), self._starts(1, height)
        x, y = (one.ravel() for one in np.meshgrid(xs, ys))
        return np.stack([x, y, x + width, y + height], 1)

    def _starts(self, axis: int, length: int) -> Floats:
        """Return where a box of a length may begin on an axis: around the first place, and beside the ends of heads."""
        begin, side = ((self.first.x, self.first.width), (self.first.y, self.first.height))[axis]
        # A larger box keeps the middle from side to side, and from top to bottom the headroom.
        pivot = 0.5 if axis == 0 else 0.25
        around = begin + pivot * (side - length) + SHIFTS * length
        heads = np.concatenate([self.kept, self.others])
        low, high = heads[:, axis], heads[:, axis + 2]
        gap = CLEAR * (high - low)
        marks = np.concatenate([low - gap, high + gap])
        starts = np.concatenate([around, marks, marks - length]).round().clip(0, self.photo[axis] - length)
        return np.unique(starts)

    def _costs(self, boxes: Floats) -> Floats:
        first = self.first
        size = boxes[:, 2:] - boxes[:, :2]
        growth = np.log(size[:, 1] / first.height)
        costs: Floats = np.where(growth > 0, GROWN * growth, -SHRUNK * growth)
        middle = np.array([first.x + first.width / 2, first.y + first.height / 4])
        now = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 1] + size[:, 1] / 4], 1)
        costs += (np.abs(now - middle) / size * MOVED).sum(1)
        seen = _visible(boxes, self.kept)
        costs += LOST * ((1 - seen) + (seen < 1)).sum(1)
        costs += AIRLESS * self._airless(boxes).sum(1)
        if len(self.others):
            seen = _visible(boxes, self.others)
            main = (self.kept[:, 3] - self.kept[:, 1]).max()
            weight = ((self.others[:, 3] - self.others[:, 1]) / main).clip(0, 1)
            cut = np.where((seen > 0.02) & (seen < 0.98), 0.5 + np.minimum(seen, 1 - seen), 0)
            costs += CUT_OTHER * (cut * weight).sum(1)
        if len(self.body):
            costs += CUT_BODY * (1 - _visible(boxes, self.body)).sum(1)
        return costs

    def _airless(self, boxes: Floats) -> Floats:
        """Return for each box and kept head how much air is missing, 0..1, where the photo has air."""
        sides = np.tile(self.kept[:, 2:] - self.kept[:, :2], 2)
        limits = np.array([0, 0, *self.photo], float)
        sign = np.array([1, 1, -1, -1])
        wanted = np.minimum(HEAD_AIR * sides, (self.kept - limits) * sign)
        there = (self.kept[None] - boxes[:, None]) * sign
        missing: Floats = ((wanted - there) / (HEAD_AIR * sides)).clip(0, 1).max(2)
        return missing


def _corners(boxes: Sequence[PixelBox]) -> Floats:
    return np.array([box.corners for box in boxes], float).reshape(-1, 4)


def _visible(boxes: Floats, parts: Floats) -> Floats:
    """Return which share (n, k) of each part is inside each box."""
    low = np.maximum(boxes[:, None, :2], parts[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], parts[None, :, 2:])
    area = (parts[:, 2:] - parts[:, :2]).prod(1)
    shares: Floats = (high - low).clip(0).prod(2) / area
    return shares
