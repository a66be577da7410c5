"""From an upright photo to a large model's patches, exactly as its own image processor makes them.

The photo is resized to whole visual tokens within the model's limits of pixels, its aspect kept as well as that allows,
normalised, and cut into patches. These come visual token by visual token: tokens by row, within each its square of
patches by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shotcrop_cli.model.large.manifest import Vision

MOST_ELONGATED = 200
"""The family's image processors refuse photos that are longer than so many times their width [N]."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How many patches a photo is cut into."""

    rows: int
    columns: int

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """A photo cut into patches.

    Args:
        pixels: Normalised patches (N, 3 * frames * side * side), float32.
        grid: Their rows and columns.
    """

    pixels: NDArray[np.float32]
    grid: Grid


def fitted_size(size: tuple[int, int], vision: Vision) -> tuple[int, int]:
    """Return the size that a photo is resized to before the model sees it.

    Args:
        size: Width and height in pixels.
        vision: The model's figures.

    Raises:
        ValueError: The photo is more elongated than the model can take.
    """
    width, height = size
    if max(size) > MOST_ELONGATED * min(size):
        raise ValueError(f"the photo is more than {MOST_ELONGATED} times as long as wide")
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


def cut(image: Image.Image, vision: Vision) -> Patches:
    """Resize a photo of mode RGB and cut it into patches.

    Raises:
        ValueError: The photo is more elongated than the model can take.
    """
    fitted = image.resize(fitted_size(image.size, vision), Image.Resampling.BICUBIC)
    # Rounded twice, by the scaling and by the normalising, as the family's image processors do.
    scaled = (np.asarray(fitted, dtype=np.float64) * (1 / 255)).astype(np.float32)
    normal = (scaled - np.array(vision.mean, dtype=np.float32)) / np.array(vision.std, dtype=np.float32)
    side, merge, frames = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    grid = Grid(fitted.height // side, fitted.width // side)
    squares = normal.reshape(grid.rows // merge, merge, side, grid.columns // merge, merge, side, 3)
    squares = squares.transpose(0, 3, 1, 4, 6, 2, 5)  # token row, token column, row, column, channel, y, x
    films = np.repeat(squares[:, :, :, :, :, None], frames, axis=5)
    return Patches(films.reshape(grid.patches, 3 * frames * side * side), grid)
