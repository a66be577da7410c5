"""How TIFF files store pixels: read the coding of a photo, and write crops with the same or an equal one."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from shotcrop_cli.imaging import jpeg
from shotcrop_cli.imaging.metadata.directories import LONG, RATIONAL, SHORT, UNDEFINED, Entry, Tree

_COMPRESSION, _PREDICTOR, _JPEG_TABLES, _ICC_PROFILE = 259, 317, 347, 34675
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags with the offsets and sizes of the parts that the pixels are in."""
_DEFLATE = "tiff_adobe_deflate"
_WITH_PREDICTOR = ("tiff_lzw", _DEFLATE, "zstd", "lzma")
_HORIZONTAL, _FLOATING_POINT = 2, 3
_SAME = {
    **dict.fromkeys(("raw", "tiff_raw_16"), "raw"),
    **dict.fromkeys((_DEFLATE, "tiff_deflate"), _DEFLATE),
    **{name: name for name in ("packbits", "tiff_lzw", "zstd", "lzma")},
}
"""Pillow's name of the compression for crops, by that of the photo. What is missing becomes deflate."""
_BILEVEL = {"group3": "group3", "group4": "group4", "tiff_ccitt": "group4"}
LOSSY = ("jpeg", "tiff_jpeg", "webp")
"""Compressions that lose something. Their crops are compressed as JPEG."""
_MAX_PART_BYTES = 1 << 16
"""Bytes of a strip that are searched for its JPEG header (our choice)."""


@dataclass(frozen=True, slots=True)
class TiffCoding:
    """How a TIFF file stores its pixels.

    Args:
        compression: Pillow's name for the compression.
        predictor: How pixels are predicted from their neighbours: 1 (not at all), 2 (left neighbour) or 3 (of floats).
        tables: Quantisation tables of JPEG compression, one for each component; empty if there are none.
        subsampling: Chroma subsampling of JPEG compression: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
    """

    compression: str = _DEFLATE
    predictor: int = _HORIZONTAL
    tables: tuple[tuple[int, ...], ...] = ()
    subsampling: int = 0

    @property
    def is_lossy(self) -> bool:
        """Whether the compression loses something."""
        return self.compression in LOSSY


def read_coding(image: Image.Image, data: bytes) -> TiffCoding:
    """Return how a TIFF file stores its pixels.

    Args:
        image: The file, opened by Pillow.
        data: Its content.
    """
    compression = str(image.info.get("compression") or "raw")
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return TiffCoding(compression)
    tags: Mapping[int, Any] = image.tag_v2
    predictor = tags.get(_PREDICTOR, 1)
    if compression not in ("jpeg", "tiff_jpeg"):
        return TiffCoding(compression, predictor if predictor in (_HORIZONTAL, _FLOATING_POINT) else 1)
    tables, components = _jpeg_header(tags, data)
    used = tuple(tables[number] for _, number in components if number in tables)
    sampling = components[0][0] if len(components) == 3 else 0x11
    return TiffCoding(
        compression,
        tables=used if len(used) == len(components) else (),
        subsampling={0x22: 2, 0x21: 1}.get(sampling, 0),
    )


def _jpeg_header(tags: Mapping[int, Any], data: bytes) -> tuple[dict[int, tuple[int, ...]], list[tuple[int, int]]]:
    """Return the quantisation tables, and sampling factors and number of the table of each component."""
    tables: dict[int, tuple[int, ...]] = {}
    components: list[tuple[int, int]] = []
    try:
        stored = tags.get(_JPEG_TABLES, b"")
        offsets, sizes = _STRIPS if _STRIPS[0] in tags else _TILES
        place, size = tags[offsets][0], tags[sizes][0]
        for stream in (stored if isinstance(stored, bytes) else b"", data[place : place + min(size, _MAX_PART_BYTES)]):
            for marker, content in jpeg.segments(stream):
                if marker == jpeg.TABLES:
                    tables |= _quantisation_tables(content)
                elif marker in jpeg.FRAMES:
                    rows = range(6, 6 + 3 * content[5], 3)
                    components = [(content[row + 1], content[row + 2]) for row in rows]
    except (KeyError, IndexError, TypeError, struct.error):
        pass
    return tables, components


def _quantisation_tables(content: bytes) -> dict[int, tuple[int, ...]]:
    """Return the tables of a segment, row by row. Source: ITU-T T.81, section B.2.4.1."""
    tables = {}
    place = 0
    while place < len(content):
        letter = "H" if content[place] >> 4 else "B"
        values = struct.unpack_from(f">64{letter}", content, place + 1)
        # Pillow's tables are row by row, too.
        tables[content[place] & 15] = tuple(values[i] for i in JpegImagePlugin.zigzag_index)
        place += 1 + struct.calcsize(f"64{letter}")
    return tables


def write_options(coding: TiffCoding, mode: str) -> dict[str, object]:
    """Return Pillow's options for a crop with a lossless coding like that of its photo.

    Args:
        coding: How the photo stores its pixels.
        mode: Pillow mode of the crop.
    """
    if mode == "1":
        return {"compression": _BILEVEL.get(coding.compression) or _SAME.get(coding.compression, "group4")}
    compression, predictor = _SAME.get(coding.compression), coding.predictor
    if compression is None:
        compression, predictor = _DEFLATE, _HORIZONTAL
    is_float = mode == "F"
    possible = (1, _FLOATING_POINT) if is_float else (1, _HORIZONTAL)
    if predictor not in possible or (coding.compression not in _SAME and mode in ("P", "PA")):
        predictor = 1
    options: dict[str, object] = {"compression": compression}
    if compression in _WITH_PREDICTOR and predictor != 1:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[_PREDICTOR] = predictor
        options["tiffinfo"] = tags
    return options


def with_jpeg(image: Image.Image, icc_profile: bytes, **options: object) -> bytes:
    """Return a TIFF file whose pixels are a JPEG with given options.

    Pillow hands compression to libtiff, which knows no quantisation tables and stores RGB without chroma subsampling.

    Args:
        image: Gray or RGB.
        icc_profile: Its colour profile, may be empty.
        options: Options of Pillow's JPEG writer.
    """
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    stream = buffer.getvalue()
    factors = next((content[7] for marker, content in jpeg.segments(stream) if marker in jpeg.FRAMES), 0x11)
    gray = image.mode == "L"
    layout = {
        256: _longs(image.width),
        257: _longs(image.height),
        258: _shorts(8) if gray else _shorts(8, 8, 8),
        _COMPRESSION: _shorts(7),
        262: _shorts(1 if gray else 6),  # black is zero, or YCbCr
        273: _longs(8),
        277: _shorts(1 if gray else 3),
        278: _longs(image.height),
        279: _longs(len(stream)),
        284: _shorts(1),
    }
    if not gray:
        layout[530] = _shorts(factors >> 4, factors & 15)
        layout[532] = Entry(RATIONAL, struct.pack("<12I", *(0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)))
    if icc_profile:
        layout[_ICC_PROFILE] = Entry(UNDEFINED, icc_profile)
    padded = stream + b"\x00" * (len(stream) % 2)
    start = 8 + len(padded)
    return struct.pack("<2sHI", b"II", 42, start) + padded + Tree(layout).to_bytes("<", start)


def _shorts(*values: int) -> Entry:
    return Entry(SHORT, struct.pack(f"<{len(values)}H", *values))


def _longs(*values: int) -> Entry:
    return Entry(LONG, struct.pack(f"<{len(values)}I", *values))
