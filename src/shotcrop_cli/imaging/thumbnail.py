"""The thumbnails that a model sees and a review sheet shows: 8 bits, sRGB, whatever the photo is made of."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from shotcrop_cli.imaging.decode import DEEP_MODES, Photo

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
    small = _eight_bit(photo.pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    if small.mode in ("LA", "RGBA"):
        opaque = Image.new("RGBA", small.size, "white")
        opaque.alpha_composite(small.convert("RGBA"))
        small = opaque.convert("L" if small.mode == "LA" else "RGB")
    return _to_srgb(small, photo.icc_profile)


def _eight_bit(pixels: Image.Image) -> Image.Image:
    """Return the pixels in an 8-bit mode that can be resized, scaled where they had more bits."""
    if pixels.mode in DEEP_MODES:
        stored = np.asarray(pixels)
        if stored.dtype.itemsize == 2:
            return Image.fromarray((stored >> 8).astype(np.uint8))
        values = stored.astype(np.float32)
        # 32-bit modes have no agreed white: 16-bit values are common, anything else is stretched to fit.
        white = 65535.0 if pixels.mode != "F" and values.max() <= 65535 else float(values.max()) or 1.0
        return Image.fromarray((values.clip(0, white) * (255.0 / white) + 0.5).astype(np.uint8))
    if pixels.mode == "1":
        return pixels.convert("L")
    if pixels.mode in ("P", "PA") or (pixels.mode in ("L", "RGB") and "transparency" in pixels.info):
        return pixels.convert("RGBA" if pixels.mode == "PA" or "transparency" in pixels.info else "RGB")
    return pixels


def _to_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    transform = _srgb_transform(icc_profile, image.mode) if icc_profile else None
    if transform is not None:
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None  # None is returned for conversions in place only
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _srgb_transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion to sRGB, None where there is nothing to convert or the profile is of no use."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        if mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(profile):
            return None
        return ImageCms.buildTransform(profile, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
