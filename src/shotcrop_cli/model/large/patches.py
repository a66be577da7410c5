"""Turn an upright photo into the patches of a large model, exactly as the model's own image processor does.

The photo is resized to a whole number of visual tokens within the model's limits of pixels, with nearly the same aspect
ratio. Then it is normalised and split into patches. Patches are ordered by visual token: tokens row by row, and the
square of patches of each token row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shotcrop_cli.model.large.manifest import Vision

MAX_ASPECT_RATIO = 200
"""Longer side / shorter side above which the image processors of the Qwen-VL family refuse a photo."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows and columns of a photo's patches."""

    rows: int
    columns: int

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """A photo as patches.

    Args:
        pixels: Normalised patches (N, 3 * frames * side * side), float32.
        grid: Number of rows and columns.
    """

    pixels: NDArray[np.float32]
    grid: Grid


def fitted_size(size: tuple[int, int], vision: Vision) -> tuple[int, int]:
    """Return the width and height in pixels to which a photo is resized for the model.

    Args:
        size: Width and height of the photo in pixels.
        vision: The model's sizes.

    Raises:
        ValueError: The photo is too elongated for the model.
    """
    width, height = size
    if max(size) > MAX_ASPECT_RATIO * min(size):
        raise ValueError(f"the photo is more than {MAX_ASPECT_RATIO} times as long as wide")
    cell = vision.cell
    fitted = round(width / cell) * cell, round(height / cell) * cell
    if fitted[0] * fitted[1] > vision.max_pixels:
        shrink = math.sqrt(width * height / vision.max_pixels)
        fitted = _floor(width / shrink, cell), _floor(height / shrink, cell)
    elif fitted[0] * fitted[1] < vision.min_pixels:
        stretch = math.sqrt(vision.min_pixels / (width * height))
        fitted = math.ceil(width * stretch / cell) * cell, math.ceil(height * stretch / cell) * cell
    return fitted


def _floor(side: float, cell: int) -> int:
    return max(cell, math.floor(side / cell) * cell)


def make_patches(image: Image.Image, vision: Vision) -> Patches:
    """Resize an upright photo of mode RGB and split it into patches.

    Raises:
        ValueError: The photo is too elongated for the model.
    """
    fitted = image.resize(fitted_size(image.size, vision), Image.Resampling.BICUBIC)
    # Rounded twice, after scaling and after normalising, as the family's image processors do.
    scaled = (np.asarray(fitted, dtype=np.float64) * (1 / 255)).astype(np.float32)
    normal = (scaled - np.array(vision.mean, dtype=np.float32)) / np.array(vision.std, dtype=np.float32)
    side, merge, frames = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    grid = Grid(fitted.height // side, fitted.width // side)
    squares = normal.reshape(grid.rows // merge, merge, side, grid.columns // merge, merge, side, 3)
    squares = squares.transpose(0, 3, 1, 4, 6, 2, 5)  # token row, token column, row, column, channel, y, x
    films = np.repeat(squares[:, :, :, :, :, None], frames, axis=5)
    return Patches(films.reshape(grid.patches, 3 * frames * side * side), grid)
