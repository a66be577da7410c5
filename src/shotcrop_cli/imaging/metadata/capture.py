"""What the sidecar records about a capture: time, camera, lens and whether it has GPS. Read with exifread."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import exifread

from shotcrop_cli.imaging.metadata import exif, xmp
from shotcrop_cli.imaging.read_limit import LimitedReader

_READ_LIMIT = 1 << 20
"""Bytes that exifread may read. Blocks of cameras need about 10,000; the limit is our choice."""

logging.getLogger("exifread").setLevel(logging.CRITICAL)  # the user need not know of damaged metadata


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What the metadata says about the capture.

    Args:
        captured_at: Time on the camera's clock in ISO 8601, with the UTC offset if the camera stored one.
        camera: Make and model.
        lens: Model of the lens.
        has_gps: Whether GPS coordinates are stored. The coordinates themselves are private and are not read.
    """

    captured_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    has_gps: bool = False


def read_capture_info(block: bytes, packet: bytes = b"") -> CaptureInfo:
    """Return what a photo's metadata says about the capture; empty if the block is damaged.

    Args:
        block: An EXIF block.
        packet: An XMP packet, which may also hold GPS coordinates.
    """
    try:
        tags = exifread.process_file(
            LimitedReader(exif.strip_header(block), _READ_LIMIT), details=False, extract_thumbnail=False
        )
    except Exception:  # hostile bytes may raise anything; bad metadata must not fail a photo
        tags = {}
    make, model = _text(tags, "Image Make"), _text(tags, "Image Model")
    camera = model if model.startswith(make) else f"{make} {model}".strip()
    return CaptureInfo(
        captured_at=_iso_time(_text(tags, "EXIF DateTimeOriginal"), _text(tags, "EXIF OffsetTimeOriginal")),
        camera=camera or None,
        lens=_text(tags, "EXIF LensModel") or None,
        has_gps="GPS GPSLatitude" in tags or xmp.has_gps(packet),
    )


def _text(tags: dict[str, Any], name: str) -> str:
    """Return a text without padding; empty if the tag is absent or not a text."""
    value = getattr(tags.get(name), "values", "")
    if isinstance(value, bytes):  # exifread returns bytes for text that is not UTF-8
        value = value.decode("utf-8", "replace")
    return value.strip() if isinstance(value, str) else ""


def _iso_time(taken: str, offset: str) -> str | None:
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d)", taken)
    if match is None or match[1] == "0000":
        return None
    zone = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else ""
    return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}{zone}"
