"""Arrange up to three pictures with captions so that they fill a space: in a row, or two next to a large one.

All lengths are pixels. Every picture keeps its ratio of width to height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

CaptionHeight = Callable[[int, int], int]
"""Returns the height of the caption of a picture, by its number, in a column of some width."""

_STACK_BONUS = 1.1
"""How much more a large picture with two next to it is worth than a row of equal area (our choice)."""
_STEPS = 24
"""Halvings in the search for the largest width. They find it to the pixel."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a picture goes. Its caption follows below it, in the same width."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Pictures and the height that they need together with their captions."""

    spots: tuple[Spot, ...]
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels of the pictures."""
        return sum(spot.width * spot.height for spot in self.spots)


def in_row(ratios: Sequence[float], caption: CaptionHeight, width: int, gap: int) -> Arrangement:
    """Arrange pictures in a row of equal height that has exactly a width."""
    free = width - gap * (len(ratios) - 1)
    height = max(1, round(free / sum(ratios)))
    ends = [round(free * sum(ratios[: number + 1]) / sum(ratios)) for number in range(len(ratios))]
    starts = [0, *ends[:-1]]
    spots = tuple(
        Spot(start + gap * number, 0, max(1, end - start), height)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    )
    below = max(caption(number, spot.width) for number, spot in enumerate(spots))
    return Arrangement(spots, width, height + below)


def stacked(ratios: Sequence[float], caption: CaptionHeight, width: int, gap: int) -> Arrangement | None:
    """Arrange the first of three pictures large, with the others on top of each other next to it.

    The lower ends of the large picture and of the last one are on one line. None if there is no room for that.
    """
    large, upper, lower = ratios
    narrow = width // 3
    for _ in range(4):  # the caption between the two depends on their width, and the width on the caption
        between = caption(1, max(1, narrow)) + gap
        narrow = round((width - gap - large * between) / (1 + large * (1 / upper + 1 / lower)))
        if narrow < width // 10:
            return None
    heights = round(narrow / upper), round(narrow / lower)
    between = caption(1, narrow) + gap
    tall = heights[0] + between + heights[1]
    wide = width - gap - narrow
    spots = (
        Spot(0, 0, wide, tall),
        Spot(wide + gap, 0, narrow, heights[0]),
        Spot(wide + gap, heights[0] + between, narrow, heights[1]),
    )
    return Arrangement(spots, width, tall + max(caption(0, wide), caption(2, narrow)))


def fill(ratios: Sequence[float], caption: CaptionHeight, width: int, height: int, gap: int) -> Arrangement:
    """Arrange one to three pictures as large as a space allows.

    Args:
        ratios: Width divided by height of each picture.
        caption: Heights of captions.
        width: Width of the space.
        height: Its height. Captions that are too long for it may leave it.
        gap: Distance between pictures.
    """
    found = [_largest(lambda w: in_row(ratios, caption, w, gap), width, height)]
    if len(ratios) == 3:
        found.append(_largest(lambda w: stacked(ratios, caption, w, gap), width, height))
    row, *stack = [arrangement for arrangement in found if arrangement is not None] or [
        in_row(ratios, caption, max(len(ratios) * (gap + 1), width // 4), gap)
    ]
    return stack[0] if stack and stack[0].area * _STACK_BONUS > row.area else row


def _largest(arrange: Callable[[int], Arrangement | None], width: int, height: int) -> Arrangement | None:
    """Return the arrangement of the greatest width up to `width` that is no higher than `height`; None if none is."""
    best = arrange(width)
    if best is not None and best.height <= height:
        return best
    best, low, high = None, width // 10, width
    for _ in range(_STEPS):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        candidate = arrange(middle)
        if candidate is not None and candidate.height <= height:
            best, low = candidate, middle
        elif candidate is None:
            low = middle
        else:
            high = middle
    return best
