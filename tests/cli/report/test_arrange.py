from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.report.arrange import Arrangement, fill, in_row

RATIOS = st.lists(st.floats(0.3, 3.0), min_size=1, max_size=3)
LINES = st.lists(st.integers(0, 3), min_size=3, max_size=3)


def bottom(arrangement: Arrangement, lines: list[int]) -> int:
    return max(spot.top + spot.height + 20 * lines[number] for number, spot in enumerate(arrangement.spots))


@given(ratios=RATIOS, lines=LINES, width=st.integers(800, 3000))
def test_a_row_has_exactly_its_width_and_pictures_of_one_height(
    ratios: list[float], lines: list[int], width: int
) -> None:
    row = in_row(ratios, lambda number, _: 20 * lines[number], width, 10)
    spots = row.spots
    assert spots[0].left == 0 and spots[-1].left + spots[-1].width == width
    assert all(right.left - left.left - left.width == 10 for left, right in pairwise(spots))
    assert len({spot.height for spot in spots}) == 1
    assert row.height == bottom(row, lines)


@given(ratios=RATIOS, lines=LINES, width=st.integers(800, 3000), height=st.integers(500, 2000))
def test_pictures_keep_their_ratios_stay_in_the_space_and_do_not_overlap(
    ratios: list[float], lines: list[int], width: int, height: int
) -> None:
    found = fill(ratios, lambda number, _: 20 * lines[number], width, height, 10)
    assert found.width <= width and bottom(found, lines) <= found.height <= height
    for ratio, spot in zip(ratios, found.spots, strict=True):
        assert abs(spot.width - ratio * spot.height) <= 2 + 2 * ratio
        assert spot.left + spot.width <= found.width
    for number, one in enumerate(found.spots):
        for other in found.spots[number + 1 :]:
            beside = one.left + one.width <= other.left
            above = one.top + one.height + 20 * lines[number] <= other.top
            assert beside or above


@given(ratios=RATIOS, width=st.integers(800, 3000), height=st.integers(500, 2000))
def test_the_space_is_used_to_one_of_its_ends(ratios: list[float], width: int, height: int) -> None:
    found = fill(ratios, lambda *_: 0, width, height, 10)
    assert found.width == width or found.height >= height - 10


def test_a_large_picture_with_two_next_to_it_is_chosen_where_it_fills_more() -> None:
    wide = fill([1.5, 1.5, 1.5], lambda *_: 0, 1500, 1000, 10)
    assert len({spot.top for spot in wide.spots}) == 2
    assert wide.spots[0].height == wide.spots[2].top + wide.spots[2].height
    tall = fill([0.6, 0.6, 0.6], lambda *_: 0, 1500, 800, 10)
    assert {spot.top for spot in tall.spots} == {0}
