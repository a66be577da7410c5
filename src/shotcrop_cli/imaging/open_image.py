"""Open image files with Pillow: only in the formats that shotcrop reads, and with limits for hostile files."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.codestream import jpeg_xl_pixels
from shotcrop_cli.imaging.content_format import HEAD_BYTES, format_of_content
from shotcrop_cli.imaging.formats import FORMATS, HEIF, JPEG_XL, Format
from shotcrop_cli.imaging.read_limit import LimitedReader

_PILLOW_FORMATS = tuple(dict.fromkeys(name for form in FORMATS.values() for name in form.pillow_names))
"""Pillow's names of the formats that shotcrop reads. Pillow knows more, and some of them start other programs."""
_READ_MARGIN_BYTES = 16 << 20
"""Decoding may read eight times the length of the file plus these bytes (our choice)."""
_PREFIX_BYTES = 16
"""First bytes of a file by which Pillow's formats recognise it."""


def register(path: Path, form: Format | None) -> None:
    """Let Pillow read a format that it cannot read by itself. Other runs do not load these libraries.

    Raises:
        PhotoError: The library is not installed or does not work.
    """
    if form is HEIF:
        try:
            register_heif()
        except ImportError as error:
            raise PhotoError(
                f"{path}: pillow-heif cannot be loaded: {error}", hint=install_hint.reinstall("pillow-heif")
            ) from error
    elif form is JPEG_XL:
        try:
            import pillow_jxl  # noqa: F401 - it registers itself
        except ImportError as error:
            raise PhotoError(
                f"{path}: JPEG XL support is not installed", hint=install_hint.add_extras("jxl")
            ) from error


def open_image(
    name: str | Path, data: bytes, hint: str = "check that it opens in a viewer", max_pixels: int | None = None
) -> Image.Image:
    """Read the header of a photo.

    Args:
        name: What error messages call it.
        data: The content of the file.
        hint: How to fix a file that is not an image.
        max_pixels: Pixels that it may have; None for any number. Pillow's own limit belongs to the whole process.

    Raises:
        PhotoError: The content has too many pixels, or it is not an image in a format that shotcrop reads.
    """
    if format_of_content(data[:HEAD_BYTES]) is JPEG_XL:
        _check_pixels(name, jpeg_xl_pixels(data), max_pixels)
    try:
        image = _open_header(data)
    except Image.DecompressionBombError as error:  # Pillow checks the size of WebP and of tiles itself
        raise PhotoError(f"{name}: {error}", hint="scale it down first") from error
    except Exception as error:  # hostile bytes may raise anything in a parser
        raise PhotoError(f"{name}: cannot be read as an image", hint=hint) from error
    _check_pixels(name, image.width * image.height, max_pixels)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # The decoder gets all data at once: after each part, it would wait for the interpreter lock.
        image.decodermaxblock = max(image.decodermaxblock, len(data))
    return image


def _check_pixels(name: str | Path, pixels: int, max_pixels: int | None) -> None:
    if max_pixels is not None and pixels > max_pixels:
        raise PhotoError(
            f"{name}: the image has {_megapixels(pixels)}, more than {_megapixels(max_pixels)}",
            hint="raise --max-pixels, or scale it down first",
        )


def _open_header(data: bytes) -> Image.Image:
    """Do what `Image.open` does, but without its limit of pixels."""
    Image.init()
    for name in _PILLOW_FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        accepted = factory is not None and (accept is None or accept(data[:_PREFIX_BYTES]))
        if factory is None or not accepted or isinstance(accepted, str):  # a text says why not
            continue
        with suppress(SyntaxError, IndexError, TypeError, struct.error):  # what `Image.open` takes for "another format"
            return factory(LimitedReader(data, _READ_MARGIN_BYTES + 8 * len(data)), "")
    raise UnidentifiedImageError("no known format")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 10**6:.4g} megapixels"


@lru_cache(maxsize=1)
def register_heif() -> None:
    """Let Pillow read HEIC. This is done for the first HEIC photo, so that other runs do not load libheif."""
    import pillow_heif

    pillow_heif.register_heif_opener()
