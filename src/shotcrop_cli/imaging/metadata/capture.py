"""What the sidecar tells of a capture, read by exifread."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import exifread

from shotcrop_cli.imaging.metadata import exif, xmp
from shotcrop_cli.imaging.read_limit import Metered

_READ_LIMIT = 1 << 20
"""Bytes that facts may cost to read; cameras' blocks need some 10,000 [O]."""

logging.getLogger("exifread").setLevel(logging.CRITICAL)  # damaged metadata is no news to the user


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What the metadata says of the capture.

    Args:
        captured_at: ISO 8601 time as the camera's clock showed it, with its UTC offset when it stored one.
        camera: Make and model.
        lens: Model of the lens.
        has_gps: Whether coordinates are stored; which ones is nobody's business here.
    """

    captured_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    has_gps: bool = False


def read_facts(block: bytes, packet: bytes = b"") -> CaptureFacts:
    """Return the facts, none where the block is damaged.

    Args:
        block: An EXIF block.
        packet: An XMP packet, which may hold coordinates, too.
    """
    try:
        tags = exifread.process_file(Metered(exif.bare(block), _READ_LIMIT), details=False, extract_thumbnail=False)
    except Exception:  # hostile bytes may raise anything; metadata never costs a photo
        tags = {}
    make, model = _text(tags, "Image Make"), _text(tags, "Image Model")
    camera = model if model.startswith(make) else f"{make} {model}".strip()
    return CaptureFacts(
        captured_at=_iso_time(_text(tags, "EXIF DateTimeOriginal"), _text(tags, "EXIF OffsetTimeOriginal")),
        camera=camera or None,
        lens=_text(tags, "EXIF LensModel") or None,
        has_gps="GPS GPSLatitude" in tags or xmp.has_gps(packet),
    )


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
