"""Pixels of every mode: fewer bits, fewer pixels, no transparency; scaled, never clipped."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow's modes of more than 8 bits per channel, all of them gray."""
_WHITE_16 = 65535.0
_NARROW_MODES = {**dict.fromkeys(("1", "L", "P"), 1), **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 2)}
"""Bytes that Pillow keeps a pixel in; those of all other modes take four, RGB and gray with alpha among them."""


def bytes_held(pixels: Image.Image) -> int:
    """Return how much memory pixels take."""
    return pixels.width * pixels.height * _NARROW_MODES.get(pixels.mode, 4)


def white_of(pixels: Image.Image) -> float:
    """Return the value that means white.

    The 32-bit modes have none that all agree on: 16-bit values are common, anything else is stretched to fit.
    """
    if pixels.mode not in ("I", "F"):
        return _WHITE_16 if pixels.mode in DEEP_MODES else 255.0
    highest = float(np.asarray(pixels).max())
    return _WHITE_16 if pixels.mode == "I" and highest <= _WHITE_16 else highest or 1.0


def eight_bit(pixels: Image.Image, white: float | None = None) -> Image.Image:
    """Return the pixels in a mode of 8 bits that can be resized, scaled where they had more.

    Args:
        pixels: In any mode.
        white: The value that means white, for a part of a picture; None takes it from the pixels themselves.
    """
    if pixels.mode in DEEP_MODES:
        stored = np.asarray(pixels)
        if stored.dtype.itemsize == 2:
            return Image.fromarray((stored >> 8).astype(np.uint8))
        return Image.fromarray(_scaled(stored, white or white_of(pixels), 255.0).astype(np.uint8))
    if pixels.mode == "1":
        return pixels.convert("L")
    if pixels.mode in ("P", "PA"):
        return pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    return with_alpha(pixels)


def with_alpha(pixels: Image.Image) -> Image.Image:
    """Return pixels of which one colour means transparent with an alpha channel instead; others as they are."""
    if "transparency" in pixels.info and pixels.mode in ("L", "RGB", "P"):
        return pixels.convert("LA" if pixels.mode == "L" else "RGBA")
    return pixels


def sixteen_bit(pixels: Image.Image, white: float) -> Image.Image:
    """Return deep pixels as Pillow's `I;16`, scaled where they had more bits."""
    stored = np.asarray(pixels)
    if stored.dtype.itemsize == 4 and white != _WHITE_16:
        stored = _scaled(stored, white, _WHITE_16)
    return Image.fromarray(stored.clip(0, _WHITE_16).astype(np.uint16))


def over_white(pixels: Image.Image) -> Image.Image:
    """Return pixels with transparency as gray or RGB, over white; others as they are."""
    if not pixels.has_transparency_data:
        return pixels
    background = Image.new("RGBA", pixels.size, "white")
    background.alpha_composite(pixels.convert("RGBA"))
    return background.convert("L" if pixels.mode in ("L", "LA", "La") else "RGB")


def shrunk(pixels: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the pixels in another size, by Lanczos's filter.

    A palette becomes RGB, and black-and-white gray, since new values come up between the old ones.

    Args:
        pixels: In any mode.
        size: Width and height in pixels.
    """
    if pixels.size == size:
        return pixels
    if pixels.mode not in DEEP_MODES:
        return eight_bit(pixels).resize(size, Image.Resampling.LANCZOS)
    stored = np.asarray(pixels)
    # The filter overshoots at edges: no value may leave the range that the photo's values have.
    values = np.asarray(Image.fromarray(stored.astype(np.float32)).resize(size, Image.Resampling.LANCZOS))
    values = values.clip(stored.min(), stored.max())
    if stored.dtype.kind != "f":
        values = np.rint(values.astype(np.float64))
    return Image.fromarray(values.astype(stored.dtype.newbyteorder("=")))


def _scaled(stored: Any, white: float, to: float) -> Any:
    return np.asarray(stored, np.float32).clip(0, white) * (to / white) + 0.5
