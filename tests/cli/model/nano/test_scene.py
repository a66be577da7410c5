from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from figures import Figure, scene_of
from shotcrop_cli.model.nano.scene import JOINTS, LANDMARKS, MIRRORED_JOINTS, MIRRORED_LANDMARKS, Scene, estimate_head

PAIR = scene_of(
    Figure(0.3, 0.2, 0.1, look=0.5, joints=True),
    Figure(0.7, 0.25, 0.09, look=None, score=0.6),
    hands=[(0.2, 0.5, 0.25, 0.55, 0.8)],
    animals=[(0.5, 0.7, 0.6, 0.9, 0.7)],
)


def assert_equal(a: Scene, b: Scene) -> None:
    for one in fields(Scene):
        np.testing.assert_allclose(getattr(a, one.name), getattr(b, one.name), atol=1e-6, err_msg=one.name)


def test_mirroring_twice_gives_the_scene_back() -> None:
    assert_equal(PAIR.mirror().mirror(), PAIR)


def test_a_mirrored_scene_looks_the_other_way() -> None:
    mirrored = PAIR.mirror()
    np.testing.assert_allclose(mirrored.head[0, [0, 2]], 1 - PAIR.head[0, [2, 0]], atol=1e-6)
    left_eye, right_eye, nose = mirrored.landmarks[0, :3, 0]
    assert left_eye < right_eye
    assert nose < (left_eye + right_eye) / 2
    assert mirrored.joints[0, JOINTS.index("left wrist"), 0] < mirrored.joints[0, JOINTS.index("right wrist"), 0]
    assert np.isnan(mirrored.landmarks[1]).all()


@pytest.mark.parametrize(("names", "mirrored"), [(JOINTS, MIRRORED_JOINTS), (LANDMARKS, MIRRORED_LANDMARKS)])
def test_mirrored_points_are_those_of_the_other_side(names: tuple[str, ...], mirrored: tuple[int, ...]) -> None:
    swapped = str.maketrans({"<": "right", ">": "left"})
    for name, other in zip(names, mirrored, strict=True):
        expected = name.replace("left", "<").replace("right", ">").translate(swapped)
        assert names[other] == expected


def test_people_are_selected_in_the_order_given() -> None:
    chosen = PAIR.select(np.array([1, 0]))
    assert len(chosen) == 2
    np.testing.assert_array_equal(chosen.head, PAIR.head[::-1])
    np.testing.assert_array_equal(chosen.animals, PAIR.animals)
    assert len(PAIR.select(PAIR.head_score > 0.7)) == 1


def test_an_estimated_head_is_at_the_upper_end_of_the_body() -> None:
    body = np.array([0.4, 0.2, 0.6, 0.9], np.float32)
    x0, y0, x1, y1 = estimate_head(body, 1.5)
    assert y0 == pytest.approx(0.2)
    assert y1 - y0 == pytest.approx(0.16 * 0.7, rel=1e-5)
    assert (x0 + x1) / 2 == pytest.approx(0.5)
    assert (x1 - x0) * 1.5 == pytest.approx(0.8 * (y1 - y0), rel=1e-5)
