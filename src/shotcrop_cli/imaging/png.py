"""PNG chunks that Pillow does not read: large compressed texts and profiles, and colour by code points."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PILLOW_LIMIT = 1 << 20
"""Inflated bytes of one chunk that Pillow accepts (`PngImagePlugin.MAX_TEXT_CHUNK`). It refuses files with more."""
_MAX_CHUNK_BYTES = 16 << 20
"""Larger texts and profiles are left out (our choice)."""
_MAX_TOTAL_BYTES = 60 << 20
"""Texts and profiles after these bytes are left out. Pillow refuses files with 64 MiB."""
_XMP_KEYWORD = "XML:com.adobe.xmp"


@dataclass(slots=True)
class Chunks:
    """What is in the chunks of a PNG.

    Args:
        content: The file as Pillow can read it: the same, or without the chunks that are too large.
        info: What these chunks hold, under the names that Pillow uses in `Image.info`.
        left_out: Whether a chunk was too large to be kept.
        code_points: Content of the `cICP` chunk, empty if there is none.
    """

    content: bytes
    info: dict[str, object] = field(default_factory=dict)
    left_out: bool = False
    code_points: bytes = b""


def read_chunks(data: bytes) -> Chunks:
    """Read the chunks of a PNG that Pillow cannot read. Another file is returned unchanged."""
    found = Chunks(data)
    removed: list[tuple[int, int]] = []
    left = _MAX_TOTAL_BYTES
    for name, start, end in _chunks(data):
        if name == b"cICP":
            found.code_points = found.code_points or data[start:end]
        if name not in (b"iCCP", b"tEXt", b"zTXt", b"iTXt"):
            continue
        key, value, is_packed = _inflate(name, data[start:end], min(left, _MAX_CHUNK_BYTES) + 1)
        left -= len(value)
        too_large = len(value) > _MAX_CHUNK_BYTES or left < 0
        if too_large or (is_packed and len(value) > _PILLOW_LIMIT):
            removed.append((start - 8, end + 4))
        if too_large:
            found.left_out = True
            left = max(left, 0)
        elif is_packed and len(value) > _PILLOW_LIMIT:
            found.info[key] = _as_pillow(name, key, value)
    if removed:
        ends = [0, *(end for _, end in removed)]
        starts = [*(start for start, _ in removed), len(data)]
        view = memoryview(data)
        found.content = b"".join(view[start:end] for start, end in zip(ends, starts, strict=True))
    return found


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of every complete chunk."""
    place = len(_SIGNATURE)
    while data.startswith(_SIGNATURE) and place + 12 <= len(data):
        start = place + 8
        end = start + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            return
        yield data[place + 4 : start], start, end
        place = end + 4


def _inflate(name: bytes, content: bytes, limit: int) -> tuple[str, bytes, bool]:
    """Return the name in `Image.info` and the value of a chunk, cut off at a limit, and whether it is compressed."""
    keyword, _, rest = content.partition(b"\x00")
    key, packed = keyword.decode("latin-1"), True
    if name == b"tEXt":
        packed = False
    elif name == b"iTXt":
        packed = rest[:1] == b"\x01"
        rest = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
        key = "xmp" if key == _XMP_KEYWORD else key
    else:
        rest = rest[1:]
        key = "icc_profile" if name == b"iCCP" else key
    if not packed:
        return key, rest[:limit], False
    try:
        return key, zlib.decompressobj().decompress(rest, limit), True
    except zlib.error:  # Pillow leaves it out
        return key, b"", True


def _as_pillow(name: bytes, key: str, value: bytes) -> object:
    if key in ("icc_profile", "xmp"):
        return value
    return value.decode("utf-8" if name == b"iTXt" else "latin-1", "replace")
