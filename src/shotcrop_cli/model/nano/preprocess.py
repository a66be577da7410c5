"""From an upright photo to the compact model's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0
"""EfficientNet-Lite's own scaling, (x - 127) / 128 [N]."""


def squash(image: Image.Image, size: int) -> Image.Image:
    """Return the whole image in a `size` x `size` square, its aspect given up; mode RGB."""
    rgb = image.convert("RGB")
    if rgb.size == (size, size):
        return rgb
    # Box-reducing to twice the size first costs a fraction of a full bilinear pass and looks the same at this size.
    return rgb.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)


def pixel_values(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale uint8 RGB (N, H, W, 3) to float32 (N, 3, H, W) of about -1..1."""
    scaled = (batch.astype(np.float32) - PIXEL_MEAN) / PIXEL_SCALE
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
