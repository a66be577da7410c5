"""Read the metadata of a photo from where its format keeps it."""

from __future__ import annotations

from typing import Any

from PIL import Image

from shotcrop_cli.imaging.metadata import exif, iptc, xmp
from shotcrop_cli.imaging.metadata.policy import COMMENT, Comment, Metadata
from shotcrop_cli.imaging.metadata.resolution import Resolution, Unit, valid_resolution

_KEYWORDS = (
    *("Title", "Author", "Description", "Copyright", "Creation Time"),
    *("Software", "Disclaimer", "Warning", "Source", COMMENT),
)
"""Keywords for readable text that PNG 3.0 registers (section 11.3.3.1). Programs may store anything under others."""
_PROFILE = "Raw profile type {}"
"""PNG keyword under which ImageMagick and ExifTool store a block: a line with a name, one with a length, then
hexadecimal."""
_ROUNDING = 0.01
_RESOLUTION_RESOURCE = 0x03ED
"""Number of the resolution among Photoshop's image resources; Pillow reads it as pixels per inch."""
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\x00"


def read_tiff_metadata(data: bytes) -> Metadata:
    """Return the metadata of a TIFF file, or of a RAW file with the same structure."""
    blocks = exif.from_tiff(data)
    return Metadata(
        blocks.exif,
        blocks.xmp,
        iptc.without_padding(blocks.iptc) or iptc.from_resources(blocks.resources),
        resolution=exif.ExifBlock(blocks.exif).resolution(),
    )


def read_pillow_metadata(image: Image.Image) -> Metadata:
    """Return the metadata of an image that Pillow has loaded, from any format but TIFF."""
    info = image.info
    app1 = _profile(info, "APP1")  # ImageMagick's name for EXIF or XMP
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or _profile(info, "xmp") or b""
    if not packet and app1.startswith(_XMP_NAME):
        packet = app1.removeprefix(_XMP_NAME)
    packet = packet.encode() if isinstance(packet, str) else packet
    packet, notes = xmp.from_jpeg(packet, (data for name, data in getattr(image, "applist", ()) if name == "APP1"))
    resources = info.get("photoshop")
    block = info.get("exif") or _profile(info, "exif") or (b"" if app1.startswith(_XMP_NAME) else app1)
    return Metadata(
        exif=block,
        xmp=packet,
        iptc=resources.get(iptc.RESOURCE, b"") if isinstance(resources, dict) else _png_iptc(info),
        comments=_comments(image),
        resolution=_resolution(info, block),
        notes=notes,
    )


def _resolution(info: dict[str | tuple[int, int], Any], block: bytes) -> Resolution | None:
    """Return the resolution that the format itself stores, otherwise that of EXIF or Photoshop."""
    resources, density = info.get("photoshop"), info.get("jfif_density")
    printed = resources.get(_RESOLUTION_RESOURCE) if isinstance(resources, dict) else None
    printed = printed if isinstance(printed, dict) else {}
    x, y = density or (0, 0)
    across, down = map(_without_rounding, (not density and info.get("dpi")) or (0, 0))
    unit = {unit.value: unit for unit in (Unit.INCH, Unit.CENTIMETRE)}.get(info.get("jfif_unit"))
    found = (
        valid_resolution(x, y, unit),
        valid_resolution(across, down, Unit.INCH),
        exif.ExifBlock(block).resolution(),
        valid_resolution(printed.get("XResolution", 0), printed.get("YResolution", 0), Unit.INCH),
        valid_resolution(x, y, Unit.NONE) if x != y else None,
    )
    return next(filter(None, found), None)


def _without_rounding(side: float) -> float:
    """Undo that PNG and BMP count whole pixels per metre, so that 300 pixels per inch become 299.9994."""
    return round(side) if abs(side - round(side)) < _ROUNDING else side


def _png_iptc(info: dict[str | tuple[int, int], object]) -> bytes:
    block = _profile(info, "iptc")
    return iptc.from_resources(block) or block


def _profile(info: dict[str | tuple[int, int], object], name: str) -> bytes:
    text = info.get(_PROFILE.format(name))
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.strip().splitlines()[2:]))
    except ValueError:
        return b""


def _comments(image: Image.Image) -> tuple[Comment, ...]:
    info = image.info
    plain = [data for name, data in getattr(image, "applist", ()) if name == "COM"]  # a JPEG may have several
    if not plain and isinstance(info.get("comment"), bytes):
        plain = [info["comment"]]
    if plain:
        return tuple(Comment(COMMENT, _decoded(text)) for text in dict.fromkeys(plain))
    found = ((keyword, info.get(keyword)) for keyword in _KEYWORDS)
    return tuple(Comment(keyword, str(text)) for keyword, text in found if isinstance(text, str))


def _decoded(text: bytes) -> str:
    """Decode a comment: JPEG and GIF do not name the encoding."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
