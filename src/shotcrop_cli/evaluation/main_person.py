"""Who the main person of a photo is, from detections and, where there is one, from a close-up.

A close-up decides: the main person is who it shows. Without one, size, position and the detector's score decide.
"""

from __future__ import annotations

import math

from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Person
from shotcrop_cli.geometry import ioa, visible_share
from shotcrop_cli.shots import Box

FACE_CONFIDENCE = 0.6
"""Faces with a lower score are ignored. Our own choice: YuNet's false alarms on cloth and hands mostly score less."""


def main_face(
    detections: Detections, close_up: Box | None, *, min_score: float = FACE_CONFIDENCE, min_share: float = 0.0
) -> Face | None:
    """Pick the main person's face.

    Args:
        detections: Where to look.
        close_up: A close-up of the photo; it shows who the main person is. None where there is none.
        min_score: Faces with a lower score are ignored.
        min_share: A face counts only if the close-up shows at least this share of it.

    Returns:
        With a close-up, the face of which it shows most, and of equal ones the biggest. Without one, the most
        prominent face. None when there is no such face.
    """
    faces = [face for face in detections.faces if face.score >= min_score]
    if close_up is None:
        return max(faces, key=lambda face: face.score * prominence(face.box), default=None)
    faces = [face for face in faces if visible_share(face.box, close_up) >= min_share]
    return max(faces, key=lambda face: (round(visible_share(face.box, close_up), 2), face.box.area), default=None)


def main_person(detections: Detections, head: Box | None, *, min_score: float = 0.0) -> Person | None:
    """Pick the body of the main person.

    Args:
        detections: Where to look.
        head: The main person's face, or the close-up where no face was found. None where neither is known.
        min_score: Persons with a lower score are ignored.

    Returns:
        With a head, the person whose box holds most of it, and of equal ones the one whose nose is nearest to its
        middle. Without one, the most prominent person. None when no person overlaps the head.
    """
    persons = [person for person in detections.persons if person.score >= min_score]
    if head is None:
        return max(persons, key=lambda person: person.score * prominence(person.box), default=None)
    x, y = head.centre

    def fit(person: Person) -> tuple[float, float]:
        nose = person.keypoints[Joint.NOSE]
        return round(ioa(head, person.box), 2), -math.hypot(nose.x - x, nose.y - y)

    best = max(persons, key=fit, default=None)
    return best if best is not None and ioa(head, best.box) > 0.0 else None


def prominence(box: Box) -> float:
    """Return how much a box stands out, by its size and how central it is, 0..1. Vertical distance counts half."""
    x, y = box.centre
    return math.sqrt(box.area) * (1.0 - min(math.hypot(x - 0.5, 0.5 * (y - 0.5)), 0.9))
