"""Colour profiles made on the spot: wide RGB spaces, gray, and a CMYK whose inks cannot be mistaken."""

from __future__ import annotations

import struct

DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""XYZ of each space's red, green and blue, adapted to D50."""


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _profile(name: str, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC profile of version 2.4 (ICC.1:2001)."""
    text = name.encode() + b"\x00"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(12 + 67)
    tags = {b"desc": described, b"wtpt": b"XYZ " + bytes(4) + _fixed(0.9642, 1, 0.8249), **tags}
    table, values = struct.pack(">I", len(tags)), b""
    for signature, value in tags.items():
        table += signature + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(values), len(value))
        values += value + bytes(-len(value) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = bytes(4) + struct.pack(">I", 0x02400000) + kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    head += _fixed(0.9642, 1, 0.8249)
    return struct.pack(">I", 128 + len(table) + len(values)) + head + bytes(48) + table + values


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def _rgb_profile(name: str, primaries: tuple[tuple[float, ...], ...]) -> bytes:
    tags = {name + b"TRC": _gamma(2.2) for name in (b"r", b"g", b"b")}
    xyz = zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    return _profile(name, b"RGB ", b"XYZ ", tags | {tag: b"XYZ " + bytes(4) + _fixed(*value) for tag, value in xyz})


def _cmyk_profile() -> bytes:
    """Return a profile whose cyan ink is red, so that a conversion cannot be missed."""
    corners = bytearray()
    for ink in range(16):  # the last ink varies fastest
        cyan, magenta, yellow, black = (ink >> shift & 1 for shift in (3, 2, 1, 0))
        lightness = 0 if black else 255 - 60 * (cyan + magenta + yellow)
        corners += bytes((lightness, 128 + 80 * (cyan - magenta) * (1 - black), 128))
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += 4 * identity + bytes(corners) + 3 * identity
    return _profile("Red Ink", b"CMYK", b"Lab ", {b"A2B0": lut})


PROFILES = {
    "display p3": _rgb_profile("Display P3 like", DISPLAY_P3),
    "adobe rgb": _rgb_profile("Adobe RGB like", ADOBE_RGB),
    "gray": _profile("Gray Gamma 1.0", b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.0)}),
    "cmyk": _cmyk_profile(),
}
