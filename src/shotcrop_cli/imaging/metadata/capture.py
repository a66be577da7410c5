"""What the sidecar records about a capture: time, camera, lens, and whether the place is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from shotcrop_cli.imaging.metadata import exif, iptc, xmp

_MAKE, _MODEL, _LENS = 0x010F, 0x0110, 0xA434
_EXIF_TIMES = ((0x9003, 0x9011, 0x9291), (0x9004, 0x9012, 0x9292))
"""Tags of time, UTC offset and fraction of a second: when the photo was taken, and when it was digitised."""
_TIFF_SPACE, _EXIF_SPACE = "{http://ns.adobe.com/tiff/1.0/}", "{http://ns.adobe.com/exif/1.0/}"
_XMP_EXIF_SPACES = (_EXIF_SPACE, "{http://cipa.jp/exif/1.0/}", "{http://cipa.jp/exif/2.32/}")
_XMP_TIMES = (
    (f"{_EXIF_SPACE}DateTimeOriginal", "Original"),
    ("{http://ns.adobe.com/photoshop/1.0/}DateCreated", "Original"),
    (f"{_EXIF_SPACE}DateTimeDigitized", "Digitized"),
    ("{http://ns.adobe.com/xap/1.0/}CreateDate", "Digitized"),
)
"""Names of times, and how the names of their UTC offset and fraction end, which EXIF stores apart."""
_XMP_LENSES = (
    "{http://cipa.jp/exif/1.0/}LensModel",
    "{http://cipa.jp/exif/2.32/}LensModel",
    f"{_EXIF_SPACE}LensModel",
    "{http://ns.adobe.com/exif/1.0/aux/}Lens",
)
_IPTC_TIMES = ((55, 60), (62, 63))
"""Numbers of date and time: of the creation, and of the digitising."""

_TIME = re.compile(
    r"(\d{4})[-:/.]?(\d\d)[-:/.]?(\d\d)"
    r"(?:[T ]+(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[-+]\d\d:?\d\d)?)?",
    re.ASCII,
)
"""A time as EXIF, XMP and IPTC write it. EXIF has colons in the date; programs use other signs as well."""
_OFFSET = re.compile(r"Z|[-+](?:0\d|1[0-4]):?[0-5]\d", re.ASCII)
_FRACTION = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What the metadata says about the capture.

    Args:
        captured_at: Time on the camera's clock in ISO 8601, with fraction of a second and UTC offset as far as they
            are stored; only the date if there is no time.
        camera: Make and model.
        lens: Model of the lens.
        has_gps: Whether coordinates are stored. The coordinates themselves are private and are not read.
    """

    captured_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    has_gps: bool = False


def read_capture_info(block: bytes, packet: bytes = b"", iptc_block: bytes = b"") -> CaptureInfo:
    """Return what a photo's metadata says about the capture: EXIF first, then XMP, then IPTC.

    Args:
        block: An EXIF block.
        packet: An XMP packet.
        iptc_block: An IPTC block.
    """
    stored, texts, data_sets = exif.ExifBlock(block), xmp.values(packet), iptc.values(iptc_block)
    times = (
        *(_exif_time(stored, *tags) for tags in _EXIF_TIMES),
        *(_xmp_time(texts, name, ending) for name, ending in _XMP_TIMES),
        *(_iptc_time(data_sets.get(date, ""), data_sets.get(time, "")) for date, time in _IPTC_TIMES),
    )
    make = stored.text(stored.main, _MAKE) or texts.get(f"{_TIFF_SPACE}Make", "")
    model = stored.text(stored.main, _MODEL) or texts.get(f"{_TIFF_SPACE}Model", "")
    camera = model if model.startswith(make) else f"{make} {model}".strip()
    lenses = (stored.text(stored.camera, _LENS), *(texts.get(name, "") for name in _XMP_LENSES))
    return CaptureInfo(
        captured_at=next(filter(None, times), None),
        camera=camera or None,
        lens=next(filter(None, lenses), None),
        has_gps=stored.has_position or xmp.has_position(packet) or iptc.has_position(iptc_block),
    )


def iso_time(text: str, offset: str = "", fraction: str = "") -> str | None:
    """Return a time in ISO 8601; None if it is invalid, or does not have at least a date.

    Args:
        text: The time, in any of the usual forms.
        offset: Its UTC offset, if it is stored apart.
        fraction: The decimals of its seconds, if they are stored apart.
    """
    match = _TIME.fullmatch(text.strip("\x00 "))
    if match is None:
        return None
    year, month, day, hour, minute, second, inner_fraction, inner_offset = match.groups()
    try:
        datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return None
    if hour is None:
        return f"{year}-{month}-{day}"
    fraction = inner_fraction or (fraction if _FRACTION.fullmatch(fraction) else "")
    offset = inner_offset or offset
    if _OFFSET.fullmatch(offset) is None:
        offset = ""
    elif offset != "Z" and ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:]}"
    return f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction and '.'}{fraction}{offset}"


def _exif_time(stored: exif.ExifBlock, time: int, offset: int, fraction: int) -> str | None:
    return iso_time(*(stored.text(stored.camera, tag) for tag in (time, offset, fraction)))


def _xmp_time(texts: dict[str, str], name: str, ending: str) -> str | None:
    offset, fraction = (
        next((texts[key] for space in _XMP_EXIF_SPACES if (key := f"{space}{kind}{ending}") in texts), "")
        for kind in ("OffsetTime", "SubSecTime")
    )
    return iso_time(texts.get(name, ""), offset, fraction)


def _iptc_time(date: str, time: str) -> str | None:
    """Return the time of two data sets; only the date if there is no valid time."""
    return iso_time(f"{date} {time}") or iso_time(date)
