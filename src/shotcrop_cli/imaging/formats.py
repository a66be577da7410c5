"""The picture formats shotcrop reads, by file extension, and what it writes for each."""

from __future__ import annotations

from dataclasses import dataclass
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
}
"""Every extension that is taken for a photo, in lower case."""

_WRITTEN_AS = {HEIF: JPEG, GIF: PNG, BMP: PNG}
"""Formats that cannot be written or would cost colours or space: lossy to JPEG, lossless to PNG."""


def format_of(path: Path) -> Format | None:
    """Return the format a file's extension promises, None when it is no photo's extension."""
    return FORMATS.get(path.suffix.lower())


def written_as(source: Format) -> Format:
    """Return the format of the crops of a photo when they are to be of the same format."""
    return _WRITTEN_AS.get(source, source)
