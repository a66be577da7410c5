"""Where patches and tokens are: what a large model's graphs are told beside pixels and token ids.

All of it follows from a photo's grid of patches, so it is computed here and the graphs stay free of loops over photos.
Patches come in the order of `patches.cut`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.large.manifest import Vision
from shotcrop_cli.model.large.patches import Grid

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


def patch_positions(grid: Grid, vision: Vision) -> Ids:
    """Return each patch's row and column (N, 2)."""
    merge = vision.merge_size
    raster = np.arange(grid.patches).reshape(grid.rows // merge, merge, grid.columns // merge, merge)
    order = raster.transpose(0, 2, 1, 3).ravel()
    return np.stack(np.divmod(order, grid.columns), axis=1).astype(np.int64)


def segments(grid: Grid, vision: Vision) -> Ids:
    """Return the number of each patch's attention window (N,); all are in one where the tower has none."""
    if vision.window == 0:
        return np.zeros(grid.patches, dtype=np.int64)
    side = vision.window * vision.merge_size
    rows, columns = patch_positions(grid, vision).T // side
    return np.asarray(rows * -(-grid.columns // side) + columns)


def interpolation(grid: Grid, vision: Vision) -> tuple[Ids, Floats]:
    """Return which four entries of the table of learned positions each patch mixes (N, 4), and their weights (N, 4).

    The table's corners lie on the photo's corner patches; between them it is bilinear.
    """
    side = vision.grid_side
    near, far, share = [], [], []
    for places, count in zip(patch_positions(grid, vision).T, (grid.rows, grid.columns), strict=True):
        place = places.astype(np.float32) * np.float32(side - 1) / np.float32(max(count - 1, 1))
        lower = np.floor(place).astype(np.int64)
        near.append(np.minimum(lower, side - 1))
        far.append(np.minimum(lower + 1, side - 1))
        share.append(place - lower.astype(np.float32))
    (top, left), (bottom, right), (down, across) = near, far, share
    entries = [row * side + column for row in (top, bottom) for column in (left, right)]
    weights = [y * x for y in (1 - down, down) for x in (1 - across, across)]
    return np.stack(entries, axis=1), np.stack(weights, axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A photo's prompt.

    Args:
        ids: Token ids (S,).
        positions: Their places in time, height and width (3, S), the multimodal rotary positions (M-RoPE).
        next_position: Place of the first token of the answer.
    """

    ids: Ids
    positions: Ids
    next_position: int


def prompt_row(prefix: Ids, image_token: int, suffix: Ids, grid: Grid, vision: Vision) -> Row:
    """Return the prompt with a photo of a certain grid between prefix and suffix.

    Text advances in all three dimensions at once. A photo's visual tokens share one time and spread in height and
    width; text goes on behind the farther of the two.
    """
    rows, columns = grid.rows // vision.merge_size, grid.columns // vision.merge_size
    start = len(prefix)
    y, x = np.divmod(np.arange(rows * columns), columns)
    photo = np.stack([np.full(rows * columns, start), start + y, start + x])
    behind = start + max(rows, columns)
    text = [np.broadcast_to(np.arange(first, first + n), (3, n)) for first, n in ((0, start), (behind, len(suffix)))]
    ids = np.concatenate([prefix, np.full(rows * columns, image_token), suffix])
    return Row(ids.astype(np.int64), np.concatenate([text[0], photo, text[1]], axis=1), behind + len(suffix))


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Prompts of several photos, padded on the right.

    Args:
        ids: Token ids (B, S).
        positions: Their places (3, B, S).
        lengths: Tokens of each prompt (B,).
        next_positions: Place of the first token of each answer (B,).
    """

    ids: Ids
    positions: Ids
    lengths: Ids
    next_positions: Ids

    @classmethod
    def of(cls, rows: list[Row]) -> PromptBatch:
        """Put prompts of any lengths together; the padding is zeros that nothing attends to."""
        lengths = np.array([len(row.ids) for row in rows], dtype=np.int64)
        ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        positions = np.zeros((3, *ids.shape), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = row.ids
            positions[:, number, : len(row.ids)] = row.positions
        return cls(ids, positions, lengths, np.array([row.next_position for row in rows], dtype=np.int64))
