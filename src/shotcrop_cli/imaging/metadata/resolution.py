"""The resolution of a photo: how many pixels an inch of its print has. Each format stores it in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_CM_PER_INCH = 2.54
_JFIF = b"\xff\xe0"
_SMALLEST, _LARGEST = 0.01, 100_000
"""Resolutions outside of this range are ignored (our choice)."""
_LARGEST_DENSITY = 0xFFFF
"""JFIF has 16 bits for a density."""


class Unit(Enum):
    """What the pixels are counted per."""

    NONE = 0
    """Nothing: only the ratio of the two counts means something, the shape of a pixel."""
    INCH = 1
    CENTIMETRE = 2


@dataclass(frozen=True, slots=True)
class Resolution:
    """Pixels per unit.

    Args:
        x: Horizontally.
        y: Vertically.
        unit: The unit.
    """

    x: float
    y: float
    unit: Unit = Unit.INCH

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch; None if the unit is unknown."""
        if self.unit is Unit.NONE:
            return None
        factor = _CM_PER_INCH if self.unit is Unit.CENTIMETRE else 1.0
        return self.x * factor, self.y * factor

    @property
    def turned(self) -> Resolution:
        """The resolution of the photo turned by 90 degrees."""
        return Resolution(self.y, self.x, self.unit)


def valid_resolution(x: float, y: float, unit: Unit | None) -> Resolution | None:
    """Return a resolution; None if the unit is unknown or a number makes no sense."""
    if unit is None or not all(_SMALLEST <= side <= _LARGEST for side in (x, y)):
        return None
    return Resolution(x, y, unit)


def insert_into_jpeg(content: bytes, resolution: Resolution | None) -> bytes:
    """Return a JPEG with a resolution in its JFIF marker, or without any. Only a file with that marker changes.

    Args:
        content: The file, or its beginning up to the end of that marker.
        resolution: Its resolution; one that JFIF cannot hold is left out.
    """
    if content[2:4] != _JFIF or content[6:11] != b"JFIF\x00":
        return content
    x, y, unit = 1, 1, Unit.NONE
    if resolution is not None:
        sides = round(resolution.x), round(resolution.y)
        if all(0 < side <= _LARGEST_DENSITY for side in sides):
            (x, y), unit = sides, resolution.unit
    return content[:13] + bytes((unit.value,)) + x.to_bytes(2, "big") + y.to_bytes(2, "big") + content[18:]
