"""Thumbnails for models and review sheets: 8-bit sRGB, whatever the mode and colour space of the photo."""

from __future__ import annotations

from PIL import Image

from shotcrop_cli.imaging.colour import to_srgb
from shotcrop_cli.imaging.hdr import to_standard_range
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import onto_white, to_8_bit

ANY_SIZE_LONG_SIDE = 1536
"""Longer side in pixels for models that take any size and do not name one. At 4:3 that is about 1.8 MP."""
_REDUCING_GAP = 2.0
"""Pillow shrinks by whole factors first, down to this many times the wanted size. That is 5 times as fast as a plain
resize, by our measurement.

Filter and gap are the same as for training photos: bilinear as in `preprocess.squash` where the aspect ratio changes,
bicubic as in the image processors of large models where it is kept."""


def thumbnail(photo: Photo, size: tuple[int, int]) -> Image.Image:
    """Return a small upright image in sRGB, mode RGB, with a white background for transparency.

    Args:
        photo: The photo; its own pixels stay unchanged.
        size: Width and height in pixels, which need not keep the aspect ratio. (0, N) keeps it and shrinks a longer
            side above N to N; (0, 0) shrinks it to `ANY_SIZE_LONG_SIDE`.
    """
    pixels = to_8_bit(photo.pixels)
    if size[0] == 0:
        small = shrink_to_long_side(pixels, size[1] or ANY_SIZE_LONG_SIDE)
    else:
        small = pixels.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    icc_profile = photo.icc_profile
    if photo.hdr is not None:
        small, icc_profile = to_standard_range(small, photo.hdr)
    return to_srgb(onto_white(small), icc_profile)


def least_sides(size: tuple[int, int]) -> tuple[int, int]:
    """Return the shorter and the longer side that the pixels for a thumbnail should have, whatever their orientation.

    Args:
        size: The size of the thumbnail, as `thumbnail` takes it.
    """
    if size[0] == 0:
        return 1, round(_REDUCING_GAP * (size[1] or ANY_SIZE_LONG_SIDE))
    longer = round(_REDUCING_GAP * max(size))
    return longer, longer


def shrink_to_long_side(image: Image.Image, long_side: int) -> Image.Image:
    """Return an image whose longer side has at most `long_side` pixels, with the same aspect ratio."""
    scale = long_side / max(image.size)
    if scale >= 1.0:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
