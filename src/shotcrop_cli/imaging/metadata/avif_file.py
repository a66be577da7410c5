"""The XMP of an AVIF file: read it, and put another one in without touching the pixels.

XMP is an item of the file. Its entries say what it is (`infe`), where its data is (`iloc`) and that it describes the
primary image (`iref`). Places are counted from the start of the file, so those of all items follow when it changes.

Source: ISO/IEC 14496-12 and 23008-12.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shotcrop_cli.imaging.isobmff import boxes, top_level_boxes

_BRAND, _XMP_TYPE = b"avif", b"application/rdf+xml"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the data of an item is.

    Args:
        item: The number of the item.
        method: 0 if offsets are counted from the start of the file.
        reference: The number of the file; 0 for this one.
        extents: Index, offset and size of each part.
    """

    item: int
    method: int
    reference: int
    extents: tuple[tuple[int, int, int], ...]

    def moved(self, to: Callable[[int], int]) -> _Place:
        if self.method != 0 or self.reference != 0:
            return self
        return _Place(self.item, 0, 0, tuple((index, to(offset), size) for index, offset, size in self.extents))


def is_avif_image(content: bytes) -> bool:
    """Say whether a file is a single AVIF image. A sequence has more places that would have to follow."""
    if content[4:8] != b"ftyp":
        return False
    found = {name: content[start:end] for name, start, end in top_level_boxes(content)}
    brands = found.get(b"ftyp", b"")
    return b"moov" not in found and _BRAND in (brands[place : place + 4] for place in range(0, len(brands), 4))


def read_xmp(content: bytes) -> bytes:
    """Return the XMP of a file; empty if it has none.

    Raises:
        ValueError: The file is damaged, or stores its XMP in a way that encoders do not use.
    """
    start, end = _Avif(content).xmp_range()
    return content[start:end]


def with_xmp(content: bytes, packet: bytes) -> bytes:
    """Return a file with another XMP.

    Raises:
        ValueError: The file is damaged, or stores its XMP in a way that encoders do not use.
    """
    file = _Avif(content)
    start, end = file.xmp_range()
    grows = len(file.meta(packet, start, lambda offset: offset)) - (file.meta_end - file.meta_start)
    longer = len(packet) - (end - start)

    def moved(offset: int) -> int:
        return offset + (grows if offset >= file.meta_end else 0) + (longer if offset >= end else 0)

    place = start + (grows if start >= file.meta_end else 0)
    parts, last = [], 0
    for name, inside, stop in top_level_boxes(content):
        if name == b"meta":
            parts.append(file.meta(packet, place, moved))
        elif name == b"mdat" and inside <= start <= end <= stop:
            data = content[inside:start] + packet + content[end:stop]
            is_long = inside - last > 8
            parts.append(struct.pack(">I4sQ", 1, name, 16 + len(data)) + data if is_long else _box(name, data))
        else:
            parts.append(content[last:stop])
        last = stop
    return b"".join(parts)


class _Avif:
    """The entries of the items of a file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        last = 0
        self.meta_end = self._inside_mdat = 0
        for name, inside, end in top_level_boxes(content):
            if name == b"meta" and not self.meta_end:
                self.meta_start, self.meta_end = last, end
                self._parts = [(kind, content[start:stop]) for kind, start, stop in boxes(content, inside + 4, end)]
                self._full_box = content[inside : inside + 4]
            elif name == b"mdat":
                self._inside_mdat = self._inside_mdat or inside
            last = end
        known = dict(self._parts) if self.meta_end else {}
        if last != len(content) or not self._inside_mdat or not {b"pitm", b"iinf", b"iloc"} <= known.keys():
            raise ValueError("a box is missing or cut off")
        pitm = known[b"pitm"]
        (self._primary,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
        self._places = _read_places(known[b"iloc"])
        self._xmp = _xmp_item(known[b"iinf"])

    def xmp_range(self) -> tuple[int, int]:
        """Return where the XMP is, or an empty range where it can be."""
        if self._xmp is None:
            return self._inside_mdat, self._inside_mdat
        (place,) = (one for one in self._places if one.item == self._xmp)
        if place.method != 0 or place.reference != 0 or len(place.extents) != 1:
            raise ValueError("its XMP is in an unusual place")
        _, start, size = place.extents[0]
        return start, start + size

    def meta(self, packet: bytes, start: int, moved: Callable[[int], int]) -> bytes:
        """Return the `meta` box for another XMP.

        Args:
            packet: The XMP.
            start: Where it will be.
            moved: Says where other data will be.
        """
        item = self._xmp or 1 + max((one.item for one in self._places), default=0)
        places = [one.moved(moved) for one in self._places if one.item != item]
        places.append(_Place(item, 0, 0, ((0, start, len(packet)),)))
        parts = []
        for name, data in self._parts:
            if name == b"iloc":
                data = _written_places(data[0], sorted(places, key=lambda one: one.item))
            elif name == b"iinf" and self._xmp is None:
                data = _with_entry(data, item)
            elif name == b"iref" and self._xmp is None:
                data += _reference(item, self._primary, is_wide=bool(data[0]))
            parts.append(_box(name, data))
        if self._xmp is None and b"iref" not in dict(self._parts):
            is_wide = max(item, self._primary) > 0xFFFF
            parts.append(_box(b"iref", bytes((is_wide, 0, 0, 0)) + _reference(item, self._primary, is_wide=is_wide)))
        return _box(b"meta", self._full_box + b"".join(parts))


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), name) + data


def _xmp_item(iinf: bytes) -> int | None:
    for name, start, end in boxes(iinf, 8 if iinf[0] else 6, len(iinf)):
        if name != b"infe" or iinf[start] < 2:
            continue
        layout = ">H2x4s" if iinf[start] == 2 else ">I2x4s"
        item, kind = struct.unpack_from(layout, iinf, start + 4)
        texts = iinf[start + 4 + struct.calcsize(layout) : end].split(b"\x00")
        if kind == b"mime" and texts[1:2] == [_XMP_TYPE]:
            return int(item)
    return None


def _with_entry(iinf: bytes, item: int) -> bytes:
    version = 2 if item <= 0xFFFF else 3
    number = struct.pack(">H" if version == 2 else ">I", item)
    entry = _box(b"infe", bytes((version, 0, 0, 0)) + number + b"\x00\x00mimeXMP\x00" + _XMP_TYPE + b"\x00")
    layout = ">I" if iinf[0] else ">H"
    (count,) = struct.unpack_from(layout, iinf, 4)
    return iinf[:4] + struct.pack(layout, count + 1) + iinf[4 + struct.calcsize(layout) :] + entry


def _reference(item: int, primary: int, *, is_wide: bool) -> bytes:
    return _box(b"cdsc", struct.pack(">IHI" if is_wide else ">HHH", item, 1, primary))


def _read_places(iloc: bytes) -> list[_Place]:
    version = iloc[0]
    if version > 2:
        raise ValueError("its places are of an unknown version")
    offset_size, length_size = iloc[4] >> 4, iloc[4] & 15
    base_size, index_size = iloc[5] >> 4, iloc[5] & 15 if version else 0
    place = 6

    def number(size: int) -> int:
        nonlocal place
        if place + size > len(iloc):
            raise ValueError("its places are cut off")
        place += size
        return int.from_bytes(iloc[place - size : place], "big")

    wide = 4 if version == 2 else 2
    places = []
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        reference, base = number(2), number(base_size)
        extents = tuple((number(index_size), base + number(offset_size), number(length_size)) for _ in range(number(2)))
        if any(size == 0 for _, _, size in extents):
            raise ValueError("an item has no size")
        places.append(_Place(item, method, reference, extents))
    return places


def _written_places(version: int, places: Sequence[_Place]) -> bytes:
    """Return the content of an `iloc` box whose offsets and sizes have four bytes each."""
    index_size = 4 if version else 0
    number = ">I" if version == 2 else ">H"
    parts = [bytes((version, 0, 0, 0, 0x44, index_size)), struct.pack(number, len(places))]
    for one in places:
        parts.append(struct.pack(number, one.item) + (struct.pack(">H", one.method) if version else b""))
        parts.append(struct.pack(">HH", one.reference, len(one.extents)))
        for index, offset, size in one.extents:
            parts.append((struct.pack(">I", index) if version else b"") + struct.pack(">II", offset, size))
    return b"".join(parts)
