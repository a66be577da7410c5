"""The boxes of AVIF and HEIF files: items, their properties and where their data is.

Source: ISO/IEC 14496-12 and 23008-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_MAX_BOXES = 20_000
"""Boxes and entries that are read of one file (our choice). Photos of phones have about 500."""


@dataclass(slots=True)
class Items:
    """The items of a file: its images and metadata.

    Args:
        primary: Number of the image that viewers show, 0 if there is none.
        types: Type of each item, such as `av01` or `grid`.
        places: Offset and size in the file of the first part of each item's data.
        properties: Name and content of each item's properties, such as `colr`.
        references: Kind, item, and the items it refers to.
    """

    primary: int = 0
    types: dict[int, bytes] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    properties: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)

    def of_primary(self, name: bytes) -> Iterator[bytes]:
        """Yield the content of the properties of the primary image that have a name."""
        return (content for found, content in self.properties.get(self.primary, ()) if found == name)

    def coded(self, item: int) -> int:
        """Return an item that holds coded pixels of an image: the first tile of a grid, otherwise the image."""
        tiles = (to[0] for kind, start, to in self.references if (kind, start) == (b"dimg", item) and to)
        return next(tiles, item)


def top_level_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of the outer boxes of a file."""
    return boxes(data, 0, len(data))


def read_items(data: bytes) -> Items:
    """Return the items of a file. What is damaged is left out."""
    items = Items()
    try:
        for name, start, end in top_level_boxes(data):
            if name == b"meta":
                _read_meta(data, start + 4, end, items)
                break
    except (struct.error, IndexError):
        pass
    return items


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of the boxes between two places of a file."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = end if size == 0 else start + size
        if stop < content or stop > end:
            return
        yield name, content, stop
        start = stop


def _read_meta(data: bytes, start: int, end: int, items: Items) -> None:
    found = {name: (start, end) for name, start, end in boxes(data, start, end)}
    if b"pitm" in found:
        place, _ = found[b"pitm"]
        (items.primary,) = struct.unpack_from(">I" if data[place] else ">H", data, place + 4)
    if b"iinf" in found:
        place, stop = found[b"iinf"]
        for name, entry, _ in boxes(data, place + (8 if data[place] else 6), stop):
            if name == b"infe" and data[entry] >= 2:
                layout = ">H2x4s" if data[entry] == 2 else ">I2x4s"
                item, kind = struct.unpack_from(layout, data, entry + 4)
                items.types[item] = kind
    if b"iloc" in found:
        _read_places(data, *found[b"iloc"], items, found.get(b"idat", (0, 0))[0])
    if b"iprp" in found:
        _read_properties(data, *found[b"iprp"], items)
    if b"iref" in found:
        place, stop = found[b"iref"]
        number = "I" if data[place] else "H"
        width = struct.calcsize(f">{number}")
        for kind, entry, _ in boxes(data, place + 4, stop):
            item, count = struct.unpack_from(f">{number}H", data, entry)
            targets = struct.unpack_from(f">{min(count, _MAX_BOXES)}{number}", data, entry + width + 2)
            items.references.append((kind, item, targets))


def _read_places(data: bytes, start: int, end: int, items: Items, idat: int) -> None:
    version = data[start]
    sizes = struct.unpack_from(">H", data, start + 4)[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    place = start + 6
    count = int.from_bytes(data[place : place + (4 if version == 2 else 2)], "big")
    place += 4 if version == 2 else 2
    for _ in range(min(count, _MAX_BOXES)):
        item = int.from_bytes(data[place : place + (4 if version == 2 else 2)], "big")
        place += 4 if version == 2 else 2
        method = 0
        if version:
            method = data[place + 1] & 15
            place += 2
        place += 2  # the data reference
        base = int.from_bytes(data[place : place + base_size], "big")
        extents = int.from_bytes(data[place + base_size : place + base_size + 2], "big")
        place += base_size + 2
        first = place + index_size
        if extents and method <= 1 and first + offset_size + length_size <= end:
            offset = base + int.from_bytes(data[first : first + offset_size], "big")
            first += offset_size
            length = int.from_bytes(data[first : first + length_size], "big")
            items.places[item] = (offset + (idat if method == 1 else 0), length)
        place += extents * (index_size + offset_size + length_size)
        if place > end:
            return


def _read_properties(data: bytes, start: int, end: int, items: Items) -> None:
    found = list(boxes(data, start, end))
    known: list[tuple[bytes, bytes]] = []
    for name, place, stop in found:
        if name == b"ipco":
            known = [(kind, data[first:last]) for kind, first, last in boxes(data, place, stop)]
    for name, place, _ in found:
        if name != b"ipma":
            continue
        version, wide = data[place], data[place + 3] & 1
        (count,) = struct.unpack_from(">I", data, place + 4)
        place += 8
        for _ in range(min(count, _MAX_BOXES)):
            layout = ">IB" if version else ">HB"
            item, links = struct.unpack_from(layout, data, place)
            place += struct.calcsize(layout)
            for _ in range(links):
                index = int.from_bytes(data[place : place + 1 + wide], "big") & (0x7FFF if wide else 0x7F)
                place += 1 + wide
                if 1 <= index <= len(known):
                    items.properties.setdefault(item, []).append(known[index - 1])
