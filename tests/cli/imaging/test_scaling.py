"""Crops are scaled from the photo itself, and look as if they were copied first and then scaled with Lanczos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shotcrop_cli.imaging.pixels import part_resized

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "photos"
LANCZOS = Image.Resampling.LANCZOS
_CORNERS = (31, 17, 467, 501)


def _photo(mode: str) -> Image.Image:
    with Image.open(EXAMPLES / "astronaut.jpg") as opened:
        return opened.convert("RGB").resize((512, 512)).convert(mode)


def _psnr(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / max(1e-9, np.mean(difference**2))))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr", "RGBA", "LA"])
@pytest.mark.parametrize("size", [(350, 389), (218, 242), (500, 555)])
def test_scaling_a_part_is_plain_lanczos_away_from_its_edges(mode: str, size: tuple[int, int]) -> None:
    photo = _photo(mode)
    expected = photo.crop(_CORNERS).resize(size, LANCZOS)
    scaled = part_resized(photo, _CORNERS, size)
    assert scaled.mode == mode and scaled.size == size and scaled.info == {}
    inside = (4, 4, size[0] - 4, size[1] - 4)
    assert scaled.crop(inside).tobytes() == expected.crop(inside).tobytes()
    assert _psnr(scaled, expected) > 40
    assert part_resized(photo, _CORNERS, size).tobytes() == scaled.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_much_smaller_crops_differ_less_than_jpeg_changes_them(mode: str) -> None:
    photo, size = _photo(mode), (66, 73)
    expected = photo.crop(_CORNERS).resize(size, LANCZOS)
    assert _psnr(part_resized(photo, _CORNERS, size), expected) > 42


def test_a_part_in_its_own_size_is_a_copy() -> None:
    photo = _photo("RGB")
    assert part_resized(photo, _CORNERS, (436, 484)).tobytes() == photo.crop(_CORNERS).tobytes()


def test_the_description_of_the_photo_does_not_go_into_its_parts() -> None:
    photo = _photo("RGB")
    photo.info = {"icc_profile": b"profile", "exif": b"exif"}
    for size in ((436, 484), (218, 242)):
        assert part_resized(photo, _CORNERS, size).info == {}
