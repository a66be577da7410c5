"""What teacher detections say of a photo: who leads, where the head is, where the face points, how wide the frame is.

The detections are machine output and wrong at times; each function returns None where they do not carry an answer,
and the answer then trains nothing. Constants marked [O] are our own estimates, or medians of the training split where
it says so; together they are judged by what `cinematographer.propose` makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from shotcrop_cli.evaluation.composition_rules import yaw
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Person
from shotcrop_cli.geometry import clip, ioa, iou
from shotcrop_cli.shots import Box, Composition, Grounding, ShotType

MIN_PERSON_SCORE = 0.4
MIN_FACE_SCORE = 0.7
MIN_KEYPOINT_CONFIDENCE = 0.35
"""Below these a detection is not believed [O]."""

HAIR_ABOVE_FACE = 0.28
CHIN_BELOW_FACE = 0.02
SIDE_OF_FACE = 0.16
"""How far a head (hair top to chin, ear to ear) reaches beyond a face detector's box, in heights and widths of it
[O]."""

HEAD_ASPECT = 0.78
"""Width / height of a head in pixels [O]."""


def lead_face(faces: Sequence[Face], composition: Composition | None) -> Face | None:
    """Return the face of the lead: the expert's close-up decides, else size, centrality and confidence do."""
    sure = [face for face in faces if face.score >= MIN_FACE_SCORE]
    if composition is not None:
        close_up = composition[ShotType.CLOSE_UP].box
        sure = [face for face in sure if ioa(face.box, close_up) > 0.8]
        return max(sure, key=lambda face: face.box.area, default=None)
    return max(sure, key=lambda face: face.score * _prominence(face.box), default=None)


def lead_person(detections: Detections, face: Face | None, composition: Composition | None) -> Person | None:
    """Return the person who carries the story: the one the face belongs to, else the most prominent one."""
    persons = [person for person in detections.persons if person.score >= MIN_PERSON_SCORE]
    if face is not None:
        owners = [person for person in persons if ioa(face.box, person.box) > 0.7]
        # Of nested boxes the one whose top is nearest to the face is its own.
        return min(owners, key=lambda person: abs(person.box.y0 - face.box.y0), default=None)
    if composition is not None:
        medium = composition[ShotType.MEDIUM].box
        close_up = composition[ShotType.CLOSE_UP].box
        persons = [person for person in persons if ioa(close_up, person.box) > 0.3]
        return max(persons, key=lambda person: iou(person.box, medium), default=None)
    return max(persons, key=lambda person: person.score * _prominence(person.box), default=None)


def _prominence(box: Box) -> float:
    x, y = box.centre
    return math.sqrt(box.area) * (1.0 - min(math.hypot(x - 0.5, 0.5 * (y - 0.5)), 0.9))


def head_box(face: Face | None, person: Person | None, aspect: float) -> Box | None:
    """Return the lead's head, hair top to chin, from the face or, for heads seen from behind, from the pose.

    Args:
        face: The lead's face.
        person: The lead.
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
    # The ears lie about halfway between hair top and chin; the shoulder joints about one head height lower [O].
    height = sum(point.y for point in shoulders) / 2 - y
    if not 0.0 < height < person.box.height / 2:
        return None
    width = height * HEAD_ASPECT / aspect
    return clip(x - width / 2, y - height * 0.55, x + width / 2, y + height * 0.5)


def facing(face: Face | None) -> str | None:
    """Return where the lead's face points, from the nose's offset between the eyes, or None when that is unclear."""
    if face is None:
        return None
    turn = yaw(face)
    # On the training split nine tenths of the faces turned aside lie beyond .05, of those at the camera within .08 [O].
    if abs(turn) < 0.05:
        return "camera"
    if abs(turn) > 0.1:
        return "left" if turn < 0 else "right"
    return None


def native_scale(head: Box | None) -> str | None:
    """Return how the photo frames the lead, from the head's height; borders lie between the experts' medians [O]."""
    if head is None:
        return None
    for scale, limit in (("wide", 0.07), ("full", 0.19), ("medium", 0.42)):
        if head.height < limit:
            return scale
    return "close"


def ground(detections: Detections, aspect: float, composition: Composition | None = None) -> Grounding:
    """Return the chain of thought that detections, and an expert's triple where there is one, support.

    Args:
        detections: Persons and faces of the photo.
        aspect: Width / height of the upright photo.
        composition: The expert's triple; it decides who leads, and its own judgements come before derived ones.
    """
    face = lead_face(detections.faces, composition)
    person = lead_person(detections, face, composition)
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
        native_scale=native_scale(head),
    )


def guess_aspect(faces: Sequence[Face]) -> float:
    """Guess the width / height of a photo that was squashed to a square, from the shape of the faces in it.

    Nearly all such photos are 4:3 or 3:2, lying or standing; a face has a known shape, so it tells which.
    """
    shapes = [face.box.height / face.box.width for face in faces if face.score >= MIN_FACE_SCORE]
    # Width / height of a face detector's box in pixels is .76 in the median [O].
    return 0.72 if shapes and 0.76 * sorted(shapes)[len(shapes) // 2] < 1.0 else 1.4
