"""Put a part of a photo on a background, so that it fills a ratio without being cut."""

from __future__ import annotations

import re
from dataclasses import replace

from PIL import Image, ImageColor, ImageFilter

from shotcrop_cli.imaging.hdr import to_standard_range
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import cropped, in_usual_mode, onto_white, to_8_bit, white_level
from shotcrop_cli.shots import PixelBox

BLUR = "blur"
_BLURRED_SIDE, _BLUR_RADIUS = 96, 5
"""The background is blurred at this size and then enlarged, which is fast and as smooth (our choice)."""


def parse_background(text: str) -> str:
    """Return `blur`, or a colour as `#rrggbb`.

    Raises:
        ValueError: It is no colour.
    """
    wanted = text.strip().lower()
    if wanted == BLUR:
        return BLUR
    if re.fullmatch(r"[0-9a-f]{6}", wanted):  # the # begins a comment in shells, so people leave it out
        wanted = f"#{wanted}"
    try:
        red, green, blue = ImageColor.getrgb(wanted)[:3]
    except ValueError as error:
        raise ValueError(f"{text!r} is neither blur nor a colour such as white or #1a2b3c") from error
    return f"#{red:02x}{green:02x}{blue:02x}"


def on_background(photo: Photo, box: PixelBox, size: tuple[int, int], background: str) -> Photo:
    """Return a photo that is a part of another one in the middle of a background.

    Its pixels are 8-bit gray, RGB or CMYK.

    Args:
        photo: The photo, upright.
        box: The part.
        size: Width and height of the result, at least those of the part or its scaled copy.
        background: `blur`, or a colour as `#rrggbb`, in the colour space of the photo.
    """
    part = cropped(photo.pixels, box.corners)
    part.info = {key: value for key, value in photo.pixels.info.items() if key == "transparency"}
    icc_profile = photo.icc_profile
    part = to_8_bit(in_usual_mode(part), white_level(photo.pixels))
    if photo.hdr is not None:
        part, icc_profile = to_standard_range(part, photo.hdr)
    part = onto_white(part)
    if part.mode not in ("L", "RGB", "CMYK"):
        part = part.convert("RGB")
    scale = min(size[0] / part.width, size[1] / part.height)
    inner = max(1, min(size[0], round(part.width * scale))), max(1, min(size[1], round(part.height * scale)))
    if inner != part.size:
        part = part.resize(inner, Image.Resampling.LANCZOS)
    canvas = _blurred(part, size) if background == BLUR else _plain(part.mode, size, background)
    canvas.paste(part, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return replace(photo, pixels=canvas, icc_profile=icc_profile, hdr=None, full_size=None, tiff=None)


def _blurred(part: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the part, enlarged to cover a size and blurred."""
    shrink = _BLURRED_SIDE / max(size)
    small = max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
    cover = max(small[0] / part.width, small[1] / part.height)
    width, height = small[0] / cover, small[1] / cover
    left, upper = (part.width - width) / 2, (part.height - height) / 2
    middle = part.resize(small, Image.Resampling.BOX, box=(left, upper, left + width, upper + height))
    return middle.filter(ImageFilter.GaussianBlur(_BLUR_RADIUS)).resize(size, Image.Resampling.BICUBIC)


def _plain(mode: str, size: tuple[int, int], colour: str) -> Image.Image:
    return Image.new("RGB", (1, 1), colour).convert(mode).resize(size)
