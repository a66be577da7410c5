"""Encode an image, or a part of it, as JPEG.

Pillow's encoder can take a part of an image as it is, but `Image.save` can only take a whole image. For a crop of a
photo, that would first copy nearly all of its pixels.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from typing import IO, Any

from PIL import Image, JpegImagePlugin

from shotcrop_cli.imaging.pixels import cropped

_BUFFER_BYTES = 1 << 20
"""Bytes that the encoder hands on at a time, unless its markers need more (our choice)."""


def encode_jpeg(
    image: Image.Image, options: Mapping[str, object], corners: tuple[int, int, int, int] | None = None
) -> bytes:
    """Return an image, or a part of it, as a JPEG file.

    Args:
        image: Pixels in a mode that JPEG can store.
        options: What `Image.save` takes for JPEG.
        corners: Left, upper, right and lower edge of the part; None for the whole image.

    Raises:
        Exception: What Pillow's encoder raises.
    """
    if corners is not None and _are_inside(image, corners) and takes_parts():
        return _encode_part(image, options, corners)
    if corners is not None:
        image = cropped(image, corners)
        image.info = {}  # it describes the photo, and the writer would read it
    with _file_in_memory() as file:
        image.save(file, "JPEG", **options)
        file.seek(0)
        return file.read()


@lru_cache(maxsize=1)
def takes_parts() -> bool:
    """Say whether this Pillow encodes a part of an image as it would encode a copy of it.

    Pillow promises this only for its own use. So we try it, and copy the pixels if it does not work as expected.
    """
    image, corners = Image.radial_gradient("L").resize((40, 40)).convert("RGB"), (3, 5, 36, 30)
    options: dict[str, object] = {"quality": 90, "subsampling": 2}
    copied = io.BytesIO()
    try:
        image.crop(corners).save(copied, "JPEG", **options)
        return _encode_part(image, options, corners) == copied.getvalue()
    except Exception:  # whatever another version of Pillow raises
        return False


def _are_inside(image: Image.Image, corners: tuple[int, int, int, int]) -> bool:
    """Say whether a part is inside an image. The encoder takes no other parts, and copies are padded with black."""
    return corners[0] >= 0 and corners[1] >= 0 and corners[2] <= image.width and corners[3] <= image.height


def _encode_part(image: Image.Image, options: Mapping[str, object], corners: tuple[int, int, int, int]) -> bytes:
    sample: Any = Image.new(image.mode, (1, 1))  # gets what the options mean for the encoder
    with io.BytesIO() as file:
        sample.save(file, "JPEG", **options)
        markers = file.tell()
    image.load()
    encoder = Image._getencoder(image.mode, "jpeg", JpegImagePlugin.RAWMODE[image.mode], sample.encoderconfig)
    try:
        encoder.setimage(image.im, corners)
        with _file_in_memory() as file_in_memory:
            if encoder.encode_to_file(file_in_memory.fileno(), _BUFFER_BYTES + markers) < 0:
                raise OSError("the JPEG encoder failed")
            file_in_memory.seek(0)
            return file_in_memory.read()
    finally:
        encoder.cleanup()


def _file_in_memory() -> IO[bytes]:
    """Return an anonymous file: in memory if the system can do that, otherwise on the disk.

    Pillow's JPEG encoder writes to a real file without holding the interpreter lock, so that other threads can run.
    With `io.BytesIO` it holds the lock.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("crop"), "w+b")
    return tempfile.TemporaryFile()
