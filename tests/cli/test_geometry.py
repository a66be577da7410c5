import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli import geometry
from shotcrop_cli.shots import FULL_FRAME, Box, PixelBox

finite = st.floats(allow_nan=False, allow_infinity=False)
near = st.floats(-2.0, 3.0)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    return geometry.clamp(draw(near), draw(near), draw(near), draw(near))


sizes = st.integers(1, 20000)


def close(a: Box, b: Box, tolerance: float = 1e-9) -> bool:
    return all(math.isclose(p, q, abs_tol=tolerance) for p, q in zip(a, b, strict=True))


@given(finite, finite, finite, finite)
def test_clamp_makes_a_valid_box_of_any_finite_numbers(x0: float, y0: float, x1: float, y1: float) -> None:
    box = geometry.clamp(x0, y0, x1, y1)
    assert box.width >= 1e-3 - 1e-12 and box.height >= 1e-3 - 1e-12


@given(boxes())
def test_clamp_leaves_valid_boxes_and_sorts_swapped_corners(box: Box) -> None:
    assert geometry.clamp(*box, min_side=geometry.TINY_SIDE) == box
    assert geometry.clamp(box.x1, box.y1, box.x0, box.y0, min_side=geometry.TINY_SIDE) == box


@pytest.mark.parametrize("side", [math.nan, math.inf, -math.inf])
def test_clamp_refuses_numbers_that_are_not_finite(side: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        geometry.clamp(side, 0, 1, 1)


def test_clamp_grows_thin_boxes_around_their_middle_and_away_from_the_border() -> None:
    assert close(geometry.clamp(0.5, 0.2, 0.5, 0.4, min_side=0.1), Box(0.45, 0.2, 0.55, 0.4))
    assert close(geometry.clamp(2.0, 0.2, 3.0, 0.4, min_side=0.1), Box(0.9, 0.2, 1.0, 0.4))


@given(boxes(), boxes())
def test_iou_is_symmetric_and_within_bounds(a: Box, b: Box) -> None:
    assert 0.0 <= geometry.iou(a, b) <= 1.0
    assert geometry.iou(a, b) == pytest.approx(geometry.iou(b, a))
    assert geometry.iou(a, a) == pytest.approx(1.0)


def test_iou_and_ioa_of_known_boxes() -> None:
    left, middle = Box(0, 0, 0.5, 1), Box(0.25, 0, 0.75, 1)
    assert geometry.iou(left, middle) == pytest.approx(1 / 3)
    assert geometry.ioa(left, middle) == pytest.approx(0.5)
    assert geometry.iou(left, Box(0.5, 0, 1, 1)) == 0.0


@given(boxes(), boxes())
def test_union_holds_both_and_intersection_lies_in_both(a: Box, b: Box) -> None:
    both = geometry.union(a, b)
    assert geometry.ioa(a, both) == pytest.approx(1.0) and geometry.ioa(b, both) == pytest.approx(1.0)
    shared = geometry.intersection(a, b)
    if shared is not None:
        assert geometry.intersection(shared, a) == shared and geometry.intersection(shared, b) == shared


@given(boxes())
def test_flip_twice_is_the_box_itself(box: Box) -> None:
    assert close(geometry.flip(geometry.flip(box)), box)
    assert geometry.flip(box).x0 == pytest.approx(1.0 - box.x1, abs=1e-8)


@given(boxes(), boxes())
def test_relative_to_a_crop_and_back_is_what_the_crop_shows(box: Box, frame: Box) -> None:
    inside = geometry.relative_to(box, frame)
    shared = geometry.intersection(box, frame)
    if inside is None:
        assert shared is None or min(shared.width, shared.height) < 1e-9
    elif shared is not None and min(shared.width, shared.height) > 1e-6:
        x, y = frame.x0, frame.y0
        back = [
            x + inside.x0 * frame.width,
            y + inside.y0 * frame.height,
            x + inside.x1 * frame.width,
            y + inside.y1 * frame.height,
        ]
        assert back == pytest.approx(list(shared), abs=1e-8)


def test_visible_share_says_what_a_crop_keeps() -> None:
    assert geometry.visible_share(Box(0, 0, 0.5, 0.5), Box(0.25, 0, 1, 1)) == pytest.approx(0.5)
    assert geometry.visible_share(Box(0, 0, 0.2, 0.2), FULL_FRAME) == pytest.approx(1.0)


def test_pixel_aspect_knows_the_photo() -> None:
    assert geometry.pixel_aspect(Box(0, 0, 0.5, 0.5), 1.5) == pytest.approx(1.5)
    assert geometry.pixel_aspect(Box(0, 0, 0.5, 1.0), 1.5) == pytest.approx(0.75)


@given(boxes(), sizes, sizes)
def test_pixel_boxes_lie_in_the_photo_and_have_a_pixel(box: Box, width: int, height: int) -> None:
    pixels = geometry.to_pixels(box, width, height)
    left, upper, right, lower = pixels.corners
    assert 0 <= left < right <= width and 0 <= upper < lower <= height
    assert geometry.to_pixels(geometry.from_pixels(pixels, width, height), width, height) == pixels


@given(boxes(), sizes, sizes)
def test_rounding_to_pixels_moves_no_side_by_a_pixel(box: Box, width: int, height: int) -> None:
    back = geometry.from_pixels(geometry.to_pixels(box, width, height), width, height)
    for before, after, size in zip(box, back, (width, height, width, height), strict=True):
        assert abs(before - after) * size <= 1.0 + 1e-6


@given(boxes(), sizes, sizes)
def test_permille_round_trip_loses_less_than_a_pixel_in_a_thousand(box: Box, width: int, height: int) -> None:
    back = geometry.from_permille(geometry.to_permille(box))
    for before, after, size in zip(box, back, (width, height, width, height), strict=True):
        assert abs(before - after) * size <= size / 1000 + 1e-6
    assert geometry.to_permille(back) == geometry.to_permille(box)


def test_pixels_of_an_impossible_photo_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        geometry.to_pixels(FULL_FRAME, 0, 10)
    with pytest.raises(ValueError, match="at least one pixel"):
        geometry.from_pixels(PixelBox(0, 0, 1, 1), 10, 0)
    with pytest.raises(ValueError, match="box must have"):
        geometry.from_pixels(PixelBox(5, 0, 10, 10), 10, 10)


@pytest.mark.parametrize("sides", [(0, 0, 1000), (0, 0, 1001, 5), (-1, 0, 5, 5), (5, 0, 5, 5), (9, 0, 5, 5)])
def test_from_permille_refuses_what_is_no_box(sides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="box"):
        geometry.from_permille(sides)
