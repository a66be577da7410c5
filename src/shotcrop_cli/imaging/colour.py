"""Colour profiles: check that one fits its pixels, and convert pixels to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

from shotcrop_cli.imaging.pixels import DEEP_MODES, in_usual_mode

_SPACES = {
    **dict.fromkeys(("1", "L", "LA", *DEEP_MODES), b"GRAY"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "YCbCr"), b"RGB "),
    "CMYK": b"CMYK",
    "LAB": b"Lab ",
}
"""The colour space in the profile header, by Pillow mode. Source: ICC.1, table 19."""


_SAMPLES = tuple((r, g, b) for r in (0, 40, 128, 255) for g in (0, 40, 128, 255) for b in (0, 40, 128, 255))


def profile_fits(icc_profile: bytes, mode: str) -> bool:
    """Return whether an ICC profile describes pixels of a Pillow mode."""
    # The space is at byte 16, the signature of any profile at 36 (ICC.1, section 7.2).
    return icc_profile[36:40] == b"acsp" and icc_profile[16:20] == _SPACES.get(mode)


def to_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    """Return an image in sRGB: mode RGBA for LA and RGBA, otherwise mode RGB.

    Args:
        image: An image with 8 bits per channel.
        icc_profile: Its profile. If it is missing or unusable, the pixels are treated as sRGB, plain gray or CMYK.
    """
    image = in_usual_mode(image)
    if image.mode in ("LA", "RGBA"):
        opaque = to_srgb(image.convert("L" if image.mode == "LA" else "RGB"), icc_profile)
        opaque.putalpha(image.getchannel("A"))
        return opaque
    transform = _srgb_transform(icc_profile, image.mode)
    if transform is not None:
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None  # only a conversion in place returns None
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _srgb_transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion to sRGB; None if the pixels are sRGB already or the profile is unusable."""
    try:
        if not profile_fits(icc_profile, mode):
            if mode != "LAB":
                return None
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))  # LAB needs no profile from the file
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        transform = ImageCms.buildTransform(profile, _srgb(), mode, "RGB")
        return None if mode == "RGB" and _changes_nothing(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a conversion keeps all of some strong and weak colours. The name of a profile proves nothing."""
    colours = Image.new("RGB", (len(_SAMPLES), 1))
    colours.putdata(_SAMPLES)
    converted = ImageCms.applyTransform(colours, transform)
    assert converted is not None
    return all(abs(ours - theirs) <= 1 for ours, theirs in zip(colours.tobytes(), converted.tobytes(), strict=True))


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
