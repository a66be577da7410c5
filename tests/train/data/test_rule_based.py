from __future__ import annotations

import pytest

from shotcrop_cli.evaluation.detections import Detections, Face, Keypoint, Person, Point
from shotcrop_cli.geometry import flip, ioa, iou
from shotcrop_cli.shots import Box
from shotcrop_train.data.grounding import ground, guess_aspect
from shotcrop_train.data.rule_based import propose

ASPECT = 1.5


def standing(x: float = 0.5, score: float = 0.9, size: float = 1.0) -> tuple[Person, Face]:
    """A person standing in a 3:2 photo, and the face."""
    half, height = 0.08 * size, 0.8 * size
    top = 0.95 - height
    face_height = height * 0.11
    face_width = 0.76 * face_height / ASPECT
    face = Box(x - face_width / 2, top + 0.03 * size, x + face_width / 2, top + 0.03 * size + face_height)
    y = (face.y0 + face.y1) / 2
    points = (
        Point(x - 0.01, y), Point(x + 0.01, y), Point(x, y + 0.01), Point(x - 0.01, y + 0.03), Point(x + 0.01, y + 0.03)
    )  # fmt: skip
    joints = tuple(Keypoint(x, top + height * k / 17, 0.9) for k in range(17))
    return Person(Box(x - half, top, x + half, 0.95), score, joints), Face(face, score, points)


def test_the_head_is_whole_in_every_proposed_shot() -> None:
    person, face = standing()
    detections = Detections((person,), (face,))
    grounding = ground(detections, ASPECT)
    assert grounding.head is not None
    shots = propose(grounding, detections, ASPECT)
    assert shots is not None
    for box in shots:
        assert ioa(grounding.head, box) == pytest.approx(1.0)
    establishing, medium, close_up = shots
    assert establishing.area > medium.area > close_up.area


def test_the_biggest_central_person_is_the_main_person() -> None:
    big, big_face = standing(0.5)
    small, small_face = standing(0.9, size=0.5)
    detections = Detections((small, big), (small_face, big_face))
    assert ground(detections, ASPECT).main_person == big.box


def test_a_mirrored_photo_gets_the_mirrored_proposal() -> None:
    for x in (0.3, 0.5, 0.62):
        person, face = standing(x)
        one = Detections((person,), (face,))
        points = tuple(Point(1 - point.x, point.y) for point in face.landmarks)
        swapped = (points[1], points[0], points[2], points[4], points[3])
        other = Detections(
            (Person(flip(person.box), person.score, person.keypoints),), (Face(flip(face.box), 0.9, swapped),)
        )
        here = propose(ground(one, ASPECT), one, ASPECT)
        there = propose(ground(other, ASPECT), other, ASPECT)
        assert here is not None and there is not None
        for a, b in zip(here, there, strict=True):
            assert iou(flip(a), b) == pytest.approx(1.0, abs=1e-6)


def test_a_photo_without_detections_gets_no_proposal() -> None:
    empty = Detections()
    assert propose(ground(empty, ASPECT), empty, ASPECT) is None


def test_a_portrait_photo_is_recognised_by_its_squashed_faces() -> None:
    points = (Point(0.42, 0.42),) * 5
    wide = Face(Box(0.4, 0.4, 0.5, 0.49), 0.9, points)
    tall = Face(Box(0.4, 0.4, 0.44, 0.49), 0.9, points)
    assert guess_aspect([wide]) < 1.0
    assert guess_aspect([tall]) > 1.0
    assert guess_aspect([]) > 1.0
