"""EXIF blocks: read them in spite of damage, and write new ones for crops.

Pillow writes the new block from values. So no byte of a dropped entry, or of the thumbnail in IFD1, can survive in a
gap. Pillow chooses the field types: values are kept, but some UNDEFINED fields become BYTE, and short LONGs become
SHORT.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Literal

from PIL import ExifTags, Image

from shotcrop_cli.imaging.metadata.embedded_images import contains_image
from shotcrop_cli.imaging.read_limit import LimitedReader

_HEADER = b"Exif\x00\x00"
_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_POINTERS = (_EXIF, _GPS, _INTEROP)
_ORIENTATION = ExifTags.Base.Orientation
_XMP, _IPTC, _RESOURCES = 0x02BC, 0x83BB, 0x8649
_NEVER_KEPT = frozenset(
    {
        ExifTags.Base.MakerNote,  # opaque, often holds a preview and a serial number
        0x501B,  # thumbnail data of Windows GDI+
        _RESOURCES,  # image resources, which hold a thumbnail
        _IPTC,  # IPTC and XMP have modules of their own
        _XMP,
    }
)
_PIXEL_LAYOUT = frozenset(
    {0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117}
    | {0x011C, 0x0120, 0x0121, 0x013D, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x014A, 0x0152, 0x0153, 0x015B}
    | {0x0200, 0x0201, 0x0202, 0x0203, 0x0205, 0x0206, 0x0207, 0x0208, 0x0209, 0x0211, 0x0212, 0x0213, 0x0214}
    | {0x828D, 0x828E, 0x8773}
)
"""Tags for the pixel layout of a TIFF file, which are wrong for a crop. Also its ICC profile (0x8773), which is written
separately, and its SubIFDs (0x014A), which are previews and raw images."""
_SUBJECT_POSITION = frozenset({0x9214, 0xA214})
"""SubjectArea and SubjectLocation, in pixels of the whole photo."""
_FIRST_PRIVATE = 0xC612
"""From this tag on, tags belong to DNG, which say how to develop a RAW, or are padding of other programs."""

_READ_MARGIN_BYTES = 1 << 20
"""Reading a block may take twice its length plus these bytes (our choice)."""
_RAW_MAGIC = (b"IIRO", b"IIRS", b"MMOR")
"""First bytes of Olympus RAW files, which otherwise have the structure of TIFF."""
_CR3 = b"ftypcrx "
_CR3_SEARCHED_BYTES = 1 << 16
"""Only these first bytes of a CR3 file are searched (our choice): metadata comes well before preview and RAW data."""
_VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4}
"""Bytes per value, by the number of the TIFF type: integers and bytes."""


@dataclass(frozen=True, slots=True)
class TiffMetadata:
    """The metadata blocks of a TIFF file; a field is empty if there is none."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    resources: bytes = b""
    """Photoshop's image resources."""


def strip_header(block: bytes) -> bytes:
    """Return a block without its `Exif` header, which some programs write twice."""
    return block.removeprefix(_HEADER).removeprefix(_HEADER)


def orientation(block: bytes) -> int | None:
    """Return the EXIF orientation of the stored pixels, 1 to 8; None if it is absent or invalid.

    This reads only the entry itself, so that damage elsewhere in the block does not turn the photo.
    """
    block = strip_header(block)
    value = _raw_entry(block, _ORIENTATION)
    order: Literal["little", "big"] = "little" if block.startswith(b"II") else "big"
    number = int.from_bytes(value, order)
    return number if len(value) <= 4 and 1 <= number <= 8 else None


def for_crop(block: bytes, width: int, height: int, *, keep_gps: bool) -> bytes:
    """Return the block for a crop, empty if nothing is kept.

    Args:
        block: The photo's block, with or without its header.
        width: Width of the written crop in pixels.
        height: Its height in pixels.
        keep_gps: Whether to keep the GPS directory.
    """
    dropped = _NEVER_KEPT | _PIXEL_LAYOUT | _SUBJECT_POSITION
    written = _rewrite(block, dropped if keep_gps else dropped | {_GPS})
    if not written:
        return b""
    written[_ORIENTATION] = 1
    if _EXIF in written:
        written[_EXIF] |= {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    return written.tobytes()


def from_tiff(data: bytes) -> TiffMetadata:
    """Return the metadata of a TIFF file, or of a RAW file with the structure of TIFF or of Canon's CR3.

    A TIFF file is its own EXIF block. The returned block leaves out the pixel layout and does not keep the file in
    memory.
    """
    if data[4:12] == _CR3:
        return TiffMetadata(_from_cr3(data))
    if data[:4] in _RAW_MAGIC:
        data = data[:2] + (b"*\x00" if data[:2] == b"II" else b"\x00*") + data[4:]
    written = _rewrite(data, _NEVER_KEPT | _PIXEL_LAYOUT)
    return TiffMetadata(
        exif=written.tobytes() if written else b"",
        xmp=_raw_entry(data, _XMP),
        iptc=_raw_entry(data, _IPTC),
        resources=_raw_entry(data, _RESOURCES),
    )


def _from_cr3(data: bytes) -> bytes:
    """Return one EXIF block made of the directories of a CR3 file, each of which is a TIFF of its own."""
    first = _cr3_box(data, b"CMT1")
    written = _rewrite(first, _NEVER_KEPT | _PIXEL_LAYOUT)
    for name, pointer in ((b"CMT2", _EXIF), (b"CMT4", _GPS)):
        directory = _read(_cr3_box(data, name))
        if directory is not None and (entries := _entries(directory, None, _NEVER_KEPT)):
            written[pointer] = entries
    return written.tobytes() if written else b""


def _cr3_box(data: bytes, name: bytes) -> bytes:
    place = data.find(name, 4, _CR3_SEARCHED_BYTES)
    if place < 0:
        return b""
    size = int.from_bytes(data[place - 4 : place], "big")  # counts itself and the name
    return data[place + 4 : place - 4 + size]


def add_xmp_and_iptc(block: bytes, *, xmp: bytes = b"", iptc: bytes = b"") -> bytes:
    """Return a block with XMP and IPTC added, under the TIFF tags for them."""
    if not xmp and not iptc:
        return block
    written = _rewrite(block, ())
    if xmp:
        written[_XMP] = xmp
    if iptc:
        written[_IPTC] = iptc
    return written.tobytes()


def to_pillow(block: bytes) -> Image.Exif:
    """Return a block for Pillow's writers of TIFF and AVIF, which rewrite it and would keep only ASCII text."""
    loaded = Image.Exif()
    loaded.load(block)
    for directory in (loaded, *(loaded.get_ifd(pointer) for pointer in (_EXIF, _GPS) if pointer in loaded)):
        directory.update({tag: _keep_text(value) for tag, value in directory.items() if isinstance(value, str)})
    return loaded


def _read(block: bytes) -> Image.Exif | None:
    stored = Image.Exif()
    block = strip_header(block)
    try:
        stored.load_from_fp(LimitedReader(block, _READ_MARGIN_BYTES + 2 * len(block)))
    except Exception:  # hostile bytes may raise anything; bad metadata must not fail a photo
        return None
    return stored


def _rewrite(block: bytes, dropped: Container[int]) -> Image.Exif:
    """Return a new block without the tags in `dropped`, from whatever directory."""
    stored = _read(block)
    if stored is None:
        return _new(None, {})
    written = _new(stored.endian, _entries(stored, None, dropped))
    for pointer in (_EXIF, _GPS):
        if pointer not in dropped and (entries := _entries(stored, pointer, dropped)):
            written[pointer] = entries
    if interop := _entries(stored, _INTEROP, dropped):
        written[_EXIF] = {**written.get(_EXIF, {}), _INTEROP: interop}
    return written


def _new(endian: str | None, entries: dict[int, Any]) -> Image.Exif:
    exif = Image.Exif()
    exif.endian = endian  # some values, such as comments in Unicode, depend on it
    exif.update(entries)
    return exif


def _entries(stored: Image.Exif, pointer: int | None, dropped: Container[int]) -> dict[int, Any]:
    """Return the kept entries of one directory, IFD0 for None. Damaged entries are left out."""
    try:
        directory = stored if pointer is None else stored.get_ifd(pointer)
        tags = [tag for tag in directory if tag < _FIRST_PRIVATE and tag not in _POINTERS and tag not in dropped]
        values = {tag: _keep_text(directory[tag]) for tag in tags}
    except Exception:  # the directory is absent, or its offset is wrong
        return {}
    return {tag: value for tag, value in values.items() if _is_safe({tag: value}, pointer, stored.endian)}


def _keep_text(value: Any) -> Any:
    """Return a value that Pillow writes unchanged: of a text it would keep only ASCII."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _is_safe(entry: dict[int, Any], pointer: int | None, endian: str | None) -> bool:
    """Return whether an entry can be written and holds no image."""
    if pointer == _INTEROP:
        entry, pointer = {_INTEROP: entry}, _EXIF
    try:
        return not contains_image(_new(endian, entry if pointer is None else {pointer: entry}).tobytes())
    except Exception:  # values that contradict their tag: Pillow raises struct.error, TypeError, ValueError and more
        return False


def _raw_entry(block: bytes, tag: int) -> bytes:
    """Return the bytes of an entry of IFD0, whatever type it declares; empty if there is none."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        return b""
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            found, kind, values = struct.unpack_from(f"{order}HHI", block, place)
            if found == tag:
                size = _VALUE_SIZES[kind] * values
                if size <= 4:
                    return block[place + 8 : place + 8 + size]
                (offset,) = struct.unpack_from(f"{order}I", block, place + 8)
                return block[offset : offset + size]
    except (struct.error, KeyError):
        pass
    return b""
