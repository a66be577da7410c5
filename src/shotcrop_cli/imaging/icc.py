"""Write ICC profiles for colour spaces that are declared by numbers: primaries, white point and transfer curve."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Chromaticity: TypeAlias = "tuple[float, float]"
"""x and y of CIE 1931."""

D65: Chromaticity = (0.3127, 0.3290)
_D50_XYZ = (0.9642, 1.0, 0.8249)
"""The white of profiles. Source: ICC.1, section 7.2.16."""
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""Source: ICC.1, annex E."""


@dataclass(frozen=True, slots=True)
class Primaries:
    """The colours that three channels mix.

    Args:
        red: Chromaticity of the first channel.
        green: Of the second.
        blue: Of the third.
        white: Of all three together.
        name: What profiles call it.
    """

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity = D65
    name: str = "own primaries"

    def is_close(self, other: Primaries) -> bool:
        """Return whether all chromaticities are the same to the third digit."""
        pairs = zip(self._all(), other._all(), strict=True)
        return all(abs(ours - theirs) < 0.0015 for ours, theirs in pairs)

    def _all(self) -> tuple[float, ...]:
        return (*self.red, *self.green, *self.blue, *self.white)

    def to_xyz(self) -> Any:
        """Return the matrix from linear channels to XYZ with a white of Y = 1.

        Raises:
            ValueError: The chromaticities are no colours, or lie on one line.
        """
        columns = np.array([_xyz(point) for point in (self.red, self.green, self.blue)]).T
        try:
            return columns * np.linalg.solve(columns, np.array(_xyz(self.white)))
        except np.linalg.LinAlgError as error:
            raise ValueError("the primaries lie on one line") from error


@dataclass(frozen=True, slots=True)
class Curve:
    """A transfer curve: `((a v + b) ** gamma)` from `d` on and `c v` below, as in ICC.1, table 68.

    Args:
        gamma: The exponent.
        a: Factor.
        b: Summand.
        c: Slope near black.
        d: Where the linear part ends.
        name: What profiles call it.
    """

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    name: str = ""

    def to_linear(self, values: Any) -> Any:
        """Return linear light, 0 to 1, of stored values."""
        values = np.asarray(values, np.float64)
        power = np.maximum(self.a * values + self.b, 0) ** self.gamma
        return np.where(values >= self.d, power, self.c * values)

    def from_linear(self, light: Any) -> Any:
        """Return stored values of linear light, 0 to 1."""
        light = np.asarray(light)
        power = (np.maximum(light, 0) ** (1 / self.gamma) - self.b) / self.a
        return np.where(light < self.c * self.d, light / (self.c or 1.0), power)


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, "the curve of IEC 61966-2-1")
BT709_CURVE = Curve(1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.0812, "the curve of BT.709")


def power_curve(gamma: float) -> Curve:
    """Return the curve `v ** gamma`."""
    return Curve(gamma, name=f"gamma {gamma:.4g}")


def rgb_profile(primaries: Primaries, curve: Curve) -> bytes:
    """Return the profile of an RGB space.

    Raises:
        ValueError: The primaries span no space.
    """
    adaptation = _adaptation(primaries.white)
    columns = (adaptation @ primaries.to_xyz()).T
    tags = {b"chad": _numbers(b"sf32", *adaptation.ravel())}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True):
        tags[name] = _numbers(b"XYZ ", *column)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))
    return _profile(b"RGB ", f"{primaries.name}, {curve.name}", tags)


def gray_profile(curve: Curve) -> bytes:
    """Return the profile of a gray scale."""
    return _profile(b"GRAY", f"gray, {curve.name}", {b"kTRC": _curve(curve)})


def _xyz(point: Chromaticity) -> tuple[float, float, float]:
    x, y = point
    if y <= 0:
        raise ValueError("a chromaticity has y = 0")
    return x / y, 1.0, (1 - x - y) / y


def _adaptation(white: Chromaticity) -> Any:
    """Return the matrix from XYZ under a white to XYZ under D50."""
    bradford = np.array(_BRADFORD)
    ratio = (bradford @ np.array(_D50_XYZ)) / (bradford @ np.array(_xyz(white)))
    return np.linalg.inv(bradford) @ np.diag(ratio) @ bradford


def _numbers(kind: bytes, *values: float) -> bytes:
    return kind + bytes(4) + struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _curve(curve: Curve) -> bytes:
    simple = (curve.a, curve.b, curve.d) == (1.0, 0.0, 0.0)
    values = (curve.gamma,) if simple else (curve.gamma, curve.a, curve.b, curve.c, curve.d)
    head = b"para" + bytes(4) + struct.pack(">HH", 0 if simple else 3, 0)
    return head + _numbers(b"", *values)[4:]


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _profile(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    """Return a display profile of version 4.2 (ICC.1:2004-10)."""
    texts = {b"desc": _text(name), b"cprt": _text("No copyright, use freely")}
    tags = texts | {b"wtpt": _numbers(b"XYZ ", *_D50_XYZ)} | tags
    places: dict[bytes, int] = {}
    table, values = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for signature, value in tags.items():
        if value not in places:  # equal curves are stored once
            places[value] = start + len(values)
            values += value + bytes(-len(value) % 4)
        table += signature + struct.pack(">II", places[value], len(value))
    head = bytes(4) + struct.pack(">I", 0x04200000) + b"mntr" + space + b"XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _numbers(b"", *_D50_XYZ)[4:]
    return struct.pack(">I", 128 + len(table) + len(values)) + head + bytes(48) + table + values
