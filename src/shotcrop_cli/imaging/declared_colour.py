"""Find the colour space of a photo where its format keeps it: a profile, code points, chromaticities or EXIF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from shotcrop_cli.imaging.code_points import BT709, CodePoints, of_cicp, of_nclx
from shotcrop_cli.imaging.formats import AVIF, HEIF, PNG, Format
from shotcrop_cli.imaging.icc import SRGB_CURVE, Curve, Primaries, gray_profile, power_curve, rgb_profile
from shotcrop_cli.imaging.isobmff import read_items
from shotcrop_cli.imaging.metadata import exif
from shotcrop_cli.imaging.pixels import DEEP_MODES
from shotcrop_cli.imaging.read_limit import LimitedReader

_ADOBE_RGB = Primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), name="Compatible with Adobe RGB (1998)")
_ADOBE_RGB_CURVE = Curve(563 / 256, name="gamma 2.2")
"""Source: Adobe RGB (1998) Color Image Encoding, section 4.3."""
_SRGB_GAMMA = 1 / 2.2
"""The `gAMA` value that means sRGB, together with its primaries. Source: PNG 3.0, section 11.3.2.5."""
_GAMMA_TOLERANCE = 0.01
_COLOUR_SPACE, _INTEROP_INDEX = 0xA001, 1
_ADOBE, _UNCALIBRATED = 2, 0xFFFF
"""Values of ColorSpace. 2 is no value of the standard, but cameras write it for Adobe RGB."""
_MAX_EXIF_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Colour:
    """The colour space of a photo.

    Args:
        icc_profile: Its profile, embedded or made from what is declared; empty for sRGB.
        hdr: Code points of an HDR photo.
        narrow_range: Whether 16 is black and 235 white.
        warning: What is wrong with the declaration, empty if nothing is.
    """

    icc_profile: bytes = b""
    hdr: CodePoints | None = None
    narrow_range: bool = False
    warning: str = ""


def find_colour(image: Image.Image, data: bytes, form: Format, cicp: bytes, exif_block: bytes) -> Colour:
    """Return the colour space of a photo.

    Args:
        image: The photo, loaded.
        data: The content of its file.
        form: Its format.
        cicp: Content of the `cICP` chunk of a PNG.
        exif_block: Its EXIF.
    """
    embedded = image.info.get("icc_profile")
    profile = embedded if isinstance(embedded, bytes) else b""  # in a TIFF it may be a number
    points = of_cicp(cicp) if form is PNG else None
    if form in (AVIF, HEIF) and not profile:
        nclx = map(of_nclx, read_items(data).of_primary(b"colr"))
        points = next((found for found in nclx if found is not None), None) or _of_pillow_heif(image)
    if points is not None:
        return _of_code_points(points, image.mode, profile)
    if profile:
        return Colour(profile)
    if form is PNG and "srgb" in image.info:
        return Colour()
    if form is PNG and ("gamma" in image.info or "chromaticity" in image.info):
        return _of_chromaticities(image)
    return Colour(_made(_ADOBE_RGB, _ADOBE_RGB_CURVE, image.mode)) if is_adobe_rgb(exif_block) else Colour()


def _of_pillow_heif(image: Image.Image) -> CodePoints | None:
    """Return the code points of an image that pillow-heif has opened, if it has any."""
    found: Any = image.info.get("nclx_profile")
    try:
        return CodePoints(int(found["color_primaries"]), int(found["transfer_characteristics"]))
    except (KeyError, TypeError, ValueError):
        return None


def _of_code_points(points: CodePoints, mode: str, profile: bytes) -> Colour:
    if points.is_hdr:
        return Colour(hdr=points)
    if not points.is_known:
        warning = f"the colour code points {points.primaries}/{points.transfer} are unknown, so sRGB was assumed"
        return Colour(profile, warning="" if profile else warning)
    return Colour(_made(points.colours, points.curve, mode), narrow_range=not points.full_range)


def _of_chromaticities(image: Image.Image) -> Colour:
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    primaries, curve = BT709, SRGB_CURVE
    if isinstance(points, tuple) and len(points) == 8:
        white, red, green, blue = zip(points[::2], points[1::2], strict=True)
        primaries = Primaries(red, green, blue, white, "primaries of the PNG")
    if isinstance(gamma, float) and gamma > 0:
        is_srgb = primaries.is_close(BT709) and abs(gamma - _SRGB_GAMMA) < _GAMMA_TOLERANCE
        curve = SRGB_CURVE if is_srgb else power_curve(1 / gamma)
    try:
        return Colour(_made(primaries, curve, image.mode))
    except (ValueError, OverflowError):
        return Colour(warning="the colour space in the PNG is impossible, so sRGB was assumed")


def _made(primaries: Primaries, curve: Curve, mode: str) -> bytes:
    """Return a profile for pixels of a Pillow mode; none for sRGB."""
    if mode in ("1", "L", "LA", "La", *DEEP_MODES):
        return b"" if curve is SRGB_CURVE else gray_profile(curve)
    if mode in ("CMYK", "LAB") or (curve is SRGB_CURVE and primaries.is_close(BT709)):
        return b""
    return rgb_profile(primaries, curve)


def is_adobe_rgb(block: bytes) -> bool:
    """Return whether EXIF says Adobe RGB, as cameras do it without a profile. Source: DCF 2.0, section 3.2.7."""
    block = exif.strip_header(block)
    if not block:
        return False
    stored = Image.Exif()
    try:
        stored.load_from_fp(LimitedReader(block, _MAX_EXIF_BYTES + 2 * len(block)))
        space: Any = stored.get_ifd(ExifTags.IFD.Exif).get(_COLOUR_SPACE)
        index: Any = stored.get_ifd(ExifTags.IFD.Interop).get(_INTEROP_INDEX)
    except Exception:  # hostile bytes may raise anything; bad metadata must not fail a photo
        return False
    if isinstance(index, bytes):
        index = index.decode("latin-1")
    is_r03 = isinstance(index, str) and index.rstrip("\0 ") == "R03"
    return space == _ADOBE or (is_r03 and space in (None, _UNCALIBRATED))
