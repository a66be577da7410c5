"""Facts about an image's coding that Pillow does not report: bit depth, chroma subsampling, lossless or not."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from shotcrop_cli.imaging.formats import AVIF, HEIF, JPEG_2000, WEBP, Format

_SUBSAMPLINGS = {"444": 0, "422": 1, "420": 2}
"""By pillow-heif's names."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """How the pixels are stored.

    Args:
        bits: Bits per channel.
        subsampling: Chroma subsampling: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
        lossless: Whether the compression is lossless.
    """

    bits: int = 8
    subsampling: int = 0
    lossless: bool = False


def read_codestream(image: Image.Image, data: bytes, form: Format) -> Codestream:
    """Read the header of a WebP, AVIF, HEIC or JPEG 2000 image; return the default for other formats.

    Args:
        image: The image, loaded.
        data: The content of its file.
        form: The format of the file.
    """
    if form is HEIF:
        bits, chroma = image.info.get("bit_depth"), image.info.get("chroma")
        return Codestream(bits if isinstance(bits, int) else 8, _SUBSAMPLINGS.get(str(chroma), 0))
    if form is WEBP:
        return Codestream(lossless=_is_lossless_webp(data))
    if form is AVIF and (place := data.find(b"av1C")) >= 0:
        # AV1-ISOBMFF, section 2.3.3: after version, profile and level come one bit each for tier, high bit depth,
        # twelve bit, monochrome, chroma subsampling x and y.
        flags = data[place + 6] if place + 6 < len(data) else 0
        bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        return Codestream(bits, (flags >> 3 & 1) + (flags >> 2 & 1))
    if form is JPEG_2000 and (place := data.find(b"\xff\x4f\xff\x51")) >= 0:
        # ITU-T T.800, section A.5.1: after the marker and 38 bytes of sizes comes a byte with the depth less 1.
        depth = data[place + 42] if place + 42 < len(data) else 7
        return Codestream((depth & 0x7F) + 1)
    return Codestream()


def _is_lossless_webp(data: bytes) -> bool:
    """Find the RIFF chunk of the first image: VP8L is lossless, VP8 is not."""
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        # The frames of an animation hold the images, after 16 bytes with their position.
        place += 8 + 16 if name == b"ANMF" else 8 + size + size % 2
    return False


def jpeg_xl_pixels(data: bytes) -> int:
    """Return how many pixels the header of a JPEG XL promises; 0 if it cannot be read.

    Its decoder makes all pixels before Pillow learns how many there are. Source: ISO/IEC 18181-1, SizeHeader.
    """
    bits = _Bits(_jpeg_xl_codestream(data)[2:])
    try:
        is_small = bits.take(1)
        height = 8 * (bits.take(5) + 1) if is_small else bits.take_size()
        ratio = bits.take(3)
        if ratio:
            across, down = _JPEG_XL_RATIOS[ratio - 1]
            return height * (height * across // down)
        return height * (8 * (bits.take(5) + 1) if is_small else bits.take_size())
    except IndexError:
        return 0


_JPEG_XL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jpeg_xl_codestream(data: bytes) -> bytes:
    """Return the start of the codestream, which may be in the first of several boxes."""
    if data.startswith(b"\xff\x0a"):
        return data[:32]
    place = 0
    while place + 16 <= len(data):
        size, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        start = place + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        if name in (b"jxlc", b"jxlp"):
            start += 4 if name == b"jxlp" else 0  # the number of the part
            return data[start : start + 32]
        if size < 8:
            break
        place += size
    return b""


class _Bits:
    """Reads numbers from bytes, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, count: int) -> int:
        """Return a number of so many bits."""
        value = 0
        for place in range(self._place, self._place + count):
            value |= (self._data[place >> 3] >> (place & 7) & 1) << (place - self._place)
        self._place += count
        return value

    def take_size(self) -> int:
        """Return a side in pixels, of 9 to 30 bits."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1
