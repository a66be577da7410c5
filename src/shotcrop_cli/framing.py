"""Frame shots beyond what the model proposed: padding, aspect ratios and a minimum size.

The height of a crop decides its shot size: head and shoulders in a close-up, down to the thigh in a medium shot. A new
ratio therefore keeps the height of these two and moves their sides. An establishing shot grows until it has the ratio.
Only where the photo ends does a shot become tighter, and then it closes in on the main person's head.

Boxes are relative to the upright photo (`shots.Box`); everything else is whole pixels of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from shotcrop_cli.body import HEAD_ASPECT
from shotcrop_cli.geometry import TINY_SIDE, clamp, intersection, ioa, to_pixels, union
from shotcrop_cli.shots import SHOT_TYPES, Box, PixelBox, ShotType

EXACT_STEPS = 8
"""A crop of at least this many times the terms of its ratio has the ratio exactly: 16:9 from 128x72 pixels on. That
changes a side by a sixteenth at most. Smaller crops are rounded to the nearest pixel instead."""

HEAD_AIR = 0.15
"""Space around a head that is kept where there was some, as a share of the head's width and height."""

BODY_AIR = 0.03
"""Space around the main person's body that an establishing shot keeps, as a share of the body's width and height."""

SHOWN = 0.5
"""A shot that holds less than this share of the head shows something else, such as hands."""

LIKELY_HEAD = (0.1, 0.65)
"""Where a head begins and ends in a close-up, as shares of the close-up's height, for models that give no head box."""

EYE_LINE = 0.36
"""Where the eyes go in a crop that is too low for the head, as a share of the crop's height. The eyes are half-way down
a head. The value is the middle of the close-up's band in `composition_rules.EYE_LINE`."""

_TERM = r"(\d{1,5}(?:\.\d{1,3})?)"


@dataclass(frozen=True, slots=True)
class Aspect:
    """A ratio of width to height in lowest terms: `Aspect(32, 18)` is `Aspect(16, 9)`.

    Raises:
        ValueError: A term is below 1.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError("both sides of a ratio must be above 0")
        divisor = math.gcd(self.width, self.height)
        object.__setattr__(self, "width", self.width // divisor)
        object.__setattr__(self, "height", self.height // divisor)

    def __str__(self) -> str:
        return f"{self.width}:{self.height}"

    @classmethod
    def parse(cls, text: str) -> Aspect:
        """Parse `16:9` or `1.91:1`, which is 191:100.

        Raises:
            ValueError: The text is not such a ratio.
        """
        terms = re.fullmatch(f"{_TERM}:{_TERM}", text, re.ASCII)
        if terms is None:
            raise ValueError(f"{text!r} is not a ratio such as 16:9")
        return cls(*(int(1000 * Fraction(term)) for term in terms.groups()))


@dataclass(frozen=True, slots=True)
class ShotFraming:
    """How one shot is framed.

    Args:
        aspect: Ratio of width to height; None keeps the model's.
        pad: Share of the width added left and right, and of the height above and below, 0..1.
        min_size: Minimum length of the shorter side in pixels, reached by a wider crop; None for any.
    """

    aspect: Aspect | None = None
    pad: float = 0.0
    min_size: int | None = None


@dataclass(frozen=True, slots=True)
class Framing:
    """How all shots are framed.

    Args:
        aspects: At most one ratio for each shot, in the order of `SHOT_TYPES`.
        pad: As in `ShotFraming`, for every shot.
        min_size: As in `ShotFraming`, for every shot.

    Raises:
        ValueError: Shots are doubled or out of order, or a number is out of range.
    """

    aspects: tuple[tuple[ShotType, Aspect], ...] = ()
    pad: float = 0.0
    min_size: int | None = None

    def __post_init__(self) -> None:
        shots = [shot for shot, _ in self.aspects]
        if shots != [shot for shot in SHOT_TYPES if shot in shots]:
            raise ValueError(f"ratios must be one for a shot, widest shot first: {', '.join(map(str, shots))}")
        if not 0.0 <= self.pad <= 1.0:
            raise ValueError(f"pad must be within 0..1: {self.pad}")
        if self.min_size is not None and self.min_size < 1:
            raise ValueError(f"min_size must be at least 1: {self.min_size}")

    def for_shot(self, shot: ShotType) -> ShotFraming:
        """Return what concerns one shot: equal values frame it equally."""
        return ShotFraming(dict(self.aspects).get(shot), self.pad, self.min_size)


@dataclass(frozen=True, slots=True)
class Framed:
    """Where a shot is cropped, and one line for each wish that could not be met."""

    box: PixelBox
    notes: tuple[str, ...] = ()


def frame_shot(
    shot: ShotType,
    box: Box,
    width: int,
    height: int,
    framing: Framing,
    main_person: Box | None,
    head: Box | None,
    close_up: Box | None = None,
) -> Framed:
    """Pad a shot, give it its ratio, and widen it to its minimum size, always inside the photo.

    The main person keeps their headroom and their place between left and right, as shares of the crop, where there is
    room. The result cuts nothing of the head that the padded shot did not cut, and an establishing shot nothing of the
    main person, unless a note says so. A head too large for its ratio is cropped with the eyes at `EYE_LINE`.

    A crop with a ratio W:H of at least `EXACT_STEPS` times its terms has it exactly (width * H == height * W). Below,
    its shorter side is whole and the longer one is rounded to the nearest pixel, so that |width - height * W / H| is
    at most 0.5, unless a note says that the photo is too small even for that. Without any framing the result is
    `geometry.to_pixels(box)`.

    Args:
        shot: Which of the three.
        box: Where the model places it.
        width: The photo's width in pixels.
        height: The photo's height in pixels.
        framing: What is asked for.
        main_person: The main person's body, None if unknown.
        head: The main person's head, hair top to chin, None if unknown.
        close_up: The model's close-up, which shows where the head likely is when `head` is None; by default `box`.
    """
    wanted = framing.for_shot(shot)
    padded = _pad(box, wanted.pad)
    before = to_pixels(padded, width, height)
    smallest = wanted.min_size or 1
    if wanted.aspect is None and min(before.width, before.height) >= smallest:
        return Framed(before)

    aspect = wanted.aspect or Aspect(before.width, before.height)
    likely_head = head or _likely_head(close_up or box, width / height)
    parts = [to_pixels(part, width, height) for part in _parts(shot, padded, main_person, likely_head)]
    scale = before.height / aspect.height
    if shot is ShotType.ESTABLISHING:
        scale = max(scale, before.width / aspect.width)
    airy = parts[-2] if parts else PixelBox(0, 0, 1, 1)
    size = size_in_ratio(aspect, scale, (max(airy.width, smallest), max(airy.height, smallest)), (width, height))
    framed = _place(before, parts, size, (width, height))

    notes = []
    for name, part in (("head", head), ("main person", main_person if shot is ShotType.ESTABLISHING else None)):
        if (seen := _seen(part, padded)) is not None and not _holds(framed, to_pixels(seen, width, height)):
            notes.append(f"the {name} does not fit into {aspect}")
            break
    if min(size) < smallest:
        notes.append(f"{min(size)} pixels on the shorter side, not {smallest}: the photo has no more")
    if wanted.aspect and abs(size[0] * aspect.height - size[1] * aspect.width) > aspect.height / 2:
        notes.append(f"the photo is too small for {aspect}")
    return Framed(framed, tuple(f"{shot}: {note}" for note in notes))


def _pad(box: Box, share: float) -> Box:
    """Grow a box on every side by a share of its width or height, as far as the photo goes."""
    x, y = share * box.width, share * box.height
    return clamp(box.x0 - x, box.y0 - y, box.x1 + x, box.y1 + y, min_side=TINY_SIDE)


def _likely_head(close_up: Box, photo_aspect: float) -> Box:
    """Return where the head is in a usual close-up."""
    top, bottom = (close_up.y0 + share * close_up.height for share in LIKELY_HEAD)
    half = min(HEAD_ASPECT * (bottom - top) / photo_aspect, close_up.width) / 2
    x, _ = close_up.centre
    return clamp(x - half, top, x + half, bottom, min_side=TINY_SIDE)


def _seen(part: Box | None, crop: Box) -> Box | None:
    """Return the part of a head or body inside a crop, None if it is less than `SHOWN` of it."""
    return intersection(part, crop) if part is not None and ioa(part, crop) >= SHOWN else None


def _parts(shot: ShotType, crop: Box, main_person: Box | None, head: Box) -> tuple[Box, ...]:
    """Return the parts of the main person to keep, as far as the crop shows them: the largest first, the head last.

    The result is empty when the crop shows something other than the head.
    """
    bare = _seen(head, crop)
    if bare is None:
        return ()
    airy = intersection(_pad(head, HEAD_AIR), crop) or bare
    body = None if main_person is None or shot is ShotType.CLOSE_UP else intersection(main_person, crop)
    if main_person is None or body is None:
        return airy, bare
    if shot is ShotType.MEDIUM:
        return Box(min(body.x0, airy.x0), airy.y0, max(body.x1, airy.x1), airy.y1), airy, bare
    return union(intersection(_pad(main_person, BODY_AIR), crop) or body, airy), union(body, bare), airy, bare


def size_in_ratio(aspect: Aspect, scale: float, least: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height nearest to a multiple of a ratio.

    Args:
        aspect: The ratio.
        scale: The multiple of its terms to come near to.
        least: Smallest width and height, where `most` allows them.
        most: Largest width and height, even at the cost of the ratio.
    """
    wide, high = aspect.width, aspect.height
    steps = max(_round(scale), math.ceil(least[0] / wide), math.ceil(least[1] / high))
    steps = min(steps, most[0] // wide, most[1] // high)
    if steps >= EXACT_STEPS:
        return steps * wide, steps * high
    if wide < high:
        return size_in_ratio(Aspect(high, wide), scale, least[::-1], most[::-1])[::-1]
    height = max(_round(scale * high), math.ceil(least[0] * high / wide), least[1])
    height = max(min(height, most[0] * high // wide, most[1]), 1)
    return min(_round(height * wide / high), most[0]), height


def _place(before: PixelBox, parts: Sequence[PixelBox], size: tuple[int, int], photo: tuple[int, int]) -> PixelBox:
    """Place a crop of a new size inside the photo so that the main person stays where they were in the old one.

    Args:
        before: The crop as it was.
        parts: Parts to keep, the largest first: the first one that fits stays whole. Without any, the middle stays.
        size: The crop's new width and height.
        photo: The photo's.
    """
    width, height = size
    fitting = (part for part in parts if part.width <= width and part.height <= height)
    part = next(fitting, parts[-1] if parts else before)
    top, eye_line = (0.0, EYE_LINE) if parts else (0.5, 0.5)
    return PixelBox(
        _start((before.x, before.width), (part.x, part.width), width, photo[0], 0.5, 0.5),
        _start((before.y, before.height), (part.y, part.height), height, photo[1], top, eye_line),
        width,
        height,
    )


def _start(before: tuple[int, int], part: tuple[int, int], length: int, limit: int, pivot: float, middle: float) -> int:
    """Return where a crop begins on one axis.

    Args:
        before: Where the crop began, and its length.
        part: Where the part to keep begins, and its length.
        length: The crop's new length.
        limit: The photo's length.
        pivot: The place in the part, as a share of it, that stays where it was as a share of the crop.
        middle: Where the part's middle goes, as a share of the crop, if the part is longer than the crop.
    """
    begin, size = part
    if size <= length:
        start = begin + pivot * size
        start -= (start - before[0]) / before[1] * length
    else:
        start = begin + size / 2 - middle * length
    first, last = sorted((begin, begin + size - length))
    return min(max(_round(start), first, 0), last, limit - length)


def _holds(outer: PixelBox, inner: PixelBox) -> bool:
    (left, upper, right, lower), (x0, y0, x1, y1) = outer.corners, inner.corners
    return left <= x0 and upper <= y0 and x1 <= right and y1 <= lower


def _round(value: float) -> int:
    return math.floor(value + 0.5)
