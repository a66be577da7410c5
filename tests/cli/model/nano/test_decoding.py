from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures import RawCells
from shotcrop_cli.model.nano.decoding import STRIDES, Kind, decode, grid, pairwise_iou, person_features, suppress
from shotcrop_cli.model.nano.manifest import DecodingLimits
from shotcrop_cli.model.nano.scene import Floats, Scene

BODY, HEAD, FACE = (0.3, 0.1, 0.6, 0.9), (0.4, 0.12, 0.5, 0.25), (0.42, 0.15, 0.48, 0.24)
LIMITS = DecodingLimits()
MAP = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)


def decoded(raw: RawCells, limits: DecodingLimits = LIMITS) -> Scene:
    return decode(raw.cells, MAP, np.array([1.0, 2.0], np.float32), raw.side, 1.5, limits)


def test_nothing_seen_is_an_empty_scene() -> None:
    scene = decoded(RawCells())
    assert len(scene) == len(scene.hands) == len(scene.animals) == len(scene.objects) == 0
    assert scene.person_features.shape == (0, 4)


def test_the_grid_has_a_cell_per_stride() -> None:
    centres, strides = grid(64)
    assert len(centres) == 8**2 + 4**2 + 2**2
    assert centres[0].tolist() == [4, 4] and centres[1].tolist() == [12, 4]  # row by row
    assert sorted({int(stride) for stride in strides[:, 0]}) == list(STRIDES)


def test_a_person_gets_head_face_body_and_joints() -> None:
    raw = RawCells()
    points = np.linspace(0.3, 0.8, 24, dtype=np.float32).reshape(12, 2)
    raw.add_joints(raw.put(Kind.BODY, BODY), points)
    head = raw.put(Kind.HEAD, HEAD, 0.8)
    raw.add_face(head, FACE)
    raw.add_body(head, (0.32, 0.1, 0.6, 0.85))
    scene = decoded(raw)
    assert len(scene) == 1
    np.testing.assert_allclose(scene.head[0], HEAD, atol=1e-5)
    np.testing.assert_allclose(scene.body[0], BODY, atol=1e-5)  # the detected one, not the one that the head predicts
    np.testing.assert_allclose(scene.face[0], FACE, atol=1e-5)
    np.testing.assert_allclose(scene.joints[0, :, :2], points, atol=1e-5)
    np.testing.assert_allclose(scene.joints[0, :, 2], 0.65, atol=1e-3)
    assert scene.head_score[0] == pytest.approx(0.8) and scene.body_score[0] == pytest.approx(0.9)
    assert not scene.estimated[0]
    assert scene.photo_features.tolist() == [1, 2]


def test_a_hidden_face_is_unknown() -> None:
    raw = RawCells()
    raw.put(Kind.HEAD, HEAD)
    scene = decoded(raw)
    assert np.isnan(scene.face).all() and np.isnan(scene.landmarks).all() and scene.face_score[0] == 0
    assert np.isnan(scene.body).all() and scene.body_score[0] == 0


def test_a_head_without_a_detected_body_gets_the_one_that_it_predicts() -> None:
    raw = RawCells()
    raw.add_body(raw.put(Kind.HEAD, HEAD, 0.8), BODY)
    scene = decoded(raw)
    np.testing.assert_allclose(scene.body[0], BODY, atol=1e-5)
    assert 0 < scene.body_score[0] < 0.4


def test_a_body_without_a_head_is_a_person_with_an_estimated_head() -> None:
    raw = RawCells()
    raw.put(Kind.BODY, BODY, 0.7)
    scene = decoded(raw)
    assert scene.estimated.tolist() == [True]
    assert scene.head[0, 1] == pytest.approx(BODY[1], abs=1e-5)
    assert len(decoded(raw, DecodingLimits(lonely=0.75))) == 0


def test_each_head_gets_its_own_body() -> None:
    raw = RawCells()
    left, right = (0.05, 0.1, 0.4, 0.95), (0.55, 0.1, 0.95, 0.95)
    for body, x in ((right, 0.7), (left, 0.2)):
        raw.put(Kind.BODY, body)
        raw.add_body(raw.put(Kind.HEAD, (x, 0.1, x + 0.1, 0.25)), body)
    scene = decoded(raw)
    assert len(scene) == 2
    for head, body in zip(scene.head, scene.body, strict=True):
        assert body[0] < head[0] and head[2] < body[2]


def test_the_largest_and_most_certain_person_comes_first() -> None:
    raw = RawCells()
    raw.put(Kind.HEAD, (0.1, 0.1, 0.15, 0.16), 0.9)
    raw.put(Kind.HEAD, (0.4, 0.4, 0.7, 0.75), 0.9)
    raw.put(Kind.HEAD, (0.75, 0.1, 0.98, 0.4), 0.3)
    heights = np.diff(decoded(raw).head[:, [1, 3]])[:, 0]
    np.testing.assert_allclose(heights, [0.35, 0.3, 0.06], atol=1e-5)


def test_things_keep_their_scores() -> None:
    raw = RawCells()
    raw.put(Kind.HAND, (0.1, 0.5, 0.2, 0.6), 0.7)
    raw.put(Kind.ANIMAL, (0.6, 0.6, 0.9, 0.9), 0.8)
    raw.put(Kind.OBJECT, (0.1, 0.1, 0.3, 0.2), 0.24)  # below its limit
    scene = decoded(raw)
    np.testing.assert_allclose(scene.hands, [(0.1, 0.5, 0.2, 0.6, 0.7)], atol=1e-5)
    np.testing.assert_allclose(scene.animals, [(0.6, 0.6, 0.9, 0.9, 0.8)], atol=1e-5)
    assert len(scene.objects) == 0


def test_duplicates_become_one_box_at_their_weighted_mean() -> None:
    boxes = np.array([(0, 0, 10, 10), (1, 0, 11, 10), (30, 0, 40, 10), (4, 0, 14, 10)], np.float32)
    scores = np.array([0.8, 0.4, 0.5, 0.3], np.float32)
    keep, merged = suppress(boxes, scores, overlap=0.4, vote=0.65, most=60)
    assert keep.tolist() == [0, 2]
    np.testing.assert_allclose(merged[0, 0], 1 * 0.4**2 / (0.8**2 + 0.4**2), rtol=1e-5)  # the fourth has no vote
    np.testing.assert_allclose(merged[1], boxes[2])
    assert suppress(boxes, scores, 0.4, 0.65, most=1)[0].tolist() == [0]


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_suppression_keeps_the_best_and_leaves_no_duplicates(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corner, size = rng.random((count, 2)), rng.random((count, 2)) * 0.5 + 0.01
    boxes, scores = np.concatenate([corner, corner + size], 1), rng.random(count)
    keep, merged = suppress(boxes, scores, overlap=0.5, vote=0.65, most=60)
    assert len(keep) == len(merged) and len(keep) <= count and (count == 0 or keep[0] == scores.argmax())
    assert (np.diff(scores[keep]) <= 0).all()
    overlap = pairwise_iou(boxes[keep], boxes[keep]) - np.eye(len(keep))
    assert overlap.size == 0 or overlap.max() <= 0.5
    assert (merged[:, :2] < merged[:, 2:]).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(1, 20))
def test_suppression_does_what_plain_python_does(seed: int, count: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    corner, size = rng.random((count, 2)), rng.random((count, 2)) * 0.4 + 0.1
    boxes, scores = np.concatenate([corner, corner + size], 1).astype(np.float32).clip(0, 1.4), rng.random(count)
    kept: list[int] = []
    merged = []
    left = sorted(range(count), key=lambda i: -scores[i])
    while left and len(kept) < most:
        best = left[0]
        overlap = {i: geometric_iou(boxes[best], boxes[i]) for i in left}
        voters = [i for i in left if overlap[i] > 0.65]
        weights = np.array([scores[i] ** 2 for i in voters])
        merged.append((boxes[voters] * weights[:, None]).sum(0) / weights.sum())
        kept.append(best)
        left = [i for i in left if i != best and overlap[i] <= 0.5]
    keep, mean = suppress(boxes, scores, overlap=0.5, vote=0.65, most=most)
    assert keep.tolist() == kept
    np.testing.assert_allclose(mean, merged, atol=1e-6)


def geometric_iou(a: Floats, b: Floats) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in range(2))
    shared = max(width, 0) * max(height, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def test_features_are_read_at_the_middle_of_head_and_body() -> None:
    heads = np.array([(0.25, 0.5, 0.5, 0.75)], np.float32)  # the middle of cell (1, 2)
    bodies = np.array([(0.25, 0.5, 0.75, 0.75)], np.float32)  # between the cells (1, 2) and (2, 2)
    values = person_features(MAP, heads, bodies)
    np.testing.assert_allclose(values, [[9, 25, 9.5, 25.5]])
    unknown = person_features(MAP, heads, np.full((1, 4), np.nan, np.float32))
    np.testing.assert_allclose(unknown, [[9, 25, 0, 0]])
