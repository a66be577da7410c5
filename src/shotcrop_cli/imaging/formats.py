"""The picture formats shotcrop reads, by file extension, and what it writes for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Format:
    """A container format.

    Args:
        name: Pillow's name of it.
        suffix: The extension of the crops.
        also: Pillow's names of variants whose files carry the same extensions.
    """

    name: str
    suffix: str
    also: tuple[str, ...] = ()

    @property
    def pillow_names(self) -> tuple[str, ...]:
        """Every name Pillow may give a file of this format."""
        return (self.name, *self.also)


JPEG = Format("JPEG", ".jpg", ("MPO",))  # MPO is a JPEG with more pictures behind the first
PNG = Format("PNG", ".png")
WEBP = Format("WEBP", ".webp")
TIFF = Format("TIFF", ".tif")
AVIF = Format("AVIF", ".avif")
HEIF = Format("HEIF", ".heic")
GIF = Format("GIF", ".gif")
BMP = Format("BMP", ".bmp", ("DIB",))
RAW = Format("RAW", ".dng")  # no format of Pillow's: its embedded preview is cut

_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""What cameras call their RAW files; `.raw` is left out, since other programs call anything that."""

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
"""Every extension that is taken for a photo, in lower case."""


class CropFormat(str, Enum):
    """The format that crops are asked for in."""

    SAME = "same"
    """The photo's own, or the nearest that can be written."""
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    TIFF = "tiff"

    def __str__(self) -> str:
        return self.value


_WRITTEN_AS = {HEIF: JPEG, RAW: JPEG, GIF: PNG, BMP: PNG}
"""Formats that cannot be written or would cost colours or space: lossy to JPEG, lossless to PNG."""
_WANTED = {
    CropFormat.JPEG: JPEG,
    CropFormat.PNG: PNG,
    CropFormat.WEBP: WEBP,
    CropFormat.AVIF: AVIF,
    CropFormat.TIFF: TIFF,
}


def format_of(path: Path) -> Format | None:
    """Return the format a file's extension promises, None when it is no photo's extension."""
    return FORMATS.get(path.suffix.lower())


def written_as(source: Format, wanted: CropFormat = CropFormat.SAME) -> Format:
    """Return the format of a photo's crops.

    Args:
        source: The photo's own format.
        wanted: What the user asked for.
    """
    return _WANTED.get(wanted) or _WRITTEN_AS.get(source, source)
