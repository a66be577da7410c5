"""Find what a photo file holds besides its picture: HDR gain maps, more pictures, depth maps and motion videos.

Crops leave them out, because they fit only the whole photo, so `warnings` names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from PIL import Image, JpegImagePlugin

from shotcrop_cli.imaging import jpeg
from shotcrop_cli.imaging.formats import AVIF, HEIF, JPEG_XL, Format
from shotcrop_cli.imaging.isobmff import read_items, top_level_boxes
from shotcrop_cli.imaging.metadata.directories import DirectoryReader

_GAIN_MAP, _DEPTH_MAP, _VIDEO = "the HDR gain map", "the depth map", "the motion video"

_JPEG_START = b"\xff\xd8\xff"
_MPF_ENTRIES, _MPF_ENTRY_BYTES = 0xB002, 16
_MPF_TYPE_MASK, _MPF_THUMBNAIL = 0xFF0000, 0x010000
"""The class of a picture in a multi-picture file. Large thumbnails show what the photo shows. Source: CIPA DC-007."""
_GAIN_MAP_MARK = re.compile(rb"hdr-?gain-?map|hdrgm:|Semantic\s*(=\s*[\"']|>)\s*GainMap|ts:21496", re.IGNORECASE)
"""In XMP (Adobe, Google, Apple) and in a marker (ISO 21496-1)."""
_DEPTH_MARK = re.compile(rb"Semantic\s*(=\s*[\"']|>)\s*Depth", re.IGNORECASE)
"""In the list of pictures that Google's camera writes."""
_LONGEST_FTYP = 64
"""Bytes that the first box of a video may have (our choice). Cameras write 24 or so."""
_HEADER_BYTES = 1 << 18
"""Where the markers of a JPEG are searched for a gain map (our choice)."""

_AUXILIARY_GAIN_MAP = (b"hdrgainmap", b"21496")
_AUXILIARY_DEPTH = (b":depth", b"auxid:2")
"""In the type of an auxiliary image. Source: ISO/IEC 23008-12, and what Apple writes."""


def companion_warnings(image: Image.Image, data: bytes, form: Format, xmp: bytes) -> list[str]:
    """Return a sentence for each part of a file that crops leave out.

    Args:
        image: The photo, loaded.
        data: The content of its file.
        form: Its format.
        xmp: Its XMP packet.
    """
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        found = list(_in_jpeg(image, data, xmp))
    elif form in (HEIF, AVIF):
        found = list(_in_heif(data))
    elif form is JPEG_XL:
        found = [_GAIN_MAP] if any(name == b"jhgm" for name, _, _ in top_level_boxes(data)) else []
    else:
        found = []
    return [f"{part} {'were' if part.endswith('pictures') else 'was'} left out" for part in found]


def _in_jpeg(image: JpegImagePlugin.JpegImageFile, data: bytes, xmp: bytes) -> Iterator[str]:
    end = jpeg.end_of_image(data)
    others = data.find(_JPEG_START, end) >= 0
    if others:
        count = _more_pictures(image.info.get("mp"))
        has_gain_map = any(_GAIN_MAP_MARK.search(part) for part in (xmp, data[:_HEADER_BYTES], data[end:]))
        has_depth = _DEPTH_MARK.search(xmp) is not None
        if has_gain_map:
            yield _GAIN_MAP
        if has_depth:
            yield _DEPTH_MAP
        count -= has_gain_map + has_depth
        if count > 0:
            yield "another picture" if count == 1 else f"{count} more pictures"
    video = data.find(b"ftyp", end)
    if video >= end + 4 and 8 <= int.from_bytes(data[video - 4 : video], "big") <= _LONGEST_FTYP:
        yield _VIDEO


def _more_pictures(block: object) -> int:
    """Return how many pictures besides the first one, and besides thumbnails, a multi-picture file lists."""
    if not isinstance(block, bytes):
        return 0
    reader = DirectoryReader(block)
    entry = reader.entry(_MPF_ENTRIES)
    if entry is None:
        return 0
    order = "little" if reader.order == "<" else "big"
    starts = range(_MPF_ENTRY_BYTES, len(entry.value) - _MPF_ENTRY_BYTES + 1, _MPF_ENTRY_BYTES)
    kinds = (int.from_bytes(entry.value[start : start + 4], order) & _MPF_TYPE_MASK for start in starts)  # type: ignore[arg-type]
    return sum(kind != _MPF_THUMBNAIL for kind in kinds)


def _in_heif(data: bytes) -> Iterator[str]:
    items = read_items(data)
    auxiliary = b" ".join(
        content for properties in items.properties.values() for name, content in properties if name == b"auxC"
    )
    if b"tmap" in items.types.values() or any(mark in auxiliary for mark in _AUXILIARY_GAIN_MAP):
        yield _GAIN_MAP
    if any(mark in auxiliary for mark in _AUXILIARY_DEPTH):
        yield _DEPTH_MAP
    if any(name == b"mpvd" for name, _, _ in top_level_boxes(data)):
        yield _VIDEO
