"""TIFF directories, in which EXIF keeps its entries: read them in spite of damage, and write them with their own types.

An entry is copied byte for byte, so a crop has the field types and values that the camera wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

Order = Literal["<", ">"]
"""Little or big endian, as `struct` calls them."""
Directory = dict[int, "Entry"]
"""Entries by their tags."""

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, UTF_8 = 1, 2, 3, 4, 5, 7, 129
_LONG8, _SLONG8, _IFD8 = 16, 17, 18
_SIZES = {
    **dict.fromkeys((BYTE, ASCII, 6, UNDEFINED, UTF_8), 1),
    **dict.fromkeys((SHORT, 8), 2),
    **dict.fromkeys((LONG, 9, 11, 13), 4),
    **dict.fromkeys((RATIONAL, 10, 12, _LONG8, _SLONG8, _IFD8), 8),
}
"""Bytes per value by field type. Source: TIFF 6.0, page 15; BigTIFF; EXIF 3.0 for UTF-8."""
_WORDS = {SHORT: 2, 8: 2, LONG: 4, 9: 4, 11: 4, 13: 4, RATIONAL: 4, 10: 4, 12: 8}
"""Bytes that change places if the byte order changes, by field type."""

_UTF_16 = b"UNICODE\x00"
"""What comments in UTF-16 start with, in the byte order of the block. Source: EXIF 2.32, section 4.6.6."""

_HEADERS: dict[bytes, tuple[Order, bool]] = {
    b"II*\x00": ("<", False),
    b"MM\x00*": (">", False),
    b"II+\x00": ("<", True),  # BigTIFF
    b"MM\x00+": (">", True),
    **dict.fromkeys((b"IIRO", b"IIRS", b"IIU\x00"), ("<", False)),  # RAW files of Olympus and Panasonic
    b"MMOR": (">", False),
}
"""The first bytes of a file: byte order, and whether offsets have 64 bits."""
_MAX_ENTRIES = 4096
"""Entries of a directory that are read (our choice). Cameras write about 100."""
_MARGIN_BYTES = 1024
"""The values of a directory may have as many bytes as the file and these (our choice)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory.

    Args:
        kind: Number of its field type.
        value: Its value as stored, in the byte order of the directory.
    """

    kind: int
    value: bytes

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.value) // _SIZES[self.kind]

    def numbers(self, order: Order) -> tuple[int, ...]:
        """Return the values of an entry of whole numbers; empty for other types."""
        letter = {BYTE: "B", SHORT: "H", LONG: "I", 13: "I", _LONG8: "Q", _IFD8: "Q"}.get(self.kind)
        return () if letter is None else struct.unpack(f"{order}{self.count}{letter}", self.value)

    def swapped(self) -> Entry:
        """Return the entry for a directory with the other byte order."""
        size, start = _WORDS.get(self.kind, 1), 0
        if self.kind == UNDEFINED and self.value.startswith(_UTF_16):
            size, start = 2, len(_UTF_16)
        if size == 1:
            return self
        parts = (self.value[place : place + size][::-1] for place in range(start, len(self.value), size))
        return replace(self, value=self.value[:start] + b"".join(parts))


class DirectoryReader:
    """Reads the directories of a TIFF file, or of an EXIF block, which has the same structure.

    No damage raises an error: what cannot be read is left out.

    Args:
        data: The file, without the header of an EXIF block.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.order: Order
        self.order, self._is_big = _HEADERS.get(data[:4], ("<", False))
        self._first = 0
        if data[:4] in _HEADERS:
            self._first = self._number(8, "Q") if self._is_big else self._number(4, "I")

    def first(self, dropped: Container[int] = ()) -> Directory:
        """Return IFD0, the first directory, without the tags in `dropped`."""
        return self._directory(self._first, dropped)

    def below(self, pointer: int, parent: Directory | None = None, dropped: Container[int] = ()) -> Directory:
        """Return the directory that an entry points to.

        Args:
            pointer: Tag of the entry.
            parent: The directory with the entry; None for IFD0.
            dropped: Tags to leave out.
        """
        entry = self.entry(pointer) if parent is None else parent.get(pointer)
        places = () if entry is None else entry.numbers(self.order)
        return self._directory(places[0], dropped) if len(places) == 1 else {}

    def entry(self, tag: int) -> Entry | None:
        """Return one entry of IFD0, whatever state the others are in."""
        for found, kind, place, size in self._rows(self._first):
            if found == tag:
                return self._entry(kind, place, size)
        return None

    def _directory(self, start: int, dropped: Container[int]) -> Directory:
        """Return a directory; empty if its entries claim the same bytes again and again, as those of hostile files."""
        entries: Directory = {}
        budget = len(self._data) + _MARGIN_BYTES
        for tag, kind, place, size in self._rows(start):
            if tag in dropped or tag in entries:
                continue
            entry = self._entry(kind, place, size)
            if entry is None:
                continue
            budget -= size
            if budget < 0:
                return {}
            entries[tag] = entry
        return entries

    def _rows(self, start: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield tag, type, place and size of each value."""
        if not 8 <= start < len(self._data):
            return
        count = self._number(start, "Q" if self._is_big else "H")
        start += 8 if self._is_big else 2
        row_size, inline, letters = (20, 8, "HHQ") if self._is_big else (12, 4, "HHI")
        for row in range(start, start + row_size * min(count, _MAX_ENTRIES), row_size):
            try:
                tag, kind, values = struct.unpack_from(self.order + letters, self._data, row)
            except struct.error:
                return
            size = _SIZES.get(kind, 0) * values
            place = row + row_size - inline
            if size > inline:
                place = self._number(place, "Q" if self._is_big else "I")
            yield tag, kind, place, size

    def _entry(self, kind: int, place: int, size: int) -> Entry | None:
        """Return an entry that a classic TIFF can hold; None if it has no value, or is damaged."""
        if not 0 < size <= len(self._data) - place:
            return None
        entry = Entry(kind, self._data[place : place + size])
        if kind not in (_LONG8, _SLONG8, _IFD8):
            return entry
        numbers = entry.numbers(self.order)
        if not numbers or max(numbers) >= 1 << 32:
            return None
        return Entry(LONG, struct.pack(f"{self.order}{len(numbers)}I", *numbers))

    def _number(self, place: int, letter: str) -> int:
        """Return the number at a place inside the file; 0 if the file ends before it does."""
        try:
            return int(struct.unpack_from(self.order + letter, self._data, place)[0])
        except struct.error:
            return 0


@dataclass(slots=True)
class Tree:
    """A directory and those that it points to.

    Args:
        entries: Its entries, without pointers.
        children: The other directories, by the tags of the pointers.
    """

    entries: Directory = field(default_factory=dict)
    children: dict[int, Tree] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether there is any entry."""
        return bool(self.entries) or any(self.children.values())

    def directories(self) -> Iterator[Directory]:
        """Yield the directory and the others."""
        yield self.entries
        for child in self.children.values():
            yield from child.directories()

    def swapped(self) -> Tree:
        """Return the directories in the other byte order."""
        return Tree(
            {tag: entry.swapped() for tag, entry in self.entries.items()},
            {tag: child.swapped() for tag, child in self.children.items()},
        )

    def to_bytes(self, order: Order, place: int, rows: dict[int, bytes] | None = None) -> bytes:
        """Return the directory with its values and the other directories behind it.

        Args:
            order: Byte order of the entries, and of the result.
            place: Where the result will be in the file; an even number.
            rows: More entries by their tags, as another directory of the same file stores them.
        """
        stored = dict(rows or {})
        children = {tag: child for tag, child in self.children.items() if child}
        start = place + 2 + 12 * len({*stored, *self.entries, *children}) + 4
        values = bytearray()
        for tag, entry in self.entries.items():
            value = entry.value
            if len(value) > 4:
                value = struct.pack(f"{order}I", start + len(values))
                values += entry.value
                values += b"\x00" * (len(entry.value) % 2)
            stored[tag] = struct.pack(f"{order}HHI", tag, entry.kind, entry.count) + value.ljust(4, b"\x00")
        for tag, child in children.items():
            stored[tag] = struct.pack(f"{order}HHII", tag, LONG, 1, start + len(values))
            values += child.to_bytes(order, start + len(values))
        table = b"".join(stored[tag] for tag in sorted(stored))
        return struct.pack(f"{order}H", len(stored)) + table + bytes(4) + values
