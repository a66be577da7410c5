"""Pure arithmetic on boxes. Each function returns a valid `Box`, or None where there is none.

Coordinates are those of `shots.Box`: relative to the upright photo, with the origin in the upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from shotcrop_cli.shots import Box, PixelBox

PERMILLE = 1000
"""Steps per side of the integer coordinates in datasets and answers: 0..1000, the convention of Qwen3-VL."""

TINY_SIDE = 1e-9
"""Smallest side that composing two crops may leave: far below a pixel, far above rounding noise."""


def clip(x0: float, y0: float, x1: float, y1: float) -> Box | None:
    """Clip a rectangle to the frame; None if no part of it is inside."""
    x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def clamp(x0: float, y0: float, x1: float, y1: float, *, min_side: float = 1e-3) -> Box:
    """Turn any four finite numbers into a valid box.

    The function sorts swapped corners and moves sides beyond the frame to its border. A side shorter than `min_side`
    grows around its middle, shifted inwards where the border is in the way.

    Args:
        x0: Left side, relative to the photo's width; may be any finite number.
        y0: Upper side, relative to the photo's height.
        x1: Right side.
        y1: Lower side.
        min_side: Shortest width and height of the result, 0 < min_side <= 1. The default is one step of
            the 0..1000 coordinates.

    Returns:
        A box inside the frame.

    Raises:
        ValueError: A side is not finite or `min_side` is out of range.
    """
    if not all(math.isfinite(side) for side in (x0, y0, x1, y1)):
        raise ValueError(f"box sides must be finite: {(x0, y0, x1, y1)}")
    if not TINY_SIDE <= min_side <= 1.0:
        raise ValueError(f"min_side must be within {TINY_SIDE}..1: {min_side}")
    left, right = _clamp_span(x0, x1, min_side)
    upper, lower = _clamp_span(y0, y1, min_side)
    return Box(left, upper, right, lower)


def _clamp_span(a: float, b: float, shortest: float) -> tuple[float, float]:
    """One axis of `clamp`: the interval between a and b, inside 0..1 and at least `shortest` long."""
    low, high = sorted((min(max(a, 0.0), 1.0), min(max(b, 0.0), 1.0)))
    if high - low >= shortest:
        return low, high
    low = min(max((low + high - shortest) / 2, 0.0), 1.0 - shortest)
    return low, min(low + shortest, 1.0)


def intersection(a: Box, b: Box) -> Box | None:
    """Return the intersection of two boxes; None if they do not overlap."""
    return clip(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))


def union(a: Box, b: Box) -> Box:
    """Return the smallest box that holds both."""
    return Box(min(a.x0, b.x0), min(a.y0, b.y0), max(a.x1, b.x1), max(a.y1, b.y1))


def iou(a: Box, b: Box) -> float:
    """Return intersection over union, 0..1; the photo's size cancels, so pixels would give the same."""
    shared = intersection(a, b)
    if shared is None:
        return 0.0
    whole = a.area + b.area - shared.area
    return min(shared.area / whole, 1.0) if whole > 0.0 else float(a == b)


def ioa(inner: Box, outer: Box) -> float:
    """Return the share of `inner`'s area inside `outer`, 0..1: 1 means nested."""
    shared = intersection(inner, outer)
    if shared is None or inner.area <= 0.0:
        return 0.0
    return min(shared.area / inner.area, 1.0)


def visible_share(box: Box, frame: Box) -> float:
    """Return the share of `box` that a crop to `frame` would still show, 0..1."""
    return ioa(box, frame)


def side_in(box: Box, frame: Box) -> str | None:
    """Return in which outer third of a frame's width the centre of a box is, "left" or "right"; None in the middle."""
    place = (box.centre[0] - frame.x0) / frame.width
    return "left" if place < 1 / 3 else "right" if place > 2 / 3 else None


def flip(box: Box) -> Box:
    """Mirror a box left to right.

    A side within about 1e-16 of the border can vanish in the subtraction; `clamp` keeps the box valid then.
    """
    return clamp(1.0 - box.x1, box.y0, 1.0 - box.x0, box.y1, min_side=TINY_SIDE)


def relative_to(box: Box, frame: Box) -> Box | None:
    """Express a box of the photo in the coordinates of a crop of it.

    Args:
        box: Relative to the photo.
        frame: The crop, relative to the photo; it becomes 0..1.

    Returns:
        The part of `box` inside the crop, or None if nothing is left.
    """
    return clip(
        (box.x0 - frame.x0) / frame.width,
        (box.y0 - frame.y0) / frame.height,
        (box.x1 - frame.x0) / frame.width,
        (box.y1 - frame.y0) / frame.height,
    )


def pixel_aspect(box: Box, photo_aspect: float) -> float:
    """Return the true width / height of a crop.

    Args:
        box: Relative to the photo.
        photo_aspect: Width / height of the upright photo.
    """
    return box.width / box.height * photo_aspect


def to_pixels(box: Box, width: int, height: int) -> PixelBox:
    """Round a box to whole pixels of the upright photo.

    Each side moves to the nearest pixel border (halves to the right and down), so no side moves by more than half a
    pixel. A span that rounds to nothing becomes the one pixel that holds its middle.

    Args:
        box: Relative to the photo.
        width: The photo's width in pixels, at least 1.
        height: The photo's height in pixels, at least 1.

    Returns:
        At least 1 x 1 pixel, inside the photo.

    Raises:
        ValueError: The photo has no pixels.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a photo has at least one pixel: {width}x{height}")
    left, right = _whole_span(box.x0, box.x1, width)
    upper, lower = _whole_span(box.y0, box.y1, height)
    return PixelBox(left, upper, right - left, lower - upper)


def _whole_span(low: float, high: float, steps: int) -> tuple[int, int]:
    """Round an interval of 0..1 to whole steps, at least one step long and inside 0..steps."""
    first, last = math.floor(low * steps + 0.5), math.floor(high * steps + 0.5)
    if first < last:
        return first, last
    first = min(math.floor((low + high) / 2 * steps), steps - 1)
    return first, first + 1


def from_pixels(box: PixelBox, width: int, height: int) -> Box:
    """Express whole pixels of a photo as a relative box.

    Args:
        box: Pixels of the upright photo.
        width: The photo's width in pixels.
        height: The photo's height in pixels.

    Raises:
        ValueError: The box is empty or leaves the photo.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a photo has at least one pixel: {width}x{height}")
    left, upper, right, lower = box.corners
    return Box(left / width, upper / height, right / width, lower / height)


def to_permille(box: Box) -> tuple[int, int, int, int]:
    """Round a box to the integers 0..1000 of datasets and answers, at least one step wide and high."""
    return to_pixels(box, PERMILLE, PERMILLE).corners


def from_permille(sides: Sequence[float]) -> Box:
    """Parse a box in 0..1000 coordinates.

    Raises:
        ValueError: There are not four sides, or they do not form a box inside the frame.
    """
    if len(sides) != 4:
        raise ValueError(f"a box has four sides: {list(sides)}")
    x0, y0, x1, y1 = sides
    return Box(x0 / PERMILLE, y0 / PERMILLE, x1 / PERMILLE, y1 / PERMILLE)
