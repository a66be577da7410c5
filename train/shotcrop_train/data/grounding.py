"""What detections say of a photo: the main person, the head, where the face points, and how wide the framing is.

The detections are machine output and are wrong at times. Each function returns None where they give no answer; the
model then learns nothing from that part. The constants are our own estimates, or medians of the training split where
that is said. `rule_based.propose` shows how good they are together.
"""

from __future__ import annotations

from collections.abc import Sequence

from shotcrop_cli.body import CHIN_BELOW_FACE, FACE_ASPECT, HAIR_ABOVE_FACE, HEAD_ASPECT, SIDE_OF_FACE, native_scale
from shotcrop_cli.evaluation.composition_rules import yaw
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Person
from shotcrop_cli.evaluation.main_person import main_face, main_person
from shotcrop_cli.geometry import clip
from shotcrop_cli.shots import Box, Composition, Grounding, ShotType

MIN_PERSON_SCORE = 0.4
MIN_FACE_SCORE = 0.7
MIN_KEYPOINT_CONFIDENCE = 0.35
"""Detections with a lower score are ignored."""

MIN_FACE_SHARE = 0.8
"""The expert's close-up shows at least this share of the main person's face; other faces are not the main person's."""


def head_box(face: Face | None, person: Person | None, aspect: float) -> Box | None:
    """Return the main person's head, hair top to chin: from the face, or from the pose of a head seen from behind.

    Args:
        face: The main person's face.
        person: The main person.
        aspect: Width / height of the upright photo.
    """
    if face is not None:
        width, height, (x0, y0, x1, y1) = face.box.width, face.box.height, face.box
        return clip(
            x0 - SIDE_OF_FACE * width,
            y0 - HAIR_ABOVE_FACE * height,
            x1 + SIDE_OF_FACE * width,
            y1 + CHIN_BELOW_FACE * height,
        )
    if person is None or not person.keypoints:
        return None
    points = [person.keypoints[joint] for joint in (Joint.LEFT_EAR, Joint.RIGHT_EAR, Joint.NOSE)]
    seen = [point for point in points if point.confidence >= MIN_KEYPOINT_CONFIDENCE]
    shoulders = [person.keypoints[joint] for joint in (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)]
    if not seen or any(point.confidence < MIN_KEYPOINT_CONFIDENCE for point in shoulders):
        return None
    x = sum(point.x for point in seen) / len(seen)
    y = sum(point.y for point in seen) / len(seen)
    # The ears are about half-way between hair top and chin, the shoulder joints about one head lower.
    height = sum(point.y for point in shoulders) / 2 - y
    if not 0.0 < height < person.box.height / 2:
        return None
    width = height * HEAD_ASPECT / aspect
    return clip(x - width / 2, y - height * 0.55, x + width / 2, y + height * 0.5)


def facing(face: Face | None) -> str | None:
    """Return where the main person's face points, by the nose's offset between the eyes; None when that is unclear."""
    if face is None:
        return None
    turn = yaw(face)
    # On the training split, nine tenths of faces turned aside are beyond .05, of those to the camera within .08.
    if abs(turn) < 0.05:
        return "camera"
    if abs(turn) > 0.1:
        return "left" if turn < 0 else "right"
    return None


def ground(detections: Detections, aspect: float, composition: Composition | None = None) -> Grounding:
    """Return the chain of thought that follows from detections and from an expert's triple where there is one.

    Args:
        detections: Persons and faces of the photo.
        aspect: Width / height of the upright photo.
        composition: The expert's triple. Its close-up shows who the main person is, and its own judgements replace
            derived ones.
    """
    close_up = None if composition is None else composition[ShotType.CLOSE_UP].box
    face = main_face(detections, close_up, min_score=MIN_FACE_SCORE, min_share=MIN_FACE_SHARE)
    person = main_person(detections, face.box if face is not None else close_up, min_score=MIN_PERSON_SCORE)
    head = head_box(face, person, aspect)
    known = composition.grounding if composition is not None else None
    if known is not None:
        return Grounding(
            person.box if person is not None else None,
            head,
            known.people,
            known.setting,
            known.facing,
            known.native_scale,
        )
    persons = sum(one.score >= MIN_PERSON_SCORE for one in detections.persons)
    return Grounding(
        main_person=person.box if person is not None else None,
        head=head,
        people=min(persons, 4) or None,
        facing=facing(face),
        native_scale=None if head is None else native_scale(head.height),
    )


def guess_aspect(faces: Sequence[Face]) -> float:
    """Guess the width / height of a photo that was squashed to a square, from the shape of the faces in it.

    Nearly all such photos are 4:3 or 3:2, landscape or portrait. Faces have a known shape, so they show which.
    """
    shapes = [face.box.height / face.box.width for face in faces if face.score >= MIN_FACE_SCORE]
    return 0.72 if shapes and FACE_ASPECT * sorted(shapes)[len(shapes) // 2] < 1.0 else 1.4
