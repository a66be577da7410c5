from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.nano.border import NEAR, to_border
from shotcrop_cli.shots import FULL_FRAME, Box

CLOSE_UP = Box(0.3, 0.01, 0.5, 0.4)
SIDES = st.tuples(*[st.floats(0.0, 1.0)] * 4)


def test_outer_edges_near_the_border_go_to_it_and_others_stay() -> None:
    boxes = [Box(0.01, 0.02, 0.99, 0.9), Box(0.2, 0.015, 0.6, 0.7), CLOSE_UP]
    assert to_border(boxes) == [Box(0.0, 0.0, 1.0, 0.9), Box(0.2, 0.0, 0.6, 0.7), CLOSE_UP]


def test_a_shot_stays_tighter_than_the_wider_one() -> None:
    boxes = [Box(0.01, 0.01, 0.99, 0.99), Box(0.015, 0.015, 0.985, 0.985), CLOSE_UP]
    assert to_border(boxes) == [FULL_FRAME, *boxes[1:]]


@given(SIDES)
def test_a_box_grows_by_the_reach_at_most_and_once(sides: tuple[float, ...]) -> None:
    box = clamp(*sides, min_side=0.05)
    placed, _ = to_border([box, CLOSE_UP])
    assert max(abs(a - b) for a, b in zip(box, placed, strict=True)) <= NEAR
    assert placed.x0 <= box.x0 and placed.y0 <= box.y0 and placed.x1 >= box.x1 and placed.y1 >= box.y1
    assert to_border([placed, CLOSE_UP]) == [placed, CLOSE_UP]
