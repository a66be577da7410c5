"""EXIF blocks: read them in spite of damage, and write new ones for crops.

A new block is put together from the entries that are kept, with their own types. So no byte of a dropped entry, or of
the thumbnail in IFD1, can survive in a gap.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from dataclasses import dataclass
from fractions import Fraction

from shotcrop_cli.imaging.metadata.directories import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    UTF_8,
    Directory,
    DirectoryReader,
    Entry,
    Order,
    Tree,
)
from shotcrop_cli.imaging.metadata.embedded_images import contains_image
from shotcrop_cli.imaging.metadata.resolution import Resolution, Unit, valid_resolution
from shotcrop_cli.imaging.metadata.xmp_names import has_coordinates

_HEADER = b"Exif\x00\x00"
_EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005
_POINTERS = (_EXIF, _GPS, _INTEROP)
_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0xA002, 0xA003
_COLOUR_SPACE, _SRGB, _INTEROP_INDEX = 0xA001, 1, 0x0001
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_XMP, _IPTC, _RESOURCES = 0x02BC, 0x83BB, 0x8649
_NEVER_KEPT = frozenset(
    {
        0x927C,  # MakerNote: opaque, often holds a preview and a serial number
        *range(0x5012, 0x503C),  # thumbnails of Windows GDI+
        0x935C,  # layers of Photoshop
        _RESOURCES,  # image resources, which hold a thumbnail
        0x8568,  # IPTC again
        _IPTC,  # IPTC and XMP have modules of their own
        _XMP,
    }
)
_YCBCR_CODING = frozenset({0x0211, 0x0213, 0x0214})
"""YCbCrCoefficients, YCbCrPositioning and ReferenceBlackWhite. EXIF blocks have them for JPEG, TIFF files for their own
pixels."""
_PIXEL_LAYOUT = frozenset(
    {0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117, 0x0118, 0x0119}
    | {0x011C, 0x0120, 0x0121, *range(0x0122, 0x0126), 0x013D, 0x0140, *range(0x0142, 0x014F), 0x0150, 0x0151, 0x0152}
    | {*range(0x0153, 0x015C), 0x015F, *range(0x0190, 0x0196), 0x01B1, 0x01B2, *range(0x0200, 0x020A), 0x0212}
    | {*range(0x80E3, 0x80E7), 0x828D, 0x828E, 0x8773, 0x87BE, *range(0xBC01, 0xBCC5)}
)
"""Tags for the pixel layout of a TIFF file, which are wrong for a crop. Also its ICC profile (0x8773), which is written
separately, and its SubIFDs (0x014A), which are previews and raw images."""
_MAP_POSITION = frozenset({0x8482, 0x85D8, 0x8480})
"""Places of a GeoTIFF on the map: tie points, a transformation, or an older one of Intergraph."""
_GEO_TIFF = _MAP_POSITION | {0x830E, 0x847E, 0x847F, 0x87AF, 0x87B0, 0x87B1, 0xA480, 0xA481}
"""All tags of GeoTIFF and GDAL. They map the pixels of the whole photo. Source: OGC 19-008r4, annex on tags."""
_WHOLE_PHOTO_ONLY = _GEO_TIFF | {
    *(0x9214, 0xA214),  # SubjectArea and SubjectLocation, in pixels of the whole photo
    *(0xA420, 0x9211),  # ImageUniqueID and ImageNumber: a crop is another image
    0x9213,  # ImageHistory
    0x9102,  # CompressedBitsPerPixel
    0xA004,  # RelatedSoundFile
    *(0x1001, 0x1002),  # size of the whole photo
    *(0x5090, 0x5091),  # quantisation tables of Windows GDI+
}
_SERIAL_NUMBERS = frozenset({0xA431, 0xA435})
"""Of the camera and the lens: they link a crop with all other photos of the same camera."""
_TEXTS = frozenset(
    {0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012}
    | {0x9290, 0x9291, 0x9292, 0xA430, 0xA431, 0xA433, 0xA434, 0xA435}
)
"""Tags of texts. An entry under them with another type is damaged."""
_TEXT_KINDS = (ASCII, UTF_8, BYTE, UNDEFINED)
_FIRST_PRIVATE = 0xC612
"""From this tag on, tags belong to DNG, which say how to develop a RAW, or are padding of other programs."""
_XP_KEYWORDS = 0x9C9E
"""Keywords of Windows in UTF-16, with semicolons between them."""
_GPS_POSITION = (0x0002, 0x0004)
"""Latitude and longitude."""
_NOT_IN_TIFF = frozenset({0x9101, _WIDTH, _HEIGHT})
"""ComponentsConfiguration and the size of the image, which EXIF does not allow in a TIFF file."""
_YCBCR_POSITIONING, _CENTRED = 0x0213, 1
_INCH = 2
_UNKNOWN_RESOLUTION = Resolution(1, 1, Unit.NONE)
_UNITS = {1: Unit.NONE, 2: Unit.INCH, 3: Unit.CENTIMETRE}
"""By the number that EXIF and TIFF use."""

_CR3 = b"ftypcrx "
_CR3_SEARCHED_BYTES = 1 << 16
"""Only these first bytes of a CR3 file are searched (our choice): metadata comes well before preview and RAW data."""


DESCRIPTION = 0x010E
"""The tag `ImageDescription`."""
_CAMERA_TEXTS = (
    *("OLYMPUS DIGITAL CAMERA", "SONY DSC", "DCIM", "DIGITAL CAMERA", "SAMSUNG CAMERA PICTURES", "KONICA MINOLTA"),
    *("MINOLTA DIGITAL CAMERA", "SAMSUNG DIGITAL CAMERA", "DEFAULT", "CREATED BY CAMERA", "CAMERA PHONE", "UNTITLED"),
)
"""Descriptions that cameras write into every photo. No person wrote them."""


@dataclass(frozen=True, slots=True)
class TiffMetadata:
    """The metadata blocks of a TIFF file; a field is empty if there is none."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    resources: bytes = b""
    """Photoshop's image resources."""


class ExifBlock:
    """An EXIF block that was read, without the tags in `dropped`.

    Args:
        block: The block, with or without its header; or a TIFF file, which is its own block.
        dropped: Tags to leave out, in whatever directory.
    """

    def __init__(self, block: bytes, dropped: Container[int] = ()) -> None:
        reader = DirectoryReader(strip_header(block))
        self.order = reader.order
        main, camera = _kept(reader.first(dropped), dropped), Tree()
        if _EXIF not in dropped:
            stored = reader.below(_EXIF)
            camera = Tree(_kept(stored, dropped), {_INTEROP: Tree(_kept(reader.below(_INTEROP, stored), dropped))})
        gps = {} if _GPS in dropped else _kept(reader.below(_GPS), dropped)
        self.tree = Tree(main, {_EXIF: camera, _GPS: Tree(gps)})

    @property
    def main(self) -> Directory:
        """IFD0: what TIFF files have, too."""
        return self.tree.entries

    @property
    def camera(self) -> Directory:
        """The Exif directory: how the photo was taken."""
        return self.tree.children[_EXIF].entries

    @property
    def gps(self) -> Directory:
        """The GPS directory."""
        return self.tree.children[_GPS].entries

    def to_bytes(self) -> bytes:
        """Serialise; empty if there are no entries."""
        if not self.tree:
            return b""
        magic = b"II*\x00" if self.order == "<" else b"MM\x00*"
        return _HEADER + magic + struct.pack(f"{self.order}I", 8) + self.tree.to_bytes(self.order, 8)

    @property
    def has_position(self) -> bool:
        """Whether it says where the photo was taken, or where a GeoTIFF is on the map."""
        return (
            any(tag in self.gps for tag in _GPS_POSITION)
            or self.is_on_a_map
            or any(map(has_coordinates, self.keywords))
        )

    @property
    def is_on_a_map(self) -> bool:
        """Whether it is a GeoTIFF that says where on the map its pixels are."""
        return any(tag in self.main for tag in _MAP_POSITION)

    @property
    def keywords(self) -> list[str]:
        """The keywords of Windows."""
        entry = self.main.get(_XP_KEYWORDS)
        return [] if entry is None else entry.value.decode("utf-16-le", "replace").rstrip("\x00").split(";")

    @keywords.setter
    def keywords(self, keywords: list[str]) -> None:
        text = "".join((";".join(keywords), "\x00"))
        self.main[_XP_KEYWORDS] = Entry(BYTE, text.encode("utf-16-le", "replace"))

    def text(self, directory: Directory, tag: int) -> str:
        """Return a text without padding; empty if the tag is absent or not a text."""
        entry = directory.get(tag)
        if entry is None or entry.kind not in _TEXT_KINDS:
            return ""
        return entry.value.partition(b"\x00")[0].decode("utf-8", "replace").strip()

    def resolution(self) -> Resolution | None:
        """Return the pixels per inch or centimetre; None if they are absent or invalid."""
        sides = [self._rational(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
        unit = self.main.get(_RESOLUTION_UNIT)
        number = unit.numbers(self.order)[:1] if unit is not None else (2,)
        return valid_resolution(sides[0], sides[1], _UNITS.get(number[0]) if number else None)

    def _rational(self, tag: int) -> float:
        entry = self.main.get(tag)
        if entry is None or entry.kind != RATIONAL:
            return 0.0
        above, below = struct.unpack(f"{self.order}II", entry.value[:8])
        return above / below if below else 0.0


def _kept(directory: Directory, dropped: Container[int]) -> Directory:
    return {
        tag: entry
        for tag, entry in directory.items()
        if tag < _FIRST_PRIVATE
        and tag not in _POINTERS
        and tag not in dropped
        and (tag not in _TEXTS or entry.kind in _TEXT_KINDS)
        and not contains_image(entry.value)
    }


def strip_header(block: bytes) -> bytes:
    """Return a block without its `Exif` header, which some programs write twice."""
    return block.removeprefix(_HEADER).removeprefix(_HEADER)


def is_on_a_map(block: bytes) -> bool:
    """Return whether a block is of a GeoTIFF that says where on the map its pixels are."""
    return bool(block) and ExifBlock(block).is_on_a_map


def orientation(block: bytes) -> int | None:
    """Return the EXIF orientation of the stored pixels, 1 to 8; 0 if it is invalid, and None if it is absent.

    This reads only the entry itself, so that damage elsewhere in the block does not turn the photo.
    """
    reader = DirectoryReader(strip_header(block))
    entry = reader.entry(_ORIENTATION)
    if entry is None:
        return None
    numbers = entry.numbers(reader.order)
    return numbers[0] if len(numbers) == 1 and 1 <= numbers[0] <= 8 else 0


def for_crop(block: bytes, width: int, height: int, *, keep_gps: bool, turned: bool = False) -> bytes:
    """Return the block for a crop, empty if nothing is kept.

    Args:
        block: The photo's block, with or without its header.
        width: Width of the written crop in pixels.
        height: Its height in pixels.
        keep_gps: Whether to keep what the policy `all` keeps: the GPS directory and serial numbers.
        turned: Whether the photo was turned by 90 degrees to make it upright.
    """
    dropped = _NEVER_KEPT | _PIXEL_LAYOUT | _WHOLE_PHOTO_ONLY
    written = ExifBlock(block, dropped if keep_gps else dropped | _SERIAL_NUMBERS | {_GPS})
    if not written.tree:
        return b""
    if not keep_gps and any(map(has_coordinates, written.keywords)):
        written.keywords = [keyword for keyword in written.keywords if not has_coordinates(keyword)]
    written.main[_ORIENTATION] = Entry(SHORT, struct.pack(f"{written.order}H", 1))
    if turned and _X_RESOLUTION in written.main and _Y_RESOLUTION in written.main:
        horizontal, vertical = written.main[_X_RESOLUTION], written.main[_Y_RESOLUTION]
        written.main.update({_X_RESOLUTION: vertical, _Y_RESOLUTION: horizontal})
    if written.camera:
        for tag, length in ((_WIDTH, width), (_HEIGHT, height)):
            kind = written.camera[tag].kind if tag in written.camera else LONG
            letter = "H" if kind == SHORT and length < 1 << 16 else "I"
            written.camera[tag] = Entry(SHORT if letter == "H" else LONG, struct.pack(written.order + letter, length))
    return written.to_bytes()


def from_tiff(data: bytes) -> TiffMetadata:
    """Return the metadata of a TIFF or BigTIFF file, or of a RAW file with their structure or that of Canon's CR3.

    A TIFF file is its own EXIF block. The returned block leaves out the pixel layout and does not keep the file in
    memory.
    """
    if data[4:12] == _CR3:
        return TiffMetadata(_from_cr3(data))
    reader = DirectoryReader(data)
    xmp, iptc, resources = (reader.entry(tag) for tag in (_XMP, _IPTC, _RESOURCES))
    return TiffMetadata(
        exif=ExifBlock(data, _NEVER_KEPT | _PIXEL_LAYOUT | _YCBCR_CODING).to_bytes(),
        xmp=xmp.value if xmp is not None else b"",
        iptc=iptc.value if iptc is not None else b"",
        resources=resources.value if resources is not None else b"",
    )


def _from_cr3(data: bytes) -> bytes:
    """Return one EXIF block made of the directories of a CR3 file, each of which is a TIFF of its own."""
    block = ExifBlock(_cr3_box(data, b"CMT1"), _NEVER_KEPT | _PIXEL_LAYOUT | _YCBCR_CODING)
    for name, pointer in ((b"CMT2", _EXIF), (b"CMT4", _GPS)):
        directory = ExifBlock(_cr3_box(data, name), _NEVER_KEPT)
        entries = directory.main
        if directory.order != block.order:
            entries = {tag: entry.swapped() for tag, entry in entries.items()}
        block.tree.children[pointer].entries |= entries
    return block.to_bytes()


def _cr3_box(data: bytes, name: bytes) -> bytes:
    place = data.find(name, 4, _CR3_SEARCHED_BYTES)
    if place < 0:
        return b""
    size = int.from_bytes(data[place - 4 : place], "big")  # counts itself and the name
    return data[place + 4 : place - 4 + size]


def with_resolution(block: bytes, resolution: Resolution) -> bytes:
    """Return a block with a resolution, unless it has one."""
    written = ExifBlock(block)
    _add_resolution(written, resolution)
    return written.to_bytes()


def is_camera_text(text: str) -> bool:
    """Return whether a description is one that cameras write into every photo."""
    words = " ".join(text.replace("\x00", " ").upper().split())
    return not words.strip("._-") or words in _CAMERA_TEXTS


def without_description(block: bytes, *, of_cameras_only: bool) -> bytes:
    """Return a block without the description of the photo.

    Args:
        block: The block; empty for none.
        of_cameras_only: Whether to leave out only a text that the camera wrote.
    """
    written = ExifBlock(block) if block else None
    entry = None if written is None else written.main.get(DESCRIPTION)
    if written is None or entry is None:
        return block
    if of_cameras_only and not is_camera_text(entry.value.decode("latin-1")):
        return block
    del written.main[DESCRIPTION]
    return written.to_bytes()


def as_srgb(block: bytes) -> bytes:
    """Return a block that says that the pixels are sRGB, for pixels that were converted."""
    written = ExifBlock(block)
    written.camera[_COLOUR_SPACE] = Entry(SHORT, struct.pack(f"{written.order}H", _SRGB))
    interop = written.tree.children[_EXIF].children[_INTEROP].entries
    if _INTEROP_INDEX in interop:
        interop[_INTEROP_INDEX] = Entry(ASCII, b"R98\x00")
    return written.to_bytes()


def for_jpeg(block: bytes, limit: int) -> tuple[bytes, int]:
    """Return a block for a JPEG, and how many bytes of its longest entries were left out to make it fit.

    It has the tags that EXIF requires in a JPEG, with values that say nothing if they are unknown.

    Args:
        block: The block.
        limit: Most bytes that the new block may have, with its header.
    """
    written = ExifBlock(block)
    if not written.tree:
        return b"", 0
    _add_resolution(written, _UNKNOWN_RESOLUTION)
    written.main.setdefault(_YCBCR_POSITIONING, Entry(SHORT, struct.pack(f"{written.order}H", _CENTRED)))
    left_out = 0
    while (excess := len(content := written.to_bytes()) - limit) > 0:
        places = [
            (len(entry.value), tag, stored) for stored in written.tree.directories() for tag, entry in stored.items()
        ]
        for size, tag, stored in sorted(places, key=lambda place: -place[0]):
            del stored[tag]
            left_out += size
            excess -= size
            if excess <= 0:
                break
    return content, left_out


def _add_resolution(block: ExifBlock, resolution: Resolution) -> None:
    if _X_RESOLUTION in block.main and _Y_RESOLUTION in block.main:
        block.main.setdefault(_RESOLUTION_UNIT, Entry(SHORT, struct.pack(f"{block.order}H", _INCH)))
        return
    for tag, value in ((_X_RESOLUTION, resolution.x), (_Y_RESOLUTION, resolution.y)):
        ratio = Fraction(value).limit_denominator(10_000)
        block.main[tag] = Entry(RATIONAL, struct.pack(f"{block.order}II", ratio.numerator, ratio.denominator))
    number = next(number for number, unit in _UNITS.items() if unit is resolution.unit)
    block.main[_RESOLUTION_UNIT] = Entry(SHORT, struct.pack(f"{block.order}H", number))


def add_iptc(block: bytes, iptc: bytes) -> bytes:
    """Return a block with IPTC added, under the TIFF tag for it."""
    if not iptc:
        return block
    written = ExifBlock(block)
    written.main[_IPTC] = _iptc_entry(iptc)
    return written.to_bytes()


def _iptc_entry(iptc: bytes) -> Entry:
    return Entry(LONG, iptc + bytes(-len(iptc) % 4))  # TIFF readers expect this type, whatever the byte order


def without_orientation(block: bytes) -> bytes:
    """Return a block without its orientation. Pillow would rewrite a block that has one for AVIF."""
    return ExifBlock(block, {_ORIENTATION}).to_bytes()


def insert_into_tiff(content: bytes, block: bytes, *, xmp: bytes = b"", iptc: bytes = b"") -> bytes:
    """Return a TIFF file with the entries of a block, XMP and IPTC.

    Pillow would change their types, and libtiff, which writes all compressed files, refuses many. So a new directory at
    the end has the rows of the stored one and those of the block.

    Args:
        content: A TIFF file with one image, as Pillow writes it.
        block: An EXIF block.
        xmp: An XMP packet.
        iptc: An IPTC block.
    """
    added = ExifBlock(block, _YCBCR_CODING | _NOT_IN_TIFF)
    _add_resolution(added, _UNKNOWN_RESOLUTION)
    order: Order = "<" if content[:2] == b"II" else ">"
    tree = added.tree if added.order == order else added.tree.swapped()
    if xmp:
        tree.entries[_XMP] = Entry(BYTE, xmp)
    if iptc:
        tree.entries[_IPTC] = _iptc_entry(iptc)
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    rows = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        rows[struct.unpack_from(f"{order}H", content, place)[0]] = content[place : place + 12]
    tree.entries = {tag: entry for tag, entry in tree.entries.items() if tag not in rows}
    padded = content + b"\x00" * (len(content) % 2)
    directory = tree.to_bytes(order, len(padded), rows)
    return padded[:4] + struct.pack(f"{order}I", len(padded)) + padded[8:] + directory
