"""What a picture's own stream says of itself and Pillow does not tell."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from shotcrop_cli.imaging.formats import AVIF, HEIF, WEBP, Format

_SUBSAMPLINGS = {"444": 0, "422": 1, "420": 2}
"""By pillow-heif's name."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """How the pixels are stored.

    Args:
        bits: Per channel.
        subsampling: Of chroma: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
        lossless: Whether nothing was lost.
    """

    bits: int = 8
    subsampling: int = 0
    lossless: bool = False


def codestream(image: Image.Image, data: bytes, form: Format) -> Codestream:
    """Look into the header of a stream; other formats than WebP, AVIF and HEIC answer the default.

    Args:
        image: The picture, loaded.
        data: Its file.
        form: The file's format.
    """
    if form is HEIF:
        bits, chroma = image.info.get("bit_depth"), image.info.get("chroma")
        return Codestream(bits if isinstance(bits, int) else 8, _SUBSAMPLINGS.get(str(chroma), 0))
    if form is WEBP:
        return Codestream(lossless=_is_lossless_webp(data))
    if form is AVIF and (place := data.find(b"av1C")) >= 0:
        # av1C, section 2.3.3: version, profile and level, then tier, high bit depth, twelve bit, monochrome,
        # chroma subsampling x and y, one bit each.
        flags = data[place + 6] if place + 6 < len(data) else 0
        bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        return Codestream(bits, (flags >> 3 & 1) + (flags >> 2 & 1))
    return Codestream()


def _is_lossless_webp(data: bytes) -> bool:
    """Walk the RIFF chunks to the picture's own: VP8L is lossless, VP8 is not."""
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        # An animation's pictures lie inside its frames, behind 16 bytes of placement.
        place += 8 + 16 if name == b"ANMF" else 8 + size + size % 2
    return False
