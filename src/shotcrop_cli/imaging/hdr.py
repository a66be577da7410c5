"""Convert HDR pixels (PQ, HLG) to standard range, for formats that cannot say that their pixels are HDR.

Light up to 80 % of the reference white stays as it is. Brighter light is compressed so that the brightest of the photo
becomes white. All three channels are scaled alike, so hues stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from shotcrop_cli.imaging.code_points import PQ, CodePoints
from shotcrop_cli.imaging.icc import SRGB_CURVE, rgb_profile

REFERENCE_WHITE = 203.0
"""cd/m2 of white paper in an HDR photo. Source: ITU-R BT.2408."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""cd/m2 of a display for HLG, and its system gamma. Source: ITU-R BT.2100, table 5."""
_KNEE = 0.8
"""Share of the reference white up to which light stays as it is (our choice)."""
_ROWS = 128
"""Rows that are converted at once, so that the memory for numbers between stays small."""


@dataclass(frozen=True, slots=True)
class HdrColour:
    """The colour space of an HDR photo.

    Args:
        points: Primaries and transfer.
        peak: The brightest light in the photo, 1 for the reference white.
    """

    points: CodePoints
    peak: float

    @property
    def name(self) -> str:
        """What people call the transfer."""
        return "PQ" if self.points.transfer == PQ else "HLG"


def hdr_colour(pixels: Image.Image, points: CodePoints) -> HdrColour:
    """Return the colour space of a photo whose pixels have HDR code points.

    Args:
        pixels: The photo, 8 bits per channel.
        points: Its code points.
    """
    bands = pixels.convert("RGB").getextrema() if pixels.mode != "RGB" else pixels.getextrema()
    highest = max(int(high) for _, high in bands)  # type: ignore[misc]
    values = np.full((1, 1, 3), highest, np.uint8)
    return HdrColour(points, max(1.0, float(_light(values, points).max())))


def to_standard_range(image: Image.Image, colour: HdrColour) -> tuple[Image.Image, bytes]:
    """Return an image in standard range, mode RGB or RGBA, and its colour profile, which has the same primaries.

    Args:
        image: An image with 8 bits per channel.
        colour: The colour space of its pixels.
    """
    has_alpha = image.mode in ("LA", "RGBA", "PA") or image.has_transparency_data
    source = image.convert("RGBA" if has_alpha else "RGB")
    target = Image.new(source.mode, source.size)
    for top in range(0, source.height, _ROWS):
        bottom = min(top + _ROWS, source.height)
        rows = np.array(source.crop((0, top, source.width, bottom)))
        light = _light(rows[..., :3], colour.points)
        stored = SRGB_CURVE.from_linear(_compressed(light, colour.peak))
        rows[..., :3] = np.rint(stored.clip(0, 1) * 255)
        target.paste(Image.fromarray(rows), (0, top))
    return target, rgb_profile(colour.points.colours, SRGB_CURVE)


def _compressed(light: Any, peak: float) -> Any:
    if peak <= 1.0:
        return light
    brightest = light.max(axis=-1, keepdims=True)
    over = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    most = (peak - _KNEE) / (1 - _KNEE)
    # Slope 1 at the knee, and 1.0 for the peak.
    wanted = np.where(brightest > _KNEE, _KNEE + (1 - _KNEE) * over * (1 + over / most**2) / (1 + over), brightest)
    return light * (wanted / np.maximum(brightest, 1e-6))


def _light(values: Any, points: CodePoints) -> Any:
    """Return display light of stored RGB values, 1 for the reference white."""
    channels = _channel_light(points.transfer, points.full_range)[values]
    if points.transfer == PQ:
        return channels
    # In HLG the display's gamma acts on luminance.
    luminance = channels @ points.colours.to_xyz()[1].astype(np.float32)
    return channels * (np.maximum(luminance, 1e-9) ** (_HLG_GAMMA - 1))[..., None] * (_HLG_PEAK / REFERENCE_WHITE)


@lru_cache(maxsize=4)
def _channel_light(transfer: int, full_range: bool) -> Any:
    """Return the light of one channel for each stored value. Source: ITU-R BT.2100, tables 4 and 5."""
    values = np.arange(256) / 255.0
    if not full_range:
        values = ((values * 255 - 16) / 219).clip(0, 1)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = values ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * (10_000 / REFERENCE_WHITE)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    return light.astype(np.float32)
