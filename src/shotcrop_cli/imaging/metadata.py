"""What of a photo's metadata goes into its crops, and what the sidecar tells of it.

Facts are read by exifread. Crops get an EXIF block that Pillow writes from values, so that no byte of a dropped
entry, nor of the thumbnail in IFD1, can survive in a gap. Pillow chooses the field types anew: values are kept,
but some that were UNDEFINED become BYTE, and short LONGs become SHORT.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum
from typing import Any

import exifread
from PIL import ExifTags, Image

_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_POINTERS = (_EXIF, _GPS, _INTEROP)
_ORIENTATION = ExifTags.Base.Orientation
_XMP = 0x02BC
_LEAKS = frozenset(
    {
        _GPS,
        ExifTags.Base.MakerNote,  # opaque, often holds a preview and a serial number
        0x501B,  # thumbnail data of Windows GDI+
        0x8649,  # Photoshop image resources, which hold a thumbnail
        0x83BB,  # IPTC, which may name the place and hold an object preview
        _XMP,  # judged apart, see `_safe_xmp`
    }
)
_STRUCTURE = frozenset(
    {0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117}
    | {0x011C, 0x0120, 0x0121, 0x013D, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x014A, 0x0152, 0x0153, 0x015B}
    | {0x0200, 0x0201, 0x0202, 0x0203, 0x0205, 0x0206, 0x0207, 0x0208, 0x0209, 0x0211, 0x0212, 0x0213, 0x0214}
    | {0x8773}
)
"""Tags of a TIFF's own pixel layout, true of the source file, false of a crop; with them its ICC profile (0x8773),
written apart, and its SubIFDs (0x014A), which are previews and raw images."""
_JPEG_START = b"\xff\xd8\xff"
_EXIF_HEADER = b"Exif\x00\x00"

_READ_LIMIT, _READ_COST = 1 << 20, 16
"""Bytes that facts may cost to read, and what each access counts for; cameras' blocks need some 10,000 [O]."""

logging.getLogger("exifread").setLevel(logging.CRITICAL)  # damaged metadata is no news to the user

_XMP_LEAK = re.compile(
    rb"thumbnail|xmpGImg|GImage|GDepth|/9j/|GPS|photoshop:(City|State|Country)|Location", re.IGNORECASE
)
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*=\s*(["']).*?\1|<tiff:Orientation>.*?</tiff:Orientation>""")


class MetadataPolicy(str, Enum):
    """How much of a photo's metadata its crops inherit."""

    SAFE = "safe"
    """Keep EXIF and XMP, but nothing that shows what was cropped away or where the photo was taken."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata blocks of one photo as stored; empty where the photo has none.

    Args:
        exif: An EXIF block, with or without its header.
        xmp: An XMP packet.
    """

    exif: bytes = b""
    xmp: bytes = b""

    def inherited(self, policy: MetadataPolicy, width: int, height: int) -> Metadata:
        """Return what a crop inherits.

        Args:
            policy: Which entries to keep.
            width: The crop's width in pixels, written into the EXIF.
            height: The crop's height in pixels.
        """
        assert policy is MetadataPolicy.SAFE
        return Metadata(_rewritten(self.exif, _LEAKS | _STRUCTURE, (width, height)), _safe_xmp(self.xmp))

    @property
    def orientation(self) -> int:
        """How the stored pixels are turned, 1..8; 1 (upright) when absent or nonsense.

        Read by Pillow, as viewers built on it do: unlike exifread it survives damage elsewhere in the block.
        """
        stored = Image.Exif()
        try:
            stored.load(self.exif)
            value = stored.get(_ORIENTATION)
        except Exception:  # hostile bytes may raise anything; metadata never costs a photo
            return 1
        return value if isinstance(value, int) and 1 <= value <= 8 else 1

    def facts(self) -> CaptureFacts:
        """Return what the sidecar records of the capture, nothing where the block is damaged."""
        try:
            tags = exifread.process_file(_Block(self.exif), details=False, extract_thumbnail=False)
        except Exception:  # as above
            tags = {}
        make, model = _text(tags, "Image Make"), _text(tags, "Image Model")
        camera = model if model.startswith(make) else f"{make} {model}".strip()
        return CaptureFacts(
            captured_at=_iso_time(_text(tags, "EXIF DateTimeOriginal"), _text(tags, "EXIF OffsetTimeOriginal")),
            camera=camera or None,
        )


NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What the EXIF says of the capture.

    Args:
        captured_at: ISO 8601 time as the camera's clock showed it, with its UTC offset when it stored one.
        camera: Make and model.
    """

    captured_at: str | None = None
    camera: str | None = None


def tiff_exif(data: bytes) -> bytes:
    """Return the EXIF block inside a TIFF file, without the layout of its pixels.

    A TIFF is its own EXIF block; what is returned does not keep the file in memory.
    """
    return _rewritten(data, _STRUCTURE)


def _rewritten(block: bytes, dropped: Container[int], size: tuple[int, int] | None = None) -> bytes:
    """Return a new block of what is kept, empty when that is nothing.

    Args:
        block: An EXIF block, or a TIFF file.
        dropped: Tags to leave out, in whatever directory.
        size: Width and height in pixels of the upright picture to describe; None leaves both as stored.
    """
    stored = Image.Exif()
    try:
        stored.load(block)
    except Exception:  # as for the orientation
        return b""
    written = _new(stored.endian, _entries(stored, None, dropped))
    for pointer in (_EXIF, _GPS):
        if pointer not in dropped and (entries := _entries(stored, pointer, dropped)):
            written[pointer] = entries
    if interop := _entries(stored, _INTEROP, dropped):
        written[_EXIF] = {**written.get(_EXIF, {}), _INTEROP: interop}
    if size is not None and written:
        written[_ORIENTATION] = 1
        if _EXIF in written:
            width, height = size
            written[_EXIF] |= {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    return written.tobytes() if written else b""


def _new(endian: str | None, entries: dict[int, Any]) -> Image.Exif:
    exif = Image.Exif()
    exif.endian = endian  # some values, such as comments in Unicode, depend on it
    exif.update(entries)
    return exif


def _entries(stored: Image.Exif, pointer: int | None, dropped: Container[int]) -> dict[int, Any]:
    """Return what is kept of one directory, IFD0 for None; entries that are damaged are left out."""
    try:
        directory = stored if pointer is None else stored.get_ifd(pointer)
        values = {tag: _exact(directory[tag]) for tag in directory if tag not in _POINTERS and tag not in dropped}
    except Exception:  # a directory that is absent or leads astray
        return {}
    return {tag: value for tag, value in values.items() if _harmless({tag: value}, pointer, stored.endian)}


def _exact(value: Any) -> Any:
    """Return a value so that Pillow writes it as it was: of text it would keep ASCII alone."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _harmless(entry: dict[int, Any], pointer: int | None, endian: str | None) -> bool:
    """Tell whether an entry can be written at all, and holds no picture."""
    if pointer == _INTEROP:
        entry, pointer = {_INTEROP: entry}, _EXIF
    try:
        return _JPEG_START not in _new(endian, entry if pointer is None else {pointer: entry}).tobytes()
    except Exception:  # values that contradict their tag: Pillow raises struct.error, TypeError, ValueError and more
        return False


def _safe_xmp(xmp: bytes) -> bytes:
    """Keep a packet only when nothing in it looks like a picture or a place; its orientation is undone."""
    return b"" if _XMP_LEAK.search(xmp) else _XMP_ORIENTATION.sub(b"", xmp)


class _Block(io.BytesIO):
    """An EXIF block that can be read only so often: thousands of hostile entries may share the same bytes."""

    def __init__(self, block: bytes) -> None:
        super().__init__(block.removeprefix(_EXIF_HEADER))
        self._left = _READ_LIMIT

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._left -= _READ_COST + len(data)
        if self._left < 0:
            raise ValueError("the metadata is read in circles")
        return data


def _text(tags: dict[str, Any], name: str) -> str:
    """Return a text without padding, empty when it is absent or no text."""
    value = getattr(tags.get(name), "values", "")
    if isinstance(value, bytes):  # exifread's answer to text that is not UTF-8
        value = value.decode("utf-8", "replace")
    return value.strip() if isinstance(value, str) else ""


def _iso_time(taken: str, offset: str) -> str | None:
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d)", taken)
    if match is None or match[1] == "0000":
        return None
    zone = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else ""
    return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}{zone}"
