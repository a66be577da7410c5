"""The thumbnails that a model sees and a review sheet shows: 8 bits, sRGB, whatever the photo is made of."""

from __future__ import annotations

from PIL import Image

from shotcrop_cli.imaging.colour import to_srgb
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.pixels import eight_bit, over_white

ANY_SIZE_LONG_SIDE = 1536
"""Longer side in pixels of a thumbnail for models that take any size and name none; about 1.8 megapixels at 4:3 [N]."""
_REDUCING_GAP = 2.0
"""Shrink by whole factors while twice the wanted size remains, 5x faster than a plain resize [O].

Filters and gap are those through which models see their training photos: bilinear, of `preprocess.squash`, where the
aspect is given up, and bicubic, as the image processors of large models, where it is kept."""


def thumbnail(photo: Photo, size: tuple[int, int]) -> Image.Image:
    """Return what a model sees: sRGB, mode RGB, transparency over white.

    Args:
        photo: The photo; its own pixels stay as they are.
        size: Width and height in pixels that the photo is squashed to; (0, N) keeps its aspect and shrinks its longer
            side to N where it is longer, (0, 0) to `ANY_SIZE_LONG_SIDE`.
    """
    pixels = eight_bit(photo.pixels)
    if size[0] == 0:
        small = in_shape(pixels, size[1] or ANY_SIZE_LONG_SIDE)
    else:
        small = pixels.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return to_srgb(over_white(small), photo.icc_profile)


def in_shape(image: Image.Image, long_side: int) -> Image.Image:
    """Return an image whose longer side has at most so many pixels, its aspect kept."""
    scale = long_side / max(image.size)
    if scale >= 1.0:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
