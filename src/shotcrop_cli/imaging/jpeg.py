"""JPEG files: units of coding, what is missing without their end, and how to decode them at a reduced scale."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator

from PIL import Image, JpegImagePlugin

END = b"\xff\xd9"
"""The end-of-image marker."""
_FILLER_BYTES = 4096
"""Bytes that `with_other_end` appends (our choice): far more than the first missing block can take."""
_MARKER_IN_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""A marker that ends coded data: neither a stuffed zero nor a restart marker. Source: ITU-T T.81, section B.1.1."""
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
"""Markers of frames, of any coding process."""
TABLES = 0xDB
"""The marker of quantisation tables."""
_SCAN = 0xDA
_COEFFICIENTS = 64
_DCT_BLOCK = 8
_FRAME_SIDES = struct.Struct(">HH")

_SCALES = (8, 4, 2)
"""By what libjpeg can divide the size of a photo while it decodes, largest first."""
_FEW_ROWS = 32
_FEW_ROWS_SHARE = 0.02
_MOST_ROWS_SHARE = 0.1
"""A photo may lack 32 rows but no more than a tenth of its height, or two percent of its height, or one row of blocks,
whichever is most (our choice)."""


def reduce_scale(image: Image.Image, least_sides: tuple[int, int]) -> None:
    """Let a JPEG be decoded at 1/8, 1/4 or 1/2 of its size, the smallest that is enough. Other images stay as they are.

    Args:
        image: The image, not loaded yet. Its size becomes the reduced one.
        least_sides: Shorter and longer side in pixels that are enough.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.format != "JPEG":
        return
    shorter, longer = sorted(image.size)
    for scale in _SCALES:
        if shorter >= scale * least_sides[0] and longer >= scale * least_sides[1]:
            image.draft(image.mode, (image.width // scale, image.height // scale))
            return


def count_pixels(data: bytes) -> int | None:
    """Return the number of pixels of a JPEG, from its frame header alone; None if it has none."""
    for marker, content in segments(data):
        if marker in FRAMES and len(content) >= _FRAME_SIDES.size + 1:
            height, width = _FRAME_SIDES.unpack_from(content, 1)
            return int(height) * int(width)
    return None


def coding_unit(image: JpegImagePlugin.JpegImageFile) -> tuple[int, int]:
    """Return width and height of a coding unit (MCU) in stored pixels. Source: ITU-T T.81, section A.2."""
    # A single component is not interleaved, whatever its sampling factors.
    factors = [(across, down) for _, across, down, _ in image.layer] if len(image.layer) > 1 else [(1, 1)]
    across, down = (_DCT_BLOCK * max(axis) for axis in zip(*factors, strict=True))
    return across, down


def few_rows(height: int, block_height: int) -> int:
    """Return how many of its last rows a JPEG may lack and still be cropped.

    Args:
        height: Height of the stored image in pixels.
        block_height: Height of a coding unit in pixels.
    """
    return max(block_height, min(_FEW_ROWS, int(height * _MOST_ROWS_SHARE)), int(height * _FEW_ROWS_SHARE))


def with_end(data: bytes) -> bytes:
    """Return a JPEG that ends with the end marker, so that decoders take what is there. A complete one is unchanged."""
    return data if data.endswith(END) else data.rstrip(b"\xff") + END


def with_other_end(data: bytes) -> bytes:
    """Return a JPEG that goes on with meaningless coded data.

    Its pixels differ from those of `with_end` from the first one that is missing.
    """
    filler = random.Random(0).randbytes(_FILLER_BYTES).replace(b"\xff", b"\xfe")
    return data.rstrip(b"\xff") + filler + END


def has_all_scans(data: bytes) -> bool:
    """Return whether every coefficient of every component is coded to its last bit; the last scan may be cut off.

    A progressive JPEG codes the picture in several scans. Without the last ones it is coarse everywhere.
    """
    lacking: dict[int, set[int]] = {}
    for marker, content in segments(data):
        if marker in FRAMES:
            lacking = {content[place]: set(range(_COEFFICIENTS)) for place in range(6, len(content) - 2, 3)}
        elif marker == _SCAN and content:
            count = content[0]
            first, last, bits = content[1 + 2 * count : 4 + 2 * count]
            if bits & 0x0F == 0:  # the position of the last bit that this scan codes
                for component in content[1 : 1 + 2 * count : 2]:
                    lacking.get(component, set()).difference_update(range(first, last + 1))
    return bool(lacking) and not any(lacking.values())


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of every complete segment of the first image in a JPEG."""
    return ((marker, data[start:end]) for marker, start, end in _places(data))


def end_of_image(data: bytes) -> int:
    """Return where the first image of a file ends; the end of the file if there is no end marker."""
    coded = next((end for marker, _, end in _places(data) if marker == _SCAN), len(data))
    end = data.find(END, coded)  # coded data does not contain the marker
    return len(data) if end < 0 else end + len(END)


def _places(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of every complete segment, and where its content starts and ends."""
    place = 2
    while found := _MARKER_IN_SCAN.search(data, place):
        marker, place = data[found.end() - 1], found.end()
        if marker == END[1]:
            return
        if marker in _WITHOUT_LENGTH:
            continue
        try:
            (size,) = struct.unpack_from(">H", data, place)
        except struct.error:
            return
        if len(data) < place + size:
            return
        yield marker, place + 2, place + size
        place += max(2, size)
