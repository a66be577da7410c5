"""Find out the format of a photo by its first bytes, since extensions may be wrong."""

from __future__ import annotations

import struct
from pathlib import Path

from shotcrop_cli.imaging.formats import (
    AVIF,
    BMP,
    GIF,
    HEIF,
    JPEG,
    JPEG_2000,
    JPEG_XL,
    PNG,
    RAW,
    TIFF,
    WEBP,
    Format,
    format_of_name,
)

HEAD_BYTES = 4096
"""Bytes from the start of a file that `format_of_content` needs (our choice). A TIFF may have its directory later."""

_SIGNATURES: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (8, b"WEBP", WEBP),  # after `RIFF` and a size
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG_2000),
    (0, b"\xff\x4f\xff\x51", JPEG_2000),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", JPEG_XL),
    (0, b"\xff\x0a", JPEG_XL),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIU\x00", RAW),  # Panasonic, Leica
    (0, b"IIRO", RAW),  # Olympus
    (0, b"IIRS", RAW),
    (0, b"MMOR", RAW),
    (0, b"FOVb", RAW),  # Sigma
    (0, b"\x00MRM", RAW),  # Minolta
    (6, b"HEAPCCDR", RAW),  # Canon CRW
    (8, b"CR\x02\x00", RAW),  # Canon CR2
)
"""Offset and bytes that a format starts with. Sources: the specifications of the formats; LibRaw for RAW files."""

_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"avci", b"avcs", b"mif1", b"mif2", b"msf1", b"jpeg", b"jpgs"),
)
"""Brands of the `ftyp` box. Sources: ISO/IEC 23008-12 and the AVIF specification."""

_TIFF_STARTS = {b"II*\x00": "<", b"MM\x00*": ">"}
_BIG_TIFF_STARTS = (b"II+\x00", b"MM\x00+")
_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 254, 262, 330, 50706
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
"""Tags and values of TIFF and DNG that only RAW files have. Sources: TIFF/EP and the DNG specification."""


def format_of_content(head: bytes) -> Format | None:
    """Return the format that a file starts like; None for none that shotcrop reads.

    Args:
        head: The start of the file, at least `HEAD_BYTES` of it; more finds more RAW files.
    """
    for place, signature, form in _SIGNATURES:
        if head.startswith(signature, place) and (form is not WEBP or head.startswith(b"RIFF")):
            return form
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if (order := _TIFF_STARTS.get(head[:4])) is not None:
        return RAW if _is_raw(head, order) else TIFF
    if head.startswith(_BIG_TIFF_STARTS):
        return TIFF
    # Two letters are too few to say, so the sizes of the two headers count as well.
    if head.startswith(b"BM") and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    return None


_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Sizes of the second header of a BMP. Source: Windows SDK, wingdi.h; OS/2."""


def real_format(name: str, content: Format | None) -> Format | None:
    """Return the format of a photo by its content, and by its extension where the content does not say.

    Args:
        name: The file name.
        content: What `format_of_content` returned.
    """
    named = format_of_name(name)
    # RAW files have the structure of a TIFF, and only the extension tells some of them apart.
    return RAW if named is RAW and content is TIFF else content or named


def read_format(path: Path) -> Format | None:
    """Return the format of a photo by the start of its content, and by its extension where that does not say."""
    try:
        with path.open("rb") as file:
            return real_format(path.name, format_of_content(file.read(HEAD_BYTES)))
    except (OSError, ValueError):
        return format_of_name(path.name)


def _of_brands(head: bytes) -> Format | None:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, size - 3, 4))]
    if brands[0] == b"crx ":  # Canon CR3
        return RAW
    if brands[0] in _AVIF_BRANDS:
        return AVIF
    if brands[0] in _HEIF_BRANDS:
        # `mif1` says nothing about the coding, so the compatible brands decide.
        is_avif = any(brand in _AVIF_BRANDS for brand in brands) and not _names_hevc(brands)
        return AVIF if is_avif else HEIF
    if any(brand in _AVIF_BRANDS for brand in brands):
        return AVIF
    return HEIF if any(brand in _HEIF_BRANDS for brand in brands) else None


def _names_hevc(brands: list[bytes]) -> bool:
    return any(brand.startswith(b"he") for brand in brands)


def _is_raw(head: bytes, order: str) -> bool:
    """Say whether the first directory of a TIFF is that of a RAW file."""
    try:
        (start,) = struct.unpack_from(f"{order}I", head, 4)
        (count,) = struct.unpack_from(f"{order}H", head, start)
        tags = {}
        for row in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, long = struct.unpack_from(f"{order}HHII", head, row)
            tags[tag] = struct.unpack_from(f"{order}H", head, row + 8)[0] if kind == 3 else long
    except struct.error:
        return False
    if _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW):
        return True
    # Nikon, Sony, Pentax and others put a small preview first, and the RAW pixels into a directory below it.
    return tags.get(_SUBFILE_TYPE) == 1 and _SUB_DIRECTORIES in tags
