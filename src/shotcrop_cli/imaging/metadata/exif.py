"""EXIF blocks: read in spite of damage, and written anew for a crop.

Pillow writes the new block from values, so that no byte of a dropped entry, nor of the thumbnail in IFD1, can
survive in a gap. It chooses the field types anew: values are kept, but some that were UNDEFINED become BYTE, and
short LONGs become SHORT.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Literal

from PIL import ExifTags, Image

from shotcrop_cli.imaging.metadata.embedded_images import holds_picture
from shotcrop_cli.imaging.read_limit import Metered

_HEADER = b"Exif\x00\x00"
_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_POINTERS = (_EXIF, _GPS, _INTEROP)
_ORIENTATION = ExifTags.Base.Orientation
_XMP, _IPTC, _RESOURCES = 0x02BC, 0x83BB, 0x8649
_LEAKS = frozenset(
    {
        ExifTags.Base.MakerNote,  # opaque, often holds a preview and a serial number
        0x501B,  # thumbnail data of Windows GDI+
        _RESOURCES,  # image resources, which hold a thumbnail
        _IPTC,  # both judged apart
        _XMP,
    }
)
_STRUCTURE = frozenset(
    {0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117}
    | {0x011C, 0x0120, 0x0121, 0x013D, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x014A, 0x0152, 0x0153, 0x015B}
    | {0x0200, 0x0201, 0x0202, 0x0203, 0x0205, 0x0206, 0x0207, 0x0208, 0x0209, 0x0211, 0x0212, 0x0213, 0x0214}
    | {0x828D, 0x828E, 0x8773}
)
"""Tags of a TIFF's own pixel layout, true of the source file, false of a crop; with them its ICC profile (0x8773),
written apart, and its SubIFDs (0x014A), which are previews and raw images."""
_PLACES_IN_PICTURE = frozenset({0x9214, 0xA214})
"""SubjectArea and SubjectLocation, in pixels of the whole photo."""
_FIRST_PRIVATE = 0xC612
"""From here on tags are those of DNG, which tell how to develop a RAW, and paddings of other programs."""

_READ_ALLOWANCE = 1 << 20
"""Bytes that reading a block may cost beyond twice its length [O]."""
_RAW_MAGIC = (b"IIRO", b"IIRS", b"MMOR")
"""How Olympus begins files that are TIFFs otherwise."""
_CR3 = b"ftypcrx "
_CR3_SEARCHED = 1 << 16
"""Bytes in which Canon's CR3 files keep their metadata, well before preview and RAW [O]."""
_VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4}
"""Bytes per value, by TIFF's types of integers and bytes."""


@dataclass(frozen=True, slots=True)
class TiffBlocks:
    """The metadata of a TIFF, empty where it has none."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    resources: bytes = b""
    """Photoshop's image resources."""


def bare(block: bytes) -> bytes:
    """Return a block without its header, which some programs write twice."""
    return block.removeprefix(_HEADER).removeprefix(_HEADER)


def orientation(block: bytes) -> int | None:
    """Return how the stored pixels are turned, 1..8; None when the block does not say, or says nonsense.

    Only the entry itself is read, so that no damage elsewhere in the block turns the photo.
    """
    block = bare(block)
    value = _stored(block, _ORIENTATION)
    order: Literal["little", "big"] = "little" if block.startswith(b"II") else "big"
    number = int.from_bytes(value, order)
    return number if len(value) <= 4 and 1 <= number <= 8 else None


def of_crop(block: bytes, width: int, height: int, *, places: bool) -> bytes:
    """Return the block of a crop, empty when nothing is kept.

    Args:
        block: The photo's block, with or without its header.
        width: The crop's width in pixels, as written.
        height: Its height.
        places: Whether to keep the GPS directory.
    """
    dropped = _LEAKS | _STRUCTURE | _PLACES_IN_PICTURE
    written = _rewritten(block, dropped if places else dropped | {_GPS})
    if not written:
        return b""
    written[_ORIENTATION] = 1
    if _EXIF in written:
        written[_EXIF] |= {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    return written.tobytes()


def of_tiff(data: bytes) -> TiffBlocks:
    """Return the metadata inside a TIFF file, or a RAW file that is built like one or like Canon's CR3.

    A TIFF is its own EXIF block; what is returned tells nothing of the layout of its pixels and does not keep
    the file in memory.
    """
    if data[4:12] == _CR3:
        return TiffBlocks(_of_cr3(data))
    if data[:4] in _RAW_MAGIC:
        data = data[:2] + (b"*\x00" if data[:2] == b"II" else b"\x00*") + data[4:]
    written = _rewritten(data, _LEAKS | _STRUCTURE)
    return TiffBlocks(
        exif=written.tobytes() if written else b"",
        xmp=_stored(data, _XMP),
        iptc=_stored(data, _IPTC),
        resources=_stored(data, _RESOURCES),
    )


def _of_cr3(data: bytes) -> bytes:
    """Return one block of what CR3 keeps in one TIFF per directory."""
    first = _cr3_box(data, b"CMT1")
    written = _rewritten(first, _LEAKS | _STRUCTURE)
    for name, pointer in ((b"CMT2", _EXIF), (b"CMT4", _GPS)):
        directory = _read(_cr3_box(data, name))
        if directory is not None and (entries := _entries(directory, None, _LEAKS)):
            written[pointer] = entries
    return written.tobytes() if written else b""


def _cr3_box(data: bytes, name: bytes) -> bytes:
    place = data.find(name, 4, _CR3_SEARCHED)
    if place < 0:
        return b""
    size = int.from_bytes(data[place - 4 : place], "big")  # counts itself and the name
    return data[place + 4 : place - 4 + size]


def carrying(block: bytes, *, xmp: bytes = b"", iptc: bytes = b"") -> bytes:
    """Return a block that carries XMP and IPTC besides, under the tags that TIFF has for them."""
    if not xmp and not iptc:
        return block
    written = _rewritten(block, ())
    if xmp:
        written[_XMP] = xmp
    if iptc:
        written[_IPTC] = iptc
    return written.tobytes()


def exact(block: bytes) -> Image.Exif:
    """Return a block as Pillow's writers of TIFF and AVIF need it, which write it anew and would keep ASCII alone."""
    loaded = Image.Exif()
    loaded.load(block)
    for directory in (loaded, *(loaded.get_ifd(pointer) for pointer in (_EXIF, _GPS) if pointer in loaded)):
        directory.update({tag: _exact(value) for tag, value in directory.items() if isinstance(value, str)})
    return loaded


def _read(block: bytes) -> Image.Exif | None:
    stored = Image.Exif()
    block = bare(block)
    try:
        stored.load_from_fp(Metered(block, _READ_ALLOWANCE + 2 * len(block)))
    except Exception:  # hostile bytes may raise anything; metadata never costs a photo
        return None
    return stored


def _rewritten(block: bytes, dropped: Container[int]) -> Image.Exif:
    """Return what is kept of a block, without the tags to drop from whatever directory."""
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
    """Return what is kept of one directory, IFD0 for None; entries that are damaged are left out."""
    try:
        directory = stored if pointer is None else stored.get_ifd(pointer)
        tags = [tag for tag in directory if tag < _FIRST_PRIVATE and tag not in _POINTERS and tag not in dropped]
        values = {tag: _exact(directory[tag]) for tag in tags}
    except Exception:  # a directory that is absent or leads astray
        return {}
    return {tag: value for tag, value in values.items() if _harmless({tag: value}, pointer, stored.endian)}


def _exact(value: Any) -> Any:
    """Return a value so that Pillow writes it as it was: of text it would keep ASCII alone."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _harmless(entry: dict[int, Any], pointer: int | None, endian: str | None) -> bool:
    """Tell whether an entry can be written at all, and holds no picture."""
    if pointer == _INTEROP:
        entry, pointer = {_INTEROP: entry}, _EXIF
    try:
        return not holds_picture(_new(endian, entry if pointer is None else {pointer: entry}).tobytes())
    except Exception:  # values that contradict their tag: Pillow raises struct.error, TypeError, ValueError and more
        return False


def _stored(block: bytes, tag: int) -> bytes:
    """Return the bytes of an entry of IFD0, whatever type they are declared as; empty when there is none."""
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
                (behind,) = struct.unpack_from(f"{order}I", block, place + 8)
                return block[behind : behind + size]
    except (struct.error, KeyError):
        pass
    return b""
