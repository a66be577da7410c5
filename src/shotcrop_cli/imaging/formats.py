"""The image formats that shotcrop reads, by file extension, and the format it writes for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, TypeAlias


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
JPEG_2000 = Format("JPEG2000", ".jp2")
JPEG_XL = Format("JXL", ".jxl")  # Pillow reads it with a plugin, see `decode`
RAW = Format("RAW", ".dng")  # not a Pillow format: shotcrop crops the embedded preview

_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Extensions of cameras' RAW files. `.raw` is not among them, because other programs use it for anything."""
_HEIF_SUFFIXES = (".heic", ".heif", ".hif", ".heics", ".heifs", ".avci", ".avcs")
"""Extensions of HEIF: phones, cameras (.hif), sequences, and HEIF with H.264. Source: ISO/IEC 23008-12, annexes B to E;
`.hif` is what Canon, Fujifilm, Nikon and Sony write."""

FORMATS: dict[str, Format] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo"), JPEG),
    **dict.fromkeys((".png", ".apng"), PNG),
    ".webp": WEBP,
    **dict.fromkeys((".tif", ".tiff"), TIFF),
    **dict.fromkeys((".avif", ".avifs"), AVIF),
    **dict.fromkeys(_HEIF_SUFFIXES, HEIF),
    ".gif": GIF,
    **dict.fromkeys((".bmp", ".dib"), BMP),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), JPEG_2000),
    ".jxl": JPEG_XL,
    **dict.fromkeys(_RAW_SUFFIXES, RAW),
}
"""Every extension of a photo, in lower case."""


Quality: TypeAlias = "int | Literal['same']"
"""Quality of a lossy crop as Pillow counts it, 1 to 100, or `same` for the photo's own."""
SAME_QUALITY: Literal["same"] = "same"
DEFAULT_QUALITY = 95
"""Quality of lossy crops from photos that were stored without loss. Crops in another lossy format than their photo have
no higher one."""


DEFAULT_MAX_PIXELS = 500_000_000
"""Pixels that a photo may have. Phones have up to 200 MP, medium format 400 MP with several shots. More would take
gigabytes of memory, and a small file may claim any number (a decompression bomb)."""


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


_NEAREST_FORMAT = {HEIF: JPEG, RAW: JPEG, JPEG_2000: JPEG, JPEG_XL: JPEG, GIF: PNG, BMP: PNG}
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


def format_of_name(name: str) -> Format | None:
    """Return the format for the extension of a file name, as `format_of` does for a path."""
    dot = name.rfind(".")
    return FORMATS.get(name[dot:].lower()) if dot > 0 else None


def format_called(name: str) -> Format | None:
    """Return the format that Pillow, or a sidecar, calls by this name."""
    return next((form for form in FORMATS.values() if name in form.pillow_names), None)


def output_format(source: Format, wanted: CropFormat = CropFormat.SAME) -> Format:
    """Return the format of a photo's crops.

    Args:
        source: The photo's own format.
        wanted: The format that the user asked for.
    """
    return _FORMAT_BY_CHOICE.get(wanted) or _NEAREST_FORMAT.get(source, source)
