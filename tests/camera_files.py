"""Photos as cameras store them: turned by an EXIF orientation, or as a RAW file with a preview."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps

from conftest import jpeg_bytes

Row = tuple[int, int, int, bytes]
"""An entry of a TIFF directory: tag, type, number of values, and their bytes."""


def orientation_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Store an upright image as a camera held that way would, by undoing Pillow's own idea of upright."""
    for turn in (None, *Image.Transpose):
        stored = image if turn is None else image.transpose(turn)
        buffer = io.BytesIO()
        stored.save(buffer, "PNG", exif=orientation_exif(orientation))
        upright = ImageOps.exif_transpose(Image.open(buffer))
        if upright.size == image.size and np.array_equal(np.asarray(upright), np.asarray(image)):
            return stored
    raise AssertionError(f"no way to store orientation {orientation}")


def _short(tag: int, *values: int) -> Row:
    return tag, 3, len(values), struct.pack(f"<{len(values)}H", *values)


def _long(tag: int, value: int) -> Row:
    return tag, 4, 1, struct.pack("<I", value)


def _text(tag: int, text: str) -> Row:
    return tag, 2, len(text) + 1, text.encode() + b"\x00"


def _directory(rows: list[Row], start: int) -> bytes:
    table, values = struct.pack("<H", len(rows)), b""
    behind = start + 2 + 12 * len(rows) + 4
    for tag, kind, count, value in sorted(rows):
        if len(value) > 4:
            place = struct.pack("<I", behind + len(values))
            values += value + b"\x00" * (len(value) % 2)
            value = place
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\x00")
    return table + bytes(4) + values


def dng(preview: Image.Image, orientation: int = 1, *, compressed: bool = True) -> bytes:
    """Return the smallest DNG that LibRaw opens: a preview in IFD0, its EXIF, and a tiny mosaic in a SubIFD."""
    shown = jpeg_bytes(preview, quality=95) if compressed else preview.tobytes()
    side = 64
    mosaic = np.arange(side * side, dtype="<u2").tobytes()

    def directories(exif_at: int, mosaic_at: int, shown_at: int, samples_at: int) -> tuple[bytes, bytes, bytes]:
        first = [
            *(_long(254, 1), _long(256, preview.width), _long(257, preview.height), _short(258, 8, 8, 8)),
            *(_short(259, 7 if compressed else 1), _short(262, 6 if compressed else 2)),
            *(_text(271, "Canon"), _text(272, "Canon EOS R5"), _short(274, orientation), _short(277, 3)),
            *(_long(273, shown_at), _long(278, preview.height), _long(279, len(shown)), _long(330, mosaic_at)),
            *(_long(0x8769, exif_at), (50706, 1, 4, b"\x01\x04\x00\x00"), _text(50708, "Canon EOS R5")),
            (50721, 10, 9, struct.pack("<18i", *(n for value in np.eye(3).ravel() for n in (int(value), 1)))),
            (50740, 7, 20, b"secret private data!"),
        ]
        times = [_text(0x9003, "2024:05:06 07:08:09"), _text(0xA434, "RF85mm F1.2 L USM")]
        samples = [
            *(_long(254, 0), _long(256, side), _long(257, side), _short(258, 16), _short(259, 1)),
            *(_short(262, 32803), _long(273, samples_at), _short(277, 1), _long(278, side)),
            *(_long(279, len(mosaic)), _short(33421, 2, 2), (33422, 1, 4, b"\x00\x01\x01\x02")),
        ]
        return _directory(first, 8), _directory(times, exif_at), _directory(samples, mosaic_at)

    places = [8]
    for part in (*directories(0, 0, 0, 0), shown):
        places.append(places[-1] + len(part) + len(part) % 2)
    parts = (*directories(*places[1:]), shown, mosaic)
    return b"II*\x00\x08\x00\x00\x00" + b"".join(part + b"\x00" * (len(part) % 2) for part in parts)
