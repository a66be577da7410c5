"""EXIF as bytes: read its directories, leave some entries out, write the rest back unchanged.

Values are carried as raw bytes with their type and count, so that what is kept is kept exactly. A block is
always written anew from the kept entries, so that no byte of a dropped entry can survive in a gap.

Layout read and written: the TIFF structure inside EXIF, IFD0 with the Exif directory and, below that, the
interoperability directory. IFD1, where cameras store a thumbnail, is never read and so never written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

HEADER = b"Exif\x00\x00"
EXIF_POINTER = 0x8769
GPS_POINTER = 0x8825
INTEROP_POINTER = 0xA005
_POINTERS = (EXIF_POINTER, INTEROP_POINTER)

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes per value of each TIFF field type (TIFF 6.0, section 2; 13 is an IFD offset)."""
_ASCII, _SHORT, _LONG = 2, 3, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag with its value as stored.

    Args:
        tag: The tag's number.
        type: TIFF field type, 1..13.
        count: Number of values.
        value: The values' bytes, in the byte order of the block; empty for a directory.
        children: The entries of the directory this entry points to, None for plain values.
    """

    tag: int
    type: int
    count: int
    value: bytes
    children: tuple[Entry, ...] | None = None


@dataclass(frozen=True, slots=True)
class Exif:
    """The entries of an EXIF block and the byte order they are stored in.

    Args:
        order: `<` for little-endian ("II"), `>` for big-endian ("MM").
        entries: The entries of IFD0.
    """

    order: str = "<"
    entries: tuple[Entry, ...] = ()

    def text(self, tag: int) -> str | None:
        """Return an ASCII value without padding, None when the tag is absent or blank."""
        entry = self._find(tag)
        if entry is None or entry.type != _ASCII:
            return None
        return entry.value.split(b"\x00")[0].decode("utf-8", "replace").strip() or None

    def number(self, tag: int) -> int | None:
        """Return the first SHORT or LONG value of a tag, None when there is none."""
        entry = self._find(tag)
        if entry is None or entry.count < 1 or entry.type not in (_SHORT, _LONG):
            return None
        return int(struct.unpack_from(self.order + ("H" if entry.type == _SHORT else "I"), entry.value)[0])

    def _find(self, tag: int) -> Entry | None:
        return next((entry for entry in _walk(self.entries) if entry.tag == tag), None)

    def without(self, unwanted: Callable[[Entry], bool]) -> Exif:
        """Return a copy that lacks every entry, at any depth, that `unwanted` names."""
        return replace(self, entries=_filter(self.entries, unwanted))

    def with_number(self, tag: int, value: int, *, within: int | None = None) -> Exif:
        """Return a copy in which a tag of IFD0, or of the directory `within`, holds one LONG or SHORT.

        A directory that does not exist is not made.
        """
        kind, code = (_SHORT, "H") if value < 1 << 16 else (_LONG, "I")
        new = Entry(tag, kind, 1, struct.pack(self.order + code, value))
        if within is None:
            return replace(self, entries=_put(self.entries, new))
        return replace(
            self,
            entries=tuple(
                replace(entry, children=_put(entry.children, new))
                if entry.tag == within and entry.children is not None
                else entry
                for entry in self.entries
            ),
        )

    def to_bytes(self) -> bytes:
        """Serialise to a block with its `HEADER`, or to nothing when there are no entries."""
        if not self.entries:
            return b""
        mark = b"II" if self.order == "<" else b"MM"
        return HEADER + mark + struct.pack(self.order + "HI", 42, 8) + self._directory(self.entries, 8)

    def _directory(self, entries: tuple[Entry, ...], offset: int) -> bytes:
        """Serialise a directory at `offset` in the block, its values and children right behind it."""
        rows = b""
        values = b""
        behind = offset + 2 + 12 * len(entries) + 4
        for entry in sorted(entries, key=lambda entry: entry.tag):
            data, count = entry.value, entry.count
            if entry.children is not None:
                place = behind + len(values)
                values += self._directory(entry.children, place)
                data, count = struct.pack(self.order + "I", place), 1
            elif len(data) > 4:
                place = behind + len(values)
                values += data + b"\x00" * (len(data) % 2)  # offsets are even (TIFF 6.0)
                data = struct.pack(self.order + "I", place)
            rows += struct.pack(self.order + "HHI", entry.tag, entry.type, count) + data.ljust(4, b"\x00")
        return struct.pack(self.order + "H", len(entries)) + rows + b"\x00" * 4 + values


def parse(data: bytes) -> Exif:
    """Read an EXIF block or the head of a TIFF file.

    Entries that are damaged or lie outside the data are left out: metadata never costs a photo.

    Args:
        data: The block, with or without its `HEADER`.
    """
    data = data.removeprefix(HEADER)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return Exif()
    (offset,) = struct.unpack_from(order + "I", data, 4)
    return Exif(order, _Reader(data, order).directory(offset, depth=0))


class _Reader:
    def __init__(self, data: bytes, order: str) -> None:
        self._data, self._order = data, order
        # Honest values do not overlap. Hostile ones might share their bytes thousands of times over.
        self._budget = len(data)

    def directory(self, offset: int, depth: int) -> tuple[Entry, ...]:
        data, order = self._data, self._order
        if depth > 2 or offset < 8 or offset + 2 > len(data):
            return ()
        (count,) = struct.unpack_from(order + "H", data, offset)
        entries: dict[int, Entry] = {}
        for row in range(offset + 2, min(offset + 2 + 12 * count, len(data) - 11), 12):
            tag, kind, length = struct.unpack_from(order + "HHI", data, row)
            size = _TYPE_SIZES.get(kind, 0) * length
            (place,) = struct.unpack_from(order + "I", data, row + 8)
            if tag in entries:
                continue
            if tag in _POINTERS:
                if children := self.directory(place, depth + 1):
                    entries[tag] = Entry(tag, _LONG, 1, b"", children)
                continue
            start = row + 8 if size <= 4 else place
            if 0 < size <= self._budget and start + size <= len(data):
                self._budget -= size
                entries[tag] = Entry(tag, kind, length, data[start : start + size])
        return tuple(entries.values())


def _walk(entries: Iterable[Entry]) -> Iterable[Entry]:
    for entry in entries:
        yield entry
        yield from _walk(entry.children or ())


def _filter(entries: tuple[Entry, ...], unwanted: Callable[[Entry], bool]) -> tuple[Entry, ...]:
    return tuple(
        entry if entry.children is None else replace(entry, children=_filter(entry.children, unwanted))
        for entry in entries
        if not unwanted(entry)
    )


def _put(entries: tuple[Entry, ...] | None, new: Entry) -> tuple[Entry, ...]:
    return (*(entry for entry in entries or () if entry.tag != new.tag), new)
