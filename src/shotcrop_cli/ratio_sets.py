"""Ratio sets: one more crop of each shot in the ratio and size that a publication asks for, such as `story`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from shotcrop_cli.framing import Aspect
from shotcrop_cli.shots import DEFAULT_SET, SHOT_TYPES, ShotType

BLUR = "blur"
"""The background that is a blurred copy of the crop."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
SQUARE = "square"
LARGEST_SIDE = 16_384
"""Pixels that a side of a set may have (our choice)."""
_SIZE_FROM = 100
"""Two whole numbers with an x between are a size in pixels from here on, and a ratio below."""
_TOLERANCE = 0.01
"""How far the ratio of a size may be from the ratio that is named with it, such as 1.91:1 for 1200x628."""
_PAIR = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)\s*[:/x]\s*(\d{1,5}(?:\.\d{1,3})?)", re.ASCII | re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII | re.IGNORECASE)


class Fit(str, Enum):
    """What to do with a crop if its ratio cannot hold the heads that it shows."""

    LEAVE_OUT = "leave-out"
    """Make none, and say why."""
    PAD = "pad"
    """Make it smaller and put it on a background."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of a crop, and its exact size if it has one.

    Args:
        aspect: Ratio of width to height; that of the size if there is one.
        size: Width and height in pixels; None for as many as the photo has.
    """

    aspect: Aspect
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        return str(self.aspect) if self.size is None else f"{self.aspect}:{self.size[0]}x{self.size[1]}"

    @classmethod
    def parse(cls, text: str) -> Ratio:
        """Parse `4:5`, `4/5`, `4x5`, `square`, `1080x1350`, or a ratio and a size such as `4:5:1080x1350`.

        Raises:
            ValueError: It is none of these, or the size has another ratio.
        """
        wanted = text.strip()
        ratio, size = wanted, None
        if (last := _SIZE.fullmatch(wanted.rpartition(":")[2])) is not None and (":" in wanted or _is_size(last)):
            ratio, size = wanted.rpartition(":")[0], (int(last[1]), int(last[2]))
            if not all(1 <= side <= LARGEST_SIDE for side in size):
                raise ValueError(f"{text!r}: a side must have 1 to {LARGEST_SIDE} pixels")
        named = None if size is not None and not ratio else _aspect(ratio, text)
        if size is None:
            assert named is not None
            return cls(named)
        aspect = Aspect(*size)
        if named is not None and abs(named.width * size[1] / (named.height * size[0]) - 1) > _TOLERANCE:
            raise ValueError(f"{text!r}: {size[0]}x{size[1]} is {aspect}, not {named}")
        return cls(aspect, size)


def _is_size(match: re.Match[str]) -> bool:
    return min(int(match[1]), int(match[2])) >= _SIZE_FROM


def _aspect(ratio: str, text: str) -> Aspect:
    if ratio.casefold() == SQUARE:
        return Aspect(1, 1)
    if (pair := _PAIR.fullmatch(ratio)) is None:
        raise ValueError(f"{text!r} is no ratio such as 4:5, 4:5:1080x1350 or square")
    return Aspect.parse(f"{pair[1]}:{pair[2]}")


@dataclass(frozen=True, slots=True)
class RatioSet:
    """Crops of one ratio and size for each shot.

    Args:
        name: Part of the names of its crops.
        ratios: The ratio of each shot that it has, in the order of `SHOT_TYPES`.
        upscale: Whether to enlarge crops that have fewer pixels than the size.
        fit: What to do if a ratio cannot hold the heads.
        background: What is around a padded crop: `blur`, or a colour such as `#ffffff`.
    """

    name: str
    ratios: tuple[tuple[ShotType, Ratio], ...]
    upscale: bool = False
    fit: Fit = Fit.LEAVE_OUT
    background: str = BLUR

    def ratio(self, shot: ShotType) -> Ratio | None:
        """Return the ratio of a shot; None if the set does not have this shot."""
        return dict(self.ratios).get(shot)

    @property
    def shots(self) -> tuple[ShotType, ...]:
        """The shots that it has, widest first."""
        return tuple(shot for shot, _ in self.ratios)

    @classmethod
    def of(cls, name: str, ratios: Mapping[ShotType, Ratio]) -> RatioSet:
        """Return a set whose name was checked.

        Raises:
            ValueError: The name cannot be part of a file name, or is taken.
        """
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name for a set: use lower-case letters, digits, - and _")
        if name == DEFAULT_SET:
            raise ValueError(f"{DEFAULT_SET!r} is the set of ordinary crops: set its ratio with --aspect")
        return cls(name, tuple((shot, ratios[shot]) for shot in SHOT_TYPES if shot in ratios))


def _preset(prefix: str, **ratios: str) -> tuple[RatioSet, ...]:
    return tuple(
        RatioSet.of(f"{prefix}-{name.replace('_', '-')}", dict.fromkeys(SHOT_TYPES, Ratio.parse(text)))
        for name, text in ratios.items()
    )


PRESETS: dict[str, tuple[RatioSet, ...]] = {
    "instagram": _preset("instagram", feed="4:5:1080x1350", story="9:16:1080x1920", square="1:1:1080x1080"),
    "youtube": _preset("youtube", thumbnail="16:9:1280x720", shorts="9:16:1080x1920"),
    "linkedin": _preset("linkedin", link="1.91:1:1200x627", square="1:1:1200x1200", portrait="4:5:1080x1350"),
    "print": _preset("print", **{"10x15": "2:3:1181x1772", "15x10": "3:2:1772x1181", "20x25": "4:5:2362x2953"}),
}
"""Named groups of sets. The print sizes are centimetres at 300 dpi."""
