"""The quality that a lossy photo was saved with, so that its crops can have the same.

JPEG crops of a JPEG photo get the photo's own quantisation tables. Otherwise the quality is a number that Pillow's
encoders understand, found from how coarsely the photo is quantised.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, JpegImagePlugin

from shotcrop_cli.imaging.formats import AVIF, DEFAULT_QUALITY, HEIF, JPEG, TIFF, WEBP, Format
from shotcrop_cli.imaging.quantiser import av1_quantiser, hevc_quantiser, vp8_quantiser

Tables: TypeAlias = "tuple[tuple[int, ...], ...]"
"""A JPEG quantisation table for each component, row by row."""

_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""Source: ITU-T T.81, table K.1."""

_Curve: TypeAlias = "tuple[tuple[float, float], ...]"
_AVIF_BY_QUANTISER: _Curve = (
    *((0, 100), (16, 95), (32, 90), (48, 85), (60, 80), (76, 75), (92, 70), (120, 60), (148, 50), (172, 40)),
    *((196, 30), (216, 20), (236, 10), (249, 5), (255, 0)),
)
"""Quality by quantiser. Source: what Pillow 13.0 with libavif 1.4.2 writes, by our measurement."""
_JPEG_BY_WEBP: _Curve = (
    *((0, 10), (5, 15), (10, 19), (20, 28), (30, 40), (40, 54), (50, 64), (60, 71), (70, 76), (75, 79), (80, 85)),
    *((85, 89), (90, 93), (95, 96), (100, 98)),
)
_JPEG_BY_AVIF: _Curve = (
    *((0, 4), (5, 6), (10, 8), (20, 12), (30, 20), (40, 34), (50, 62), (60, 78), (70, 88), (75, 90), (80, 92)),
    *((85, 93), (90, 96), (95, 98), (100, 100)),
)
_JPEG_BY_HEVC_QUANTISER: _Curve = (
    *((0, 100), (7, 99), (12, 97), (17, 94), (22, 88), (27, 73), (32, 37), (37, 14), (42, 6), (51, 1)),
)
"""The JPEG quality with the same squared error of luminance, by the quality or quantiser of another codec: mean of the
three example photos at a width of 400 pixels."""
_JPEG_BY_BITS: _Curve = (
    *((0.35, 10), (0.5, 20), (0.64, 30), (0.76, 40), (0.87, 50), (1.0, 60), (1.2, 70), (1.5, 80), (1.8, 85)),
    *((2.25, 90), (3.2, 95)),
)
"""JPEG quality by bits per pixel of the JPEG, measured on the same photos."""
_BITS_RATIO = 2.0
"""A JPEG takes about this many times the bits of newer codecs for the same error, on the same photos."""


@dataclass(frozen=True, slots=True)
class StoredQuality:
    """The quality of a lossy photo.

    Args:
        codec: The format whose numbers `value` follows: JPEG, WebP or AVIF.
        value: The quality, 1 to 100.
        tables: Quantisation tables of a JPEG.
    """

    codec: Format
    value: float
    tables: Tables = ()

    def for_format(self, form: Format) -> int:
        """Return the quality for crops in a format."""
        if form is self.codec:
            return _bounded(self.value, 100)
        jpeg = self.value
        if self.codec is not JPEG:
            jpeg = _interpolate(_JPEG_BY_WEBP if self.codec is WEBP else _JPEG_BY_AVIF, self.value)
        if form in (WEBP, AVIF):
            curve = _JPEG_BY_WEBP if form is WEBP else _JPEG_BY_AVIF
            jpeg = _interpolate(tuple((jpeg, other) for other, jpeg in curve), jpeg)
        return _bounded(jpeg, DEFAULT_QUALITY)

    def turned(self) -> StoredQuality:
        """Return the quality of the same photo with its rows as columns."""
        tables = tuple(tuple(table[8 * (i % 8) + i // 8] for i in range(64)) for table in self.tables)
        return StoredQuality(self.codec, self.value, tables)


def read_quality(image: Image.Image, data: bytes, form: Format, tables: Tables = ()) -> StoredQuality:
    """Return the quality of a lossy photo.

    Args:
        image: The photo, opened.
        data: The content of its file.
        form: Its format.
        tables: Quantisation tables of a TIFF with JPEG compression.
    """
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        stored = image.quantization
        found = tuple(tuple(stored[number]) for _, _, _, number in image.layer if number in stored)
        tables = found if len(found) == len(image.layer) else ()
    if tables:
        return StoredQuality(JPEG, _jpeg_quality(tables[0]), tables)
    if form is WEBP and (webp := vp8_quantiser(data)) is not None:
        return StoredQuality(WEBP, _webp_quality(webp))
    if form is AVIF and (quantiser := av1_quantiser(data)) is not None:
        return StoredQuality(AVIF, _interpolate(_AVIF_BY_QUANTISER, quantiser))
    if form is HEIF and (quantiser := hevc_quantiser(data)) is not None:
        return StoredQuality(JPEG, _interpolate(_JPEG_BY_HEVC_QUANTISER, quantiser))
    bits = 8 * len(data) / max(1, image.width * image.height)
    return StoredQuality(JPEG, _interpolate(_JPEG_BY_BITS, bits * (1 if form is TIFF else _BITS_RATIO)))


@lru_cache(maxsize=64)
def _jpeg_quality(table: tuple[int, ...]) -> int:
    """Return the quality of libjpeg whose luminance table is nearest to a table."""

    def distance(quality: int) -> int:
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        standard = (min(max((value * scale + 50) // 100, 1), 255) for value in _LUMINANCE)
        return sum(abs(ours - theirs) for ours, theirs in zip(table, standard, strict=True))

    return min(range(1, 101), key=distance)


def _webp_quality(quantiser: float) -> float:
    """Return the quality for which libwebp chooses a quantiser. Source: `VP8SetSegmentParams` of libwebp 1.6.0."""
    linear = (1 - quantiser / 127) ** 3
    return 100 * (linear * 1.5 if linear < 0.5 else (linear + 1) / 2)


def _interpolate(curve: _Curve, at: float) -> float:
    """Return the value of a piecewise linear curve, which is level outside its ends."""
    (left, value), *rest = curve
    if at <= left:
        return value
    for right, following in rest:
        if at <= right:
            return value + (following - value) * (at - left) / (right - left)
        left, value = right, following
    return value


def _bounded(value: float, highest: int) -> int:
    return max(1, min(highest, round(value)))
