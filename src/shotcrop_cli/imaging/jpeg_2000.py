"""Find colour profile, EXIF and XMP in a JPEG 2000 file, which Pillow does not read."""

from __future__ import annotations

from collections.abc import Iterator

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_ICC_METHODS = (2, 3)
"""Of the box `colr`: a restricted profile, and any profile. Source: ISO/IEC 15444-1, annex I.5.3.3, and 15444-2."""
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
"""UUIDs of the boxes with XMP (XMP specification, part 3) and with EXIF, as ExifTool and others write it."""
_MAX_BLOCK_BYTES = 16 << 20
"""Larger blocks are left out (our choice, as for PNG)."""
_MAX_BOXES = 1000
"""No more boxes of one level are looked at (our choice)."""


def read_info(data: bytes) -> dict[str, bytes]:
    """Return `icc_profile`, `exif` and `xmp`, as Pillow calls them in other formats; without those that are missing."""
    info: dict[str, bytes] = {}
    if not data.startswith(_SIGNATURE):
        return info
    for name, start, end in _boxes(data, 0, len(data)):
        if name == b"jp2h":
            for inner, first, last in _boxes(data, start, end):
                if inner == b"colr" and last - first > 3 and data[first] in _ICC_METHODS:
                    info.setdefault("icc_profile", _block(data, first + 3, last))
        elif name == b"uuid" and data[start : start + 16] == _XMP:
            info.setdefault("xmp", _block(data, start + 16, end))
        elif name == b"uuid" and data[start : start + 16] == _EXIF:
            info.setdefault("exif", _block(data, start + 16, end))
    return {name: block for name, block in info.items() if block}


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box, and where its content starts and ends."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, name = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        content = start + 8
        if size == 1:
            size, content = int.from_bytes(data[content : content + 8], "big"), content + 8
        elif size == 0:  # up to the end
            size = end - start
        if size < content - start or start + size > end:
            return
        yield name, content, start + size
        start += size


def _block(data: bytes, start: int, end: int) -> bytes:
    return data[start:end] if end - start <= _MAX_BLOCK_BYTES else b""
