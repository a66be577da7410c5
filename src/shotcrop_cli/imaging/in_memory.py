"""Photos that are not files: encoded bytes, Pillow images and numpy arrays."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from shotcrop_cli.errors import InputError, PhotoError
from shotcrop_cli.imaging.content_format import format_of_content
from shotcrop_cli.imaging.declared_colour import find_colour
from shotcrop_cli.imaging.decode import SourceBytes, decode
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS, FORMATS, PNG, format_called
from shotcrop_cli.imaging.hdr import hdr_colour
from shotcrop_cli.imaging.open_image import open_image, register
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import in_usual_mode, to_8_bit
from shotcrop_cli.imaging.png import read_chunks

_ORIENTATION_TAG = 0x0112


def photo_of_bytes(data: bytes, name: str = "photo", max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Decode an encoded photo whose format is known from its content alone.

    Args:
        data: The content of a photo file, of any format that `shotcrop crop` reads except RAW.
        name: What error messages call it.
        max_pixels: Pixels that the photo may have.

    Raises:
        PhotoError: The content is damaged, too large or not a photo.
    """
    with suppress(PhotoError):  # `decode` reports it for a photo that needs it
        register(Path(name), format_of_content(data))
    with open_image(name, read_chunks(data).content, hint="for a RAW photo, pass its path") as image:
        stored = image.format
    suffix = next((suffix for suffix, form in FORMATS.items() if stored in form.pillow_names), "")
    path = (Path(name) if Path(name).name else Path("photo")).with_suffix(suffix)
    return decode(SourceBytes(path, data, len(data), 0, hashlib.sha256(data).hexdigest()), max_pixels)


def photo_of_image(image: Image.Image) -> Photo:
    """Take a Pillow image as a photo: turned upright by its EXIF orientation, with its colour profile.

    Args:
        image: In any mode; the image itself stays as it is.

    Raises:
        InputError: The image has no pixels.
        PhotoError: The image is closed, or its file is damaged.
    """
    if 0 in image.size:
        raise InputError(f"image: {image.width} x {image.height} pixels", hint="pass an image with at least one pixel")
    orientation = _orientation(image)
    try:  # Pillow reads the pixels of a file only now
        pixels = in_usual_mode(image.copy() if orientation == 1 else ImageOps.exif_transpose(image))
    except Exception as error:  # as in `open_image`
        raise PhotoError(f"image: cannot be read: {error}", hint="pass an open, undamaged image") from error
    form, block = format_called(image.format or "") or PNG, image.info.get("exif")
    colour = find_colour(image, b"", form, b"", block if isinstance(block, bytes) else b"")
    return Photo(
        pixels=pixels,
        format=PNG,
        orientation=orientation,
        icc_profile=colour.icc_profile,
        hdr=None if colour.hdr is None else hdr_colour(to_8_bit(pixels), colour.hdr),
        lossless=True,
    )


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image; 1 if it has none, or damaged EXIF data."""
    try:
        orientation: Any = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # as in `open_image`
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def photo_of_array(array: Any) -> Photo:
    """Take a numpy array as an upright sRGB photo.

    Args:
        array: Grey (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), dtype uint8; grey also uint16.

    Raises:
        InputError: The array has another shape or dtype.
    """
    pixels: Any = np.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    grey = pixels.ndim == 2
    colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4)
    if (
        not (grey or colour)
        or 0 in pixels.shape
        or pixels.dtype not in ((np.uint8, np.uint16) if grey else (np.uint8,))
    ):
        raise InputError(
            f"array: shape {pixels.shape} and dtype {pixels.dtype}",
            hint="pass (H, W), (H, W, 3) or (H, W, 4) of uint8, or (H, W) of uint16",
        )
    return photo_of_image(Image.fromarray(np.ascontiguousarray(pixels)))
