from __future__ import annotations

import numpy as np
import pytest

from figures import Figure, scene_of
from shotcrop_cli.model.nano.candidates import (
    GROUP,
    MOST_CANDIDATES,
    MOST_PEOPLE,
    PAIR,
    PERSON,
    Candidates,
    boxes_of,
    list_candidates,
    list_views,
)
from shotcrop_cli.model.nano.scene import Scene, mirror_boxes

NEAR = scene_of(Figure(0.4, 0.2, 0.12, joints=True), Figure(0.5, 0.22, 0.1), hands=[(0.3, 0.5, 0.34, 0.56, 0.8)])


def candidates_of(scene: Scene) -> Candidates:
    candidates = list_candidates(scene)
    assert candidates is not None
    return candidates


def test_a_scene_without_people_has_no_candidates() -> None:
    assert list_candidates(scene_of()) is None


def test_near_people_of_similar_size_are_a_pair_led_by_the_larger() -> None:
    small_first = NEAR.select(np.array([1, 0]))
    assert candidates_of(NEAR).members == ((0,), (1,), (0, 1))
    assert candidates_of(small_first).members == ((0,), (1,), (1, 0))
    assert candidates_of(NEAR).kind.tolist() == [PERSON, PERSON, PAIR]


@pytest.mark.parametrize("other", [Figure(0.9, 0.2, 0.12), Figure(0.5, 0.2, 0.04), Figure(0.5, 0.2, 0.12, score=0.2)])
def test_far_small_or_uncertain_people_make_no_pair(other: Figure) -> None:
    assert candidates_of(scene_of(Figure(0.4, 0.2, 0.12), other)).members == ((0,), (1,))


def test_three_large_people_are_a_group() -> None:
    row = [Figure(x, 0.2, 0.1) for x in (0.1, 0.5, 0.9)]
    candidates = candidates_of(scene_of(*row, Figure(0.7, 0.1, 0.03)))
    assert candidates.members[-1] == (0, 1, 2)
    assert candidates.kind[-1] == GROUP


def test_a_crowd_fits_into_the_places_of_the_network() -> None:
    crowd = candidates_of(scene_of(*(Figure(0.03 + 0.06 * i, 0.2, 0.1) for i in range(16))))
    assert len(crowd) <= MOST_CANDIDATES
    assert {person for members in crowd.members for person in members} <= set(range(MOST_PEOPLE))
    assert crowd.features.shape == (len(crowd), 130)


def test_features_in_heads_do_not_depend_on_the_place_or_size_of_a_person() -> None:
    """A scene half as large, moved elsewhere: all features between the place and the border are the same."""
    scene = scene_of(Figure(0.5, 0.2, 0.1, look=0.4, joints=True), hands=[(0.48, 0.5, 0.52, 0.55, 0.8)])
    smaller = scene_of(Figure(0.3, 0.4, 0.05, look=0.4, joints=True), hands=[(0.29, 0.55, 0.31, 0.575, 0.8)])
    a, b = candidates_of(scene).features[0], candidates_of(smaller).features[0]
    relative = [*range(7, 8), *range(32, 36), *range(40, 90)]
    np.testing.assert_allclose(a[relative], b[relative], atol=1e-4)
    assert not np.isnan(a[relative]).all()


def test_what_is_unknown_is_nan() -> None:
    hidden = candidates_of(scene_of(Figure(0.5, 0.2, 0.1, look=None))).features[0]
    seen = candidates_of(scene_of(Figure(0.5, 0.2, 0.1, look=0.0))).features[0]
    assert np.isnan(hidden).sum() == np.isnan(seen).sum() + 4 + 5  # the face's box and the gaze


def test_boxes_are_in_units_of_the_anchor() -> None:
    candidates = candidates_of(scene_of(Figure(0.5, 0.4, 0.1), aspect=2.0))
    offsets = np.array([[(0.1, 0.2, 0.8, 0.9), (-2, -1, 2, 3), (-20, -20, 20, 20)]], np.float32)
    wide, medium, tight = boxes_of(offsets, candidates)[0]
    np.testing.assert_allclose(wide, (0.1, 0.2, 0.8, 0.9), atol=1e-6)
    np.testing.assert_allclose(medium, (0.4, 0.35, 0.6, 0.75), atol=1e-6)  # the middle of the head is at (.5, .45)
    np.testing.assert_allclose(tight, (0, 0, 1, 1))


def test_a_mirrored_scene_has_mirrored_anchors_and_boxes() -> None:
    plain, mirrored = candidates_of(NEAR), candidates_of(NEAR.mirror())
    assert plain.members == mirrored.members
    np.testing.assert_allclose(mirrored.anchor[:, 0], NEAR.aspect - plain.anchor[:, 0], atol=1e-6)
    np.testing.assert_allclose(mirrored.anchor[:, 1:], plain.anchor[:, 1:], atol=1e-6)
    offsets = np.tile(np.array([-1, -1, 2, 3], np.float32), (3, 3, 1))
    offsets[:, 0] = (0.1, 0.1, 0.6, 0.9)
    turned = offsets.copy()
    turned[:, 0] = (0.4, 0.1, 0.9, 0.9)
    turned[:, 1:, 0], turned[:, 1:, 2] = -offsets[:, 1:, 2], -offsets[:, 1:, 0]
    np.testing.assert_allclose(mirror_boxes(boxes_of(turned, mirrored)), boxes_of(offsets, plain), atol=1e-5)


@pytest.mark.parametrize(
    "scene",
    [
        NEAR,
        scene_of(Figure(0.5, 0.1, 0.2, look=None)),
        scene_of(*(Figure(0.05 + 0.09 * i, 0.2, 0.1 + 0.005 * i, look=0.3, joints=True) for i in range(11))),
        scene_of(
            Figure(0.3, 0.1, 0.1, score=0.25),
            Figure(0.6, 0.12, 0.11, look=-0.5),
            hands=[(0.55, 0.4, 0.58, 0.45, 0.9), (0.6, 0.5, 0.63, 0.55, 0.7), (0.9, 0.9, 0.95, 0.95, 0.8)],
            animals=[(0.1, 0.5, 0.3, 0.9, 0.8), (0.7, 0.6, 0.8, 0.7, 0.5)],
            objects=[(0.4, 0.4, 0.5, 0.5, 0.6)],
        ),
    ],
)
def test_both_views_are_those_of_the_scene_and_its_mirror_image(scene: Scene) -> None:
    views = list_views(scene)
    assert views is not None
    for view, alone in zip(views, (candidates_of(scene), candidates_of(scene.mirror())), strict=True):
        assert view.members == alone.members
        for name in ("kind", "anchor", "features", "person_features", "photo_features"):
            np.testing.assert_allclose(getattr(view, name), getattr(alone, name), atol=1e-6, err_msg=name)
    assert list_views(scene_of()) is None
