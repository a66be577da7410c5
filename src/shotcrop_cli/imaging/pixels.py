"""Convert pixels of every Pillow mode: bit depth, size and transparency. Values are scaled, never clipped."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow modes with more than 8 bits per channel, all of them gray."""
_USUAL_MODES = {"La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "HSV": "RGB"}
"""Modes with premultiplied transparency, with padding, or of another colour model, and what they become."""
_PLAIN_MODES = ("L", "RGB", "CMYK", "YCbCr")
"""8-bit modes without transparency, which Pillow scales as they are."""
_REDUCING_GAP = 3.0
"""Pixels that are shrunk to a sixth or less are first averaged in blocks, so that the filter shrinks by this factor
or more. That takes less than half the time; docs/performance.md says how little it changes."""
_WHITE_16 = 65535.0
_BYTES_PER_PIXEL = {**dict.fromkeys(("1", "L", "P"), 1), **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 2)}
"""Bytes per pixel in Pillow's memory. All other modes, also RGB and gray with alpha, take four."""


def memory_bytes(pixels: Image.Image) -> int:
    """Return the bytes of memory that the pixels take."""
    return pixels.width * pixels.height * _BYTES_PER_PIXEL.get(pixels.mode, 4)


def cropped(pixels: Image.Image, corners: tuple[int, int, int, int]) -> Image.Image:
    """Return a part of the pixels, however large it is: `Image.crop` refuses more pixels than Pillow's limit.

    Args:
        pixels: Pixels of any mode.
        corners: Left, upper, right and lower edge, inside the pixels.
    """
    left, upper, right, lower = corners
    size = right - left, lower - upper
    if Image.MAX_IMAGE_PIXELS is None or size[0] * size[1] <= Image.MAX_IMAGE_PIXELS:
        return pixels.crop(corners)
    part = Image.new(pixels.mode, size)
    part.paste(pixels, (-left, -upper))
    if pixels.palette is not None:
        part.putpalette(pixels.palette)
    part.info = dict(pixels.info)
    return part


def white_level(pixels: Image.Image) -> float:
    """Return the value that means white.

    The 32-bit modes have no agreed white. Mode `I` usually holds 16-bit values; otherwise the highest value is white.
    """
    if pixels.mode not in ("I", "F"):
        return _WHITE_16 if pixels.mode in DEEP_MODES else 255.0
    highest = float(np.asarray(pixels).max())
    return _WHITE_16 if pixels.mode == "I" and highest <= _WHITE_16 else highest or 1.0


def in_usual_mode(pixels: Image.Image) -> Image.Image:
    """Return pixels of a rare mode, which Pillow converts to few others, in the usual one with the same values."""
    if pixels.mode == "I;16N":  # the byte order of this machine
        return Image.fromarray(np.asarray(pixels))
    usual = _USUAL_MODES.get(pixels.mode)
    return pixels if usual is None else pixels.convert(usual)


def from_12_bit(pixels: Image.Image) -> Image.Image:
    """Return gray pixels whose values reach 4095 in mode `I;16`, with 65535 as white."""
    stored = np.asarray(pixels).astype(np.uint16)
    return Image.fromarray(stored << 4 | stored >> 8)


def to_8_bit(pixels: Image.Image, white: float | None = None) -> Image.Image:
    """Return the pixels in an 8-bit mode that can be resized; deeper values are scaled.

    Args:
        pixels: Pixels of any mode.
        white: The value that means white in the whole photo; None takes it from these pixels.
    """
    pixels = in_usual_mode(pixels)
    if pixels.mode in DEEP_MODES:
        stored = np.asarray(pixels)
        if stored.dtype.itemsize == 2:
            return Image.fromarray((stored >> 8).astype(np.uint8))
        return Image.fromarray(_scaled(stored, white or white_level(pixels), 255.0).astype(np.uint8))
    if pixels.mode == "1":
        return pixels.convert("L")
    if pixels.mode in ("P", "PA"):
        return pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    return with_alpha(pixels)


def with_alpha(pixels: Image.Image) -> Image.Image:
    """Return pixels with an alpha channel in place of a transparent colour; others unchanged."""
    if "transparency" in pixels.info and pixels.mode in ("L", "RGB", "P"):
        return pixels.convert("LA" if pixels.mode == "L" else "RGBA")
    return pixels


def to_full_range(pixels: Image.Image) -> Image.Image:
    """Return pixels in whose 8-bit channels 16 was black and 235 white, with 0 as black and 255 as white."""
    if pixels.mode not in ("L", "RGB", "LA", "RGBA"):
        return pixels
    scaled = [max(0, min(255, round((value - 16) * 255 / 219))) for value in range(256)]
    has_alpha = pixels.mode in ("LA", "RGBA")
    colours = len(pixels.getbands()) - has_alpha
    return pixels.point(scaled * colours + list(range(256)) * has_alpha)


def to_16_bit(pixels: Image.Image, white: float) -> Image.Image:
    """Return deep pixels in mode `I;16`; values of more bits are scaled to 16."""
    stored = np.asarray(pixels)
    if stored.dtype.itemsize == 4 and white != _WHITE_16:
        stored = _scaled(stored, white, _WHITE_16)
    return Image.fromarray(stored.clip(0, _WHITE_16).astype(np.uint16))


def onto_white(pixels: Image.Image) -> Image.Image:
    """Return transparent pixels on a white background, as gray or RGB; others unchanged."""
    pixels = in_usual_mode(pixels)
    if not pixels.has_transparency_data:
        return pixels
    background = Image.new("RGBA", pixels.size, "white")
    background.alpha_composite(pixels.convert("RGBA"))
    return background.convert("L" if pixels.mode in ("L", "LA") else "RGB")


def part_resized(pixels: Image.Image, corners: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """Return a part of the pixels in another size, with the Lanczos filter.

    A palette image becomes RGB and a black-and-white one gray, because the filter produces values in between.

    Args:
        pixels: Pixels of any mode.
        corners: Left, upper, right and lower edge of the part, inside the pixels.
        size: Width and height in pixels.
    """
    left, upper, right, lower = corners
    # Pillow scales a part without copying it first. With transparency, it would convert all of the pixels.
    if size != (right - left, lower - upper) and pixels.mode in _PLAIN_MODES and "transparency" not in pixels.info:
        part = pixels.resize(size, Image.Resampling.LANCZOS, corners, _REDUCING_GAP)
        part.info = {}
        return part
    part = in_usual_mode(cropped(pixels, corners))
    # Pillow's writers read `info`, which describes the whole photo: keep only the transparent colour.
    part.info = {name: value for name, value in pixels.info.items() if name == "transparency"}
    return part if part.size == size else _resized(part, size)


def _resized(pixels: Image.Image, size: tuple[int, int]) -> Image.Image:
    if pixels.mode not in DEEP_MODES:
        return to_8_bit(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    stored = np.asarray(pixels)
    # The filter overshoots at edges: keep values in the range of the stored ones.
    values = np.asarray(Image.fromarray(stored.astype(np.float32)).resize(size, Image.Resampling.LANCZOS))
    values = values.clip(stored.min(), stored.max())
    if stored.dtype.kind != "f":
        values = np.rint(values.astype(np.float64))
    return Image.fromarray(values.astype(stored.dtype.newbyteorder("=")))


def _scaled(stored: Any, white: float, to: float) -> Any:
    return np.asarray(stored, np.float32).clip(0, white) * (to / white) + 0.5
