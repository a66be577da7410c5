import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from large_manifests import QWEN2_5, QWEN3
from shotcrop_cli.imaging.formats import PNG
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.model.large.manifest import Vision
from shotcrop_cli.model.large.patches import MAX_ASPECT_RATIO, fitted_size, make_patches

SIDES = st.integers(1, 4000)


@given(SIDES, SIDES, st.sampled_from([QWEN3, QWEN2_5]))
def test_photos_are_fitted_as_by_the_familys_own_processor(width: int, height: int, vision: Vision) -> None:
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        with pytest.raises(ValueError, match="200 times"):
            fitted_size((width, height), vision)
        return
    expected = smart_resize(height, width, vision.cell, vision.min_pixels, vision.max_pixels)
    assert fitted_size((width, height), vision) == expected[::-1]


@pytest.mark.parametrize("vision", [QWEN3, QWEN2_5], ids=["qwen3-vl", "qwen2.5-vl"])
@pytest.mark.parametrize("size", [(64, 48), (640, 480), (33, 90), (1000, 40), (17, 16), (500, 499)])
def test_patches_equal_those_of_the_familys_own_processor_to_the_bit(vision: Vision, size: tuple[int, int]) -> None:
    processor = Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size,
        merge_size=vision.merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        size={"shortest_edge": vision.min_pixels, "longest_edge": vision.max_pixels},
        image_mean=list(vision.mean),
        image_std=list(vision.std),
    )
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    expected, found = processor(images=[image], return_tensors="np"), make_patches(image, vision)
    assert np.array_equal(found.pixels, expected["pixel_values"])
    assert found.pixels.dtype == np.float32
    assert [[1, found.grid.rows, found.grid.columns]] == expected["image_grid_thw"].tolist()


def test_photos_keep_all_that_the_model_sees_when_they_are_shrunk_beforehand() -> None:
    side = QWEN3.long_side
    assert side * side / 2 >= QWEN3.max_pixels  # a photo twice as wide as high
    assert math.isclose(side, math.sqrt(2 * QWEN3.max_pixels), abs_tol=1)


def test_thumbnails_keep_their_shape_up_to_the_longer_side_that_is_wanted() -> None:
    photo = Photo(Image.new("RGB", (1000, 250)), PNG)
    assert thumbnail(photo, (0, 400)).size == (400, 100)
    assert thumbnail(photo, (0, 2000)).size == (1000, 250)
