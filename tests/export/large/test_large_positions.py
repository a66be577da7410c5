from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel

from large_manifests import QWEN2_5, QWEN3
from shotcrop_cli.model.large.patches import Grid
from shotcrop_cli.model.large.positions import PromptBatch, interpolation, patch_positions, prompt_row, segments

GRIDS = st.builds(Grid, st.integers(1, 12).map(lambda n: 2 * n), st.integers(1, 12).map(lambda n: 2 * n))


@given(GRIDS)
def test_four_patches_in_a_row_are_the_square_of_a_visual_token(grid: Grid) -> None:
    positions = patch_positions(grid, QWEN3)
    assert len({tuple(one) for one in positions.tolist()}) == grid.patches
    squares = positions.reshape(-1, 4, 2)
    assert (squares - squares[:, :1] == [[0, 0], [0, 1], [1, 0], [1, 1]]).all()
    assert (squares[:, 0] % 2 == 0).all()


@given(GRIDS)
def test_windows_are_squares_of_tokens_from_the_upper_left_corner(grid: Grid) -> None:
    windows, positions = segments(grid, QWEN2_5), patch_positions(grid, QWEN2_5)
    corners = {tuple(one) for one in (positions // 8).tolist()}  # four tokens of two patches
    assert len(set(windows.tolist())) == len(corners)
    same = windows[:, None] == windows[None]
    assert (same == (positions[:, None] // 8 == positions[None] // 8).all(-1)).all()
    assert not segments(grid, QWEN3).any()


@given(GRIDS)
def test_learned_positions_are_mixed_so_that_the_tables_corners_lie_on_the_photos(grid: Grid) -> None:
    entries, weights = interpolation(grid, QWEN3)
    assert weights.sum(1) == pytest.approx(1.0, abs=1e-5)
    # A table with its own rows and columns as values shows where each patch is in it.
    table = np.stack(np.divmod(np.arange(QWEN3.grid_side**2), QWEN3.grid_side), axis=1)
    found = (table[entries] * weights[..., None]).sum(1)
    last = np.array([grid.rows, grid.columns]) - 1
    assert found == pytest.approx(patch_positions(grid, QWEN3) * (QWEN3.grid_side - 1) / last, abs=1e-4)


@given(st.integers(0, 9), st.integers(1, 9), GRIDS)
def test_prompt_positions_are_those_of_transformers(before: int, after: int, grid: Grid) -> None:
    image = 7
    row = prompt_row(np.full(before, 1), image, np.full(after, 2), grid, QWEN3)
    model = SimpleNamespace(config=SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2)))
    model.get_vision_position_ids = lambda *args, **kw: Qwen3VLModel.get_vision_position_ids(model, *args, **kw)
    ids = torch.from_numpy(row.ids)[None]
    positions, delta = Qwen3VLModel.get_rope_index(
        model, ids, (ids == image).int(), image_grid_thw=torch.tensor([[1, grid.rows, grid.columns]])
    )
    assert np.array_equal(positions[:, 0].numpy(), row.positions)
    assert row.next_position == len(row.ids) + int(delta)


def test_prompts_of_a_batch_are_filled_up_on_the_right() -> None:
    short = prompt_row(np.array([1]), 7, np.array([2, 3]), Grid(2, 2), QWEN3)
    long = prompt_row(np.array([1]), 7, np.array([2, 3]), Grid(4, 6), QWEN3)
    batch = PromptBatch.from_rows([short, long])
    assert batch.ids.tolist() == [[1, 7, 2, 3, 0, 0, 0, 0, 0], [1, 7, 7, 7, 7, 7, 7, 2, 3]]
    assert batch.lengths.tolist() == [4, 9]
    assert batch.positions[:, 0, :4].tolist() == short.positions.tolist()
    assert batch.next_positions.tolist() == [4, 6]
