"""The thumbnails that a model sees and a review sheet shows: 8 bits, sRGB, whatever the photo is made of."""

from __future__ import annotations

from PIL import Image

from shotcrop_cli.imaging.colour import to_srgb
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.pixels import eight_bit, over_white

ANY_SIZE_LONG_SIDE = 1536
"""Longer side in pixels of a thumbnail for models that take any size; about 1.8 megapixels at 4:3 [N]."""
_REDUCING_GAP = 2.0
"""Shrink by whole factors while twice the wanted size remains, 5x faster than a plain resize [O].

Filter and gap are those of `preprocess.squash`, through which models see their training photos."""


def thumbnail(photo: Photo, size: tuple[int, int]) -> Image.Image:
    """Return what a model sees: sRGB, mode RGB, transparency over white.

    Args:
        photo: The photo; its own pixels stay as they are.
        size: Width and height in pixels that the photo is squashed to; (0, 0) keeps its aspect and
            shrinks its longer side to `ANY_SIZE_LONG_SIDE` where it is longer.
    """
    if size == (0, 0):
        scale = min(1.0, ANY_SIZE_LONG_SIDE / max(photo.pixels.size))
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    small = eight_bit(photo.pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return to_srgb(over_white(small), photo.icc_profile)
