"""What of a photo's metadata goes into its crops, and what the sidecar tells of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from shotcrop_cli.imaging.exif import EXIF_POINTER, GPS_POINTER, Entry, Exif, parse

_MAKE, _MODEL = 0x010F, 0x0110
_ORIENTATION = 0x0112
_TAKEN, _TAKEN_OFFSET = 0x9003, 0x9011
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003

_MAKER_NOTE = 0x927C
_XMP = 0x02BC
_LEAKS = frozenset(
    {
        GPS_POINTER,
        _MAKER_NOTE,  # opaque, often holds a preview and a serial number
        0x014A,  # SubIFDs: previews and the raw image of TIFF-based files
        0x501B,  # thumbnail data of Windows GDI+
        0x8649,  # Photoshop image resources, which hold a thumbnail
        0x83BB,  # IPTC, which may name the place and hold an object preview
        _XMP,  # judged apart, see `safe_xmp`
    }
)
_STRUCTURE = frozenset(
    {0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117}
    | {0x011C, 0x0120, 0x0121, 0x013D, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x0152, 0x0153, 0x015B}
    | {0x0200, 0x0201, 0x0202, 0x0203, 0x0205, 0x0206, 0x0207, 0x0208, 0x0209, 0x0211, 0x0212, 0x0213, 0x0214}
    | {0x8773}
)
"""Tags of a TIFF's own pixel layout (and its ICC profile): true of the source file, false of a crop."""
_JPEG_START = b"\xff\xd8\xff"

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
        return Metadata(_safe_exif(parse(self.exif), width, height).to_bytes(), _safe_xmp(self.xmp))

    def facts(self) -> CaptureFacts:
        """Return what the sidecar records of the capture."""
        exif = parse(self.exif)
        make, model = exif.text(_MAKE) or "", exif.text(_MODEL) or ""
        camera = model if model.startswith(make) else f"{make} {model}".strip()
        return CaptureFacts(
            orientation=_orientation(exif),
            captured_at=_iso_time(exif.text(_TAKEN), exif.text(_TAKEN_OFFSET)),
            camera=camera or None,
        )


NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What the EXIF says of the capture.

    Args:
        orientation: How the stored pixels are turned, 1..8; 1 (upright) when absent or nonsense.
        captured_at: ISO 8601 time as the camera's clock showed it, with its UTC offset when it stored one.
        camera: Make and model.
    """

    orientation: int = 1
    captured_at: str | None = None
    camera: str | None = None


def _safe_exif(exif: Exif, width: int, height: int) -> Exif:
    kept = exif.without(_leaks)
    if not kept.entries:
        return kept
    return (
        kept.with_number(_ORIENTATION, 1)
        .with_number(_PIXEL_X, width, within=EXIF_POINTER)
        .with_number(_PIXEL_Y, height, within=EXIF_POINTER)
    )


def _leaks(entry: Entry) -> bool:
    return entry.tag in _LEAKS or entry.tag in _STRUCTURE or _JPEG_START in entry.value


def _safe_xmp(xmp: bytes) -> bytes:
    """Keep a packet only when nothing in it looks like a picture or a place; its orientation is undone."""
    return b"" if _XMP_LEAK.search(xmp) else _XMP_ORIENTATION.sub(b"", xmp)


def _orientation(exif: Exif) -> int:
    value = exif.number(_ORIENTATION)
    return value if value is not None and 1 <= value <= 8 else 1


def _iso_time(taken: str | None, offset: str | None) -> str | None:
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d)", taken or "")
    if match is None or match[1] == "0000":
        return None
    zone = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset or "") else ""
    return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}{zone}"
