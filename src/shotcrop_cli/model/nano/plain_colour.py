"""The plain colour of clothes and backgrounds, from the pixels of a thumbnail; none if it is not plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.crop_facts import COLOURS

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.floating[Any]]

MOST_OF_ANOTHER = 0.15
"""The share that another colour may have at most: what is striped or printed has no plain colour."""
NEAR, LEAST_TINT = 15, 0.2
"""Degrees by which hues may be beside a colour, and the least saturation, to count as its tint."""
LEAST_PIXELS, MOST_PIXELS = 40, 2000
"""Fewer pixels decide nothing, and more are not looked at: every second, third or fourth one says the same."""
_LIGHT = (0.22, 0.62)
"""Highest saturation and lowest value of light colours: white, cream and light grey."""
_BLACK, _DARK_GREY = 0.19, (0.35, 0.30)
"""Highest value of black; highest saturation and value of dark greys."""
_HUES = (
    # colour, first and last hue in degrees, least saturation, least value
    ("red", 346, 368, 0.55, 0.30),
    ("orange", 14, 36, 0.72, 0.60),
    ("yellow", 42, 66, 0.50, 0.50),
    ("green", 78, 165, 0.28, 0.22),
    ("blue", 188, 252, 0.42, 0.26),
    ("purple", 258, 300, 0.28, 0.30),
    ("pink", 305, 358, 0.20, 0.65),
)
"""Ranges of hues. The gaps between them have no name that people agree on; browns and low saturations are left out,
because skin, sand and white in the shade have them. Tuned on the training photos."""
_PINK_UP_TO = 0.6
"""Highest saturation of pink."""


def plain_colour(pixels: Pixels, least_shares: Mapping[str, float]) -> str | None:
    """Return the colour of most pixels, one of `COLOURS`; None if it is not plain.

    Args:
        pixels: (n, 3), RGB.
        least_shares: The share of the pixels that a colour must have, by colour; others are never returned.
    """
    if len(pixels) < LEAST_PIXELS:
        return None
    shares = shares_of(pixels)
    best = max(shares, key=lambda colour: shares[colour])
    second, first = sorted(shares.values())[-2:]
    return best if first >= least_shares.get(best, np.inf) and second <= MOST_OF_ANOTHER else None


def shares_of(pixels: Pixels) -> dict[str, float]:
    """Return the share of n pixels (n, 3) that each of `COLOURS` has."""
    kinds = classify(_some(pixels))
    shares = np.bincount(kinds, minlength=len(COLOURS) + 1)[:-1] / len(kinds)
    return dict(zip(COLOURS, shares.tolist(), strict=True))


def share_of(colour: str, pixels: Pixels, *, pale: bool = False) -> float:
    """Return the share of pixels (n, 3) that have a colour; with `pale`, also a paler one of nearly its hue."""
    pixels = _some(pixels)
    if not pale or colour in ("dark", "light"):
        return shares_of(pixels)[colour]
    _, first, last, *_ = next(one for one in _HUES if one[0] == colour)
    hue, saturation, _ = _hsv(pixels)
    return float((((hue - first + NEAR) % 360 <= last - first + 2 * NEAR) & (saturation >= LEAST_TINT)).mean())


def _some(pixels: Pixels) -> Pixels:
    """Return at most `MOST_PIXELS` pixels, evenly spread."""
    return pixels[:: -(-len(pixels) // MOST_PIXELS) or 1]


def classify(pixels: Pixels) -> NDArray[np.intp]:
    """Return the index in `COLOURS` of each of n pixels (n, 3); its length for colours without a name."""
    hue, saturation, value = _hsv(pixels)
    kind = np.full(len(pixels), len(COLOURS))
    dark = (value < _BLACK) | ((value < _DARK_GREY[1]) & (saturation < _DARK_GREY[0]))
    for name, first, last, least_saturation, least_value in _HUES:
        inside = ((hue - first) % 360 <= last - first) & (saturation >= least_saturation) & (value >= least_value)
        if name == "pink":
            inside &= saturation < _PINK_UP_TO
        kind[inside & ~dark] = COLOURS.index(name)
    kind[(saturation < _LIGHT[0]) & (value >= _LIGHT[1])] = COLOURS.index("light")
    kind[dark] = COLOURS.index("dark")
    return kind


def _hsv(pixels: Pixels) -> tuple[Doubles, Doubles, Doubles]:
    """Return hue in degrees, saturation and value of pixels (n, 3)."""
    colours = pixels.astype(np.float32) / 255
    red, green, blue = colours.T
    value = colours.max(1)
    chroma = value - colours.min(1)
    divisor = np.maximum(chroma, 1e-6)
    sixths = np.where(
        value == red,
        ((green - blue) / divisor) % 6,
        np.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    return sixths * 60, chroma / np.maximum(value, 1e-6), value
