"""Positions of patches and tokens, which the graphs of a large model take as inputs.

They follow from a photo's grid of patches. Computing them here keeps loops over photos out of the graphs.
Patches come in the order of `patches.make_patches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.large.manifest import Vision
from shotcrop_cli.model.large.patches import Grid

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


def patch_positions(grid: Grid, vision: Vision) -> Ids:
    """Return the row and column of each patch (N, 2), int64."""
    merge = vision.merge_size
    raster = np.arange(grid.patches).reshape(grid.rows // merge, merge, grid.columns // merge, merge)
    order = raster.transpose(0, 2, 1, 3).ravel()
    return np.stack(np.divmod(order, grid.columns), axis=1).astype(np.int64)


def segments(grid: Grid, vision: Vision) -> Ids:
    """Return the number of each patch's attention window (N,), int64; 0 for all if the tower has no windows."""
    if vision.window == 0:
        return np.zeros(grid.patches, dtype=np.int64)
    side = vision.window * vision.merge_size
    rows, columns = patch_positions(grid, vision).T // side
    return np.asarray(rows * -(-grid.columns // side) + columns)


def interpolation(grid: Grid, vision: Vision) -> tuple[Ids, Floats]:
    """Return how each patch interpolates the table of learned positions: four entries (N, 4) and their weights (N, 4).

    The corners of the table belong to the corner patches of the photo. Between them interpolation is bilinear.
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
    """The prompt for a photo.

    Args:
        ids: Token ids (S,), int64.
        positions: Positions in time, height and width (3, S), int64: the multimodal rotary positions (M-RoPE).
        next_position: Position of the first token of the answer.
    """

    ids: Ids
    positions: Ids
    next_position: int


def prompt_row(prefix: Ids, image_token: int, suffix: Ids, grid: Grid, vision: Vision) -> Row:
    """Return the prompt with the visual tokens of a photo between prefix and suffix."""
    return prompt_of_pictures((prefix, suffix), image_token, (grid,), vision)


def prompt_of_pictures(texts: Sequence[Ids], image_token: int, grids: Sequence[Grid], vision: Vision) -> Row:
    """Return a prompt with the visual tokens of pictures between texts.

    Text advances in all three dimensions at once. The visual tokens of a picture have the same time and spread in
    height and width. The text continues after the larger of the two.

    Args:
        texts: One more than there are pictures.
        image_token: Id of the token that stands for each visual token.
        grids: The patches of each picture.
        vision: The model's sizes.
    """
    ids, positions, start = [texts[0]], [_text_positions(0, len(texts[0]))], len(texts[0])
    for grid, text in zip(grids, texts[1:], strict=True):
        rows, columns = grid.rows // vision.merge_size, grid.columns // vision.merge_size
        y, x = np.divmod(np.arange(rows * columns), columns)
        picture = np.stack([np.full(rows * columns, start), start + y, start + x])
        after = start + max(rows, columns)
        ids += [np.full(rows * columns, image_token), text]
        positions += [picture, _text_positions(after, len(text))]
        start = after + len(text)
    return Row(np.concatenate(ids).astype(np.int64), np.concatenate(positions, axis=1), start)


def _text_positions(first: int, length: int) -> Ids:
    return np.broadcast_to(np.arange(first, first + length), (3, length))


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Prompts of several photos, padded on the right.

    Args:
        ids: Token ids (B, S), int64.
        positions: Positions in time, height and width (3, B, S), int64.
        lengths: Number of tokens in each prompt (B,), int64.
        next_positions: Position of the first token of each answer (B,), int64.
    """

    ids: Ids
    positions: Ids
    lengths: Ids
    next_positions: Ids

    @classmethod
    def from_rows(cls, rows: list[Row]) -> PromptBatch:
        """Pad prompts of any lengths to one batch. The padding is zeros, which are masked."""
        lengths = np.array([len(row.ids) for row in rows], dtype=np.int64)
        ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        positions = np.zeros((3, *ids.shape), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = row.ids
            positions[:, number, : len(row.ids)] = row.positions
        return cls(ids, positions, lengths, np.array([row.next_position for row in rows], dtype=np.int64))
