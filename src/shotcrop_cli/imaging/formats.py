"""The image formats that shotcrop reads, by file extension, and the format it writes for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Format:
    """A container format.

    Args:
        name: Pillow's name for it.
        suffix: File extension of crops in this format.
        variants: Pillow's names for variants with the same file extensions.
    """

    name: str
    suffix: str
    variants: tuple[str, ...] = ()

    @property
    def pillow_names(self) -> tuple[str, ...]:
        """Every name that Pillow may report for a file of this format."""
        return (self.name, *self.variants)


JPEG = Format("JPEG", ".jpg", ("MPO",))  # MPO is a JPEG with more images after the first
PNG = Format("PNG", ".png")
WEBP = Format("WEBP", ".webp")
TIFF = Format("TIFF", ".tif")
AVIF = Format("AVIF", ".avif")
HEIF = Format("HEIF", ".heic")
GIF = Format("GIF", ".gif")
BMP = Format("BMP", ".bmp", ("DIB",))
RAW = Format("RAW", ".dng")  # not a Pillow format: shotcrop crops the embedded preview

_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Extensions of cameras' RAW files. `.raw` is not among them, because other programs use it for anything."""

FORMATS: dict[str, Format] = {
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".jpe": JPEG,
    ".jfif": JPEG,
    ".png": PNG,
    ".webp": WEBP,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".avif": AVIF,
    ".heic": HEIF,
    ".heif": HEIF,
    ".gif": GIF,
    ".bmp": BMP,
    **dict.fromkeys(_RAW_SUFFIXES, RAW),
}
"""Every extension of a photo, in lower case."""


class CropFormat(str, Enum):
    """The format that the user wants for crops."""

    SAME = "same"
    """The photo's own format, or the nearest one that shotcrop writes."""
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    TIFF = "tiff"

    def __str__(self) -> str:
        return self.value


_NEAREST_FORMAT = {HEIF: JPEG, RAW: JPEG, GIF: PNG, BMP: PNG}
"""Formats that cannot be written, or would cost colours or space: lossy ones become JPEG, lossless ones PNG."""
_FORMAT_BY_CHOICE = {
    CropFormat.JPEG: JPEG,
    CropFormat.PNG: PNG,
    CropFormat.WEBP: WEBP,
    CropFormat.AVIF: AVIF,
    CropFormat.TIFF: TIFF,
}


def format_of(path: Path) -> Format | None:
    """Return the format for a file's extension; None if it is not the extension of a photo."""
    return FORMATS.get(path.suffix.lower())


def output_format(source: Format, wanted: CropFormat = CropFormat.SAME) -> Format:
    """Return the format of a photo's crops.

    Args:
        source: The photo's own format.
        wanted: The format that the user asked for.
    """
    return _FORMAT_BY_CHOICE.get(wanted) or _NEAREST_FORMAT.get(source, source)
