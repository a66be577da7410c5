"""Check what captions claim about heads, people and body parts against detections.

The check reads plain statements alone, and only confident detections refute one: a missing detection proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shotcrop_cli.body import WAIST_ABOVE_HIPS
from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Person, Point
from shotcrop_cli.evaluation.joint_cuts import JOINT_CONFIDENCE
from shotcrop_cli.evaluation.main_person import FACE_CONFIDENCE, main_face, main_person
from shotcrop_cli.geometry import visible_share
from shotcrop_cli.shots import Box

PERSON_CONFIDENCE = 0.4
"""Persons with a lower score are ignored: furniture and shadows mostly score less."""

SHOWN = 0.5
"""A crop shows a face if it holds at least this share of it."""

PART_SHOWN = 0.2
"""A crop shows a person if it holds at least this share of the body, or the head."""

HEAD_JOINTS = (Joint.NOSE, Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.LEFT_EAR, Joint.RIGHT_EAR)

HIPS = (Joint.LEFT_HIP, Joint.RIGHT_HIP)
KNEES = (Joint.LEFT_KNEE, Joint.RIGHT_KNEE)
ANKLES = (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE)

_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_FOLK = "people|persons|men|women|boys|girls|children|kids|friends|toddlers|babies|players|heads|faces"
_COUNT = re.compile(rf"\b({'|'.join(_NUMBERS)})(?: [\w-]+){{0,2}}? (?:{_FOLK})\b")
_PAIR = re.compile(r"\b(?:couple|duo)\b(?! of)")
_ALONE = re.compile(r"\b(?:one person|alone|lone)\b")
_HEAD = re.compile(r"\b(?:heads?|faces?|eyes?|smil(?:e|es|ing)|lips|mouth|profile|head-and-shoulders)\b")
_SHOULDERS = re.compile(r"\bhead[ -]and[ -]shoulders\b")
_WAIST = re.compile(r"\bwaist[ -]up\b|\bto the waist\b")
_KNEES = re.compile(r"\b(?:knees?|thighs?)[ -]up\b|\bto the (?:knees|thighs)\b|\bthree-quarter length\b")
_WHOLE = re.compile(r"\bfull[ -](?:length|figure)\b|\bhead to (?:toe|foot)\b|\bwhole (?:body|figure)\b")


@dataclass(frozen=True, slots=True)
class View:
    """The content of a box according to detections; None where they do not decide.

    Args:
        head: Whether a head can be seen.
        face: Height of the main person's face as a share of the box's height, 0 if the box does not show it.
        people: Number of people in the box.
        of: Number of people in the whole photo.
        waist: Whether the box shows the main person's waist; the same for hips, knees and ankles.
    """

    head: bool | None
    face: float
    people: int
    of: int
    waist: bool | None
    hips: bool | None
    knees: bool | None
    ankles: bool | None


def views(boxes: Sequence[Box], detections: Detections) -> tuple[View, ...]:
    """Return the content of each box of a triple.

    Args:
        boxes: The three crops, the close-up last: it decides who the main person is.
        detections: Detections in the photo.
    """
    face = main_face(detections, boxes[-1])
    person = main_person(detections, face.box if face else boxes[-1])
    return tuple(_view(box, detections, person, face) for box in boxes)


def _view(box: Box, detections: Detections, person: Person | None, face: Face | None) -> View:
    persons = [person for person in detections.persons if person.score >= PERSON_CONFIDENCE]
    faces = [face.box for face in detections.faces if face.score >= FACE_CONFIDENCE]
    shown_faces = sum(visible_share(face, box) >= SHOWN for face in faces)
    heads = [_shown(person, HEAD_JOINTS, box) for person in persons]
    head = True if shown_faces or True in heads else False if faces or False in heads else None
    bodies = sum(
        head is True or visible_share(person.box, box) >= PART_SHOWN
        for head, person in zip(heads, persons, strict=True)
    )
    hips, knees, ankles = (_shown(person, pair, box) if person is not None else None for pair in (HIPS, KNEES, ANKLES))
    middle = _waist(person) if person is not None else None
    waist = _inside(middle, box) if middle is not None else None
    scale = (
        composition_rules.head_scale(box, face) if face is not None and visible_share(face.box, box) >= SHOWN else 0.0
    )
    return View(head, scale, max(bodies, shown_faces), max(len(persons), len(faces)), waist, hips, knees, ankles)


def refuted(caption: str, view: View) -> bool:
    """Whether the detections in a box refute its caption."""
    text = caption.lower()
    wrong = (
        (_HEAD, view.head is False),
        (_ALONE, view.people > 1),
        (_PAIR, view.people < 2 <= view.of),
        (_SHOULDERS, view.hips is True),
        (_WAIST, view.knees is True or False in (view.head, view.waist)),
        (_KNEES, view.ankles is True or view.hips is False),
        (_WHOLE, view.ankles is False or view.head is False),
    )
    if any(claim.search(text) for claim, false in wrong if false):
        return True
    counts = [_NUMBERS[match[1]] for match in _COUNT.finditer(text)]
    return any(view.people < count <= view.of for count in counts)


def _shown(person: Person, joints: Sequence[Joint], box: Box) -> bool | None:
    """Whether a box holds any of the joints; None when the detector is sure of none of them."""
    sure = [point for joint in joints if (point := person.keypoints[joint]).confidence >= JOINT_CONFIDENCE]
    return any(_inside(point, box) for point in sure) if sure else None


def _waist(person: Person) -> Point | None:
    """Return the middle of a person's waist; None when the detector is not sure of shoulders and hips."""
    torso = [person.keypoints[joint] for joint in (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, *HIPS)]
    if min(point.confidence for point in torso) < JOINT_CONFIDENCE:
        return None
    left, right, left_hip, right_hip = torso
    return Point(
        (WAIST_ABOVE_HIPS * (left.x + right.x) + (1.0 - WAIST_ABOVE_HIPS) * (left_hip.x + right_hip.x)) / 2,
        (WAIST_ABOVE_HIPS * (left.y + right.y) + (1.0 - WAIST_ABOVE_HIPS) * (left_hip.y + right_hip.y)) / 2,
    )


def _inside(point: Keypoint | Point, box: Box) -> bool:
    return box.x0 <= point.x <= box.x1 and box.y0 <= point.y <= box.y1
