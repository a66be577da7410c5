from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finished_shots import sidecar_of
from shotcrop_cli.framing import Aspect
from shotcrop_cli.report.camera import View, between, eased, journey, views
from shotcrop_cli.shots import PixelBox

PHOTO = (4000, 3000)
BOXES = (PixelBox(300, 100, 3400, 2700), PixelBox(1200, 200, 1500, 1400), PixelBox(1600, 250, 600, 700))
ASPECTS = [Aspect(16, 9), Aspect(9, 16), Aspect(1, 1), Aspect(4, 5)]


def stops(aspect: Aspect, size: tuple[int, int] = PHOTO, boxes: tuple[PixelBox, ...] = BOXES) -> tuple[View, ...]:
    return views(sidecar_of(Path("a.png"), size, boxes), aspect)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_clip_has_exactly_its_frames_from_the_first_view_to_the_last(aspect: Aspect) -> None:
    way = stops(aspect)
    for frames in (2, 3, 7, 240):
        seen = list(journey(way, frames))
        assert len(seen) == frames
        assert seen[0] == way[0] and seen[-1] == way[2]
    assert way[1] in seen  # the camera rests there


@given(
    corners=st.lists(st.tuples(st.integers(0, 3800), st.integers(0, 2800)), min_size=3, max_size=3),
    sides=st.lists(st.tuples(st.integers(20, 4000), st.integers(20, 3000)), min_size=3, max_size=3),
    aspect=st.sampled_from(ASPECTS),
)
def test_the_camera_never_leaves_the_photo_and_keeps_the_ratio(
    corners: list[tuple[int, int]], sides: list[tuple[int, int]], aspect: Aspect
) -> None:
    boxes = tuple(
        PixelBox(x, y, min(width, PHOTO[0] - x), min(height, PHOTO[1] - y))
        for (x, y), (width, height) in zip(corners, sides, strict=True)
    )
    for view in journey(stops(aspect, boxes=boxes), 60):
        left, top, right, bottom = view.corners
        assert left >= -1e-6 and top >= -1e-6 and right <= PHOTO[0] + 1e-6 and bottom <= PHOTO[1] + 1e-6
        assert view.width * aspect.height == pytest.approx(view.height * aspect.width)


def test_the_camera_does_not_jump() -> None:
    seen = list(journey(stops(Aspect(16, 9)), 240))
    steps = [abs(after.left - before.left) for before, after in pairwise(seen)]
    assert max(steps) < 40
    # It begins and ends a move slowly: the speed changes by little from frame to frame.
    assert max(abs(after - before) for before, after in pairwise(steps)) < 3
    assert steps[:30] == [0.0] * 30 and steps[-30:] == [0.0] * 30


def test_equal_shares_of_a_move_zoom_by_equal_factors() -> None:
    first, last = View(0, 0, 1600, 900), View(700, 400, 400, 225)
    widths = [between(first, last, share).width for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert widths == pytest.approx([1600, 1131.37, 800, 565.69, 400], abs=0.01)
    assert between(first, View(100, 0, 1600, 900), 0.5).left == 50  # a move without zoom


def test_moves_begin_and_end_at_rest() -> None:
    assert [eased(share) for share in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]
    assert eased(0.01) < 0.0001 and eased(0.99) > 0.9999


def test_rejected_shots_are_no_stops() -> None:
    record = sidecar_of(Path("a.png"), PHOTO, BOXES)
    one, two, three = record.shots
    assert len(views(replace(record, shots=(one, replace(two, rejected=True), three)), Aspect(16, 9))) == 2
    assert views(replace(record, rejected=True), Aspect(16, 9)) == ()
    (only,) = views(replace(record, shots=(one,)), Aspect(16, 9))
    assert set(journey([only], 5)) == {only}
