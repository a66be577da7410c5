"""Where each format keeps its metadata."""

from __future__ import annotations

from PIL import Image

from shotcrop_cli.imaging.metadata import exif, iptc
from shotcrop_cli.imaging.metadata.policy import Comment, Metadata

_COMMENT = "Comment"
_KEYWORDS = (
    *("Title", "Author", "Description", "Copyright", "Creation Time"),
    *("Software", "Disclaimer", "Warning", "Source", _COMMENT),
)
"""What PNG 3.0, section 11.3.3.1, registers for people; others are programs' own and may hold anything."""
_PROFILE = "Raw profile type {}"
"""Where ImageMagick and ExifTool keep blocks in PNG, in hexadecimal behind a line with a name and one with a length."""
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\x00"


def tiff_metadata(data: bytes) -> Metadata:
    """Return the metadata of a TIFF, or of a RAW file that is built like one."""
    blocks = exif.of_tiff(data)
    return Metadata(blocks.exif, blocks.xmp, blocks.iptc or iptc.from_resources(blocks.resources))


def picture_metadata(image: Image.Image) -> Metadata:
    """Return the metadata of any other picture that Pillow has loaded."""
    info = image.info
    app1 = _profile(info, "APP1")  # ImageMagick's name for either
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or _profile(info, "xmp") or b""
    if not packet and app1.startswith(_XMP_NAME):
        packet = app1.removeprefix(_XMP_NAME)
    resources = info.get("photoshop")
    return Metadata(
        exif=info.get("exif") or _profile(info, "exif") or (b"" if app1.startswith(_XMP_NAME) else app1),
        xmp=packet.encode() if isinstance(packet, str) else packet,
        iptc=resources.get(iptc.RESOURCE, b"") if isinstance(resources, dict) else _png_iptc(info),
        comments=_comments(info),
    )


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


def _comments(info: dict[str | tuple[int, int], object]) -> tuple[Comment, ...]:
    plain = info.get("comment")
    if isinstance(plain, bytes):  # JPEG and GIF do not say in what encoding
        try:
            return (Comment(_COMMENT, plain.decode("utf-8")),)
        except UnicodeDecodeError:
            return (Comment(_COMMENT, plain.decode("latin-1")),)
    found = ((keyword, info.get(keyword)) for keyword in _KEYWORDS)
    return tuple(Comment(keyword, str(text)) for keyword, text in found if isinstance(text, str))
