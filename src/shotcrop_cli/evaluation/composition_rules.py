"""Film craft in numbers: bands for head scale, headroom, eye line and lead room, and a validator.

The figures follow from a body of 7.5 heads and the face that a detector boxes, forehead to chin [O].
Every ratio is taken along one axis of the crop, so relative coordinates are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Landmark, Person
from shotcrop_cli.evaluation.joint_cuts import cuts_chin, joint_cuts
from shotcrop_cli.geometry import ioa, visible_share
from shotcrop_cli.shots import Box, Composition, ShotType

FACE_CONFIDENCE = 0.6
"""Faces below are ignored [O]: YuNet's false alarms on cloth and hands mostly score less."""

HAIR = 0.3
"""Hair above the face box, as a share of its height [O]: the experts' median medium headroom is .10 then."""

YAW = 0.08
"""Nose off the middle of the eyes by this share of the face's width means a turned head [O]: the experts'
`left` and `right` faces have a median of .15, nine in ten of their `camera` faces stay within about .1."""


@dataclass(frozen=True, slots=True)
class Band:
    """A range with full credit inside hard limits: `hard_low` <= `low` <= `high` <= `hard_high`."""

    low: float
    high: float
    hard_low: float
    hard_high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def tolerates(self, value: float) -> bool:
        """Whether a value keeps the hard limits."""
        return self.hard_low <= value <= self.hard_high

    def credit(self, value: float) -> float:
        """Return 1 inside the band, 0 beyond the hard limits, linear in between."""
        if value in self:
            return 1.0
        if not self.tolerates(value):
            return 0.0
        if value < self.low:
            return (value - self.hard_low) / (self.low - self.hard_low)
        return (self.hard_high - value) / (self.hard_high - self.high)


HEAD_SCALE: Mapping[ShotType, Band] = {
    ShotType.ESTABLISHING: Band(0.0, 0.12, 0.0, 0.20),
    ShotType.MEDIUM: Band(0.16, 0.30, 0.10, 0.36),
    ShotType.CLOSE_UP: Band(0.35, 0.65, 0.25, 0.85),
}
"""Face height / crop height [O]."""

HEADROOM: Mapping[ShotType, Band] = {
    ShotType.MEDIUM: Band(0.02, 0.16, -0.03, 0.26),
    ShotType.CLOSE_UP: Band(-0.10, 0.10, -0.20, 0.20),
}
"""Gap above the hair / crop height; negative where the hair is cut [O]; hard limits a margin of .05 to
.10 around the band."""

EYE_LINE: Mapping[ShotType, Band] = {
    ShotType.MEDIUM: Band(0.18, 0.38, 0.10, 0.48),
    ShotType.CLOSE_UP: Band(0.28, 0.45, 0.18, 0.55),
}
"""Height of the eyes below the crop's upper edge / crop height [O]; hard limits a margin of about .10."""

LEAD_ROOM = Band(0.55, 0.80, 0.40, 0.95)
"""Share of the free width that lies in front of the gaze: about two thirds [O], for every shot."""


class Rule(str, Enum):
    """What a `Finding` is about."""

    HEAD_SCALE = "head_scale"
    HEADROOM = "headroom"
    EYE_LINE = "eye_line"
    LEAD_ROOM = "lead_room"
    JOINT_CUT = "joint_cut"
    CHIN_CUT = "chin_cut"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """A breach of craft in one shot, in words for people.

    Args:
        shot: The shot concerned.
        rule: The rule it breaks.
        message: One line.
    """

    shot: ShotType
    rule: Rule
    message: str


def head_scale(crop: Box, face: Face) -> float:
    """Return face height / crop height, as a face detector boxes it."""
    return face.box.height / crop.height


def headroom(crop: Box, face: Face) -> float:
    """Return the gap above the hair / crop height; negative where the crop cuts the hair."""
    return (face.box.y0 - HAIR * face.box.height - crop.y0) / crop.height


def eye_line(crop: Box, face: Face) -> float:
    """Return how far the eyes lie below the crop's upper edge, in crop heights; 0..1 if inside."""
    right, left = face.landmarks[Landmark.RIGHT_EYE], face.landmarks[Landmark.LEFT_EYE]
    return ((right.y + left.y) / 2 - crop.y0) / crop.height


def yaw(face: Face) -> float:
    """Return how far the nose lies right of the middle between the eyes, in widths of the face."""
    right, left = face.landmarks[Landmark.RIGHT_EYE], face.landmarks[Landmark.LEFT_EYE]
    return (face.landmarks[Landmark.NOSE].x - (right.x + left.x) / 2) / face.box.width


def gaze(face: Face) -> str:
    """Return where a face points as the viewer sees it: `left`, `right` or `camera`."""
    turn = yaw(face)
    if abs(turn) < YAW:
        return "camera"
    return "left" if turn < 0.0 else "right"


def lead_room(crop: Box, face: Face, facing: str) -> float | None:
    """Return the share of the free width beside the face that lies in front of the gaze.

    Args:
        crop: The shot.
        face: The lead's face.
        facing: Where it points as the viewer sees it, as in `Grounding.facing` or from `gaze`.

    Returns:
        0..1, or None when the face looks neither left nor right or fills the whole width.
    """
    left, right = max(face.box.x0 - crop.x0, 0.0), max(crop.x1 - face.box.x1, 0.0)
    if facing not in ("left", "right") or left + right <= 0.0:
        return None
    return (left if facing == "left" else right) / (left + right)


def lead_face(detections: Detections, close_up: Box) -> Face | None:
    """Pick the face of the lead: the one that the close-up holds best.

    Args:
        detections: Faces below `FACE_CONFIDENCE` are ignored.
        close_up: The expert's close-up where there is one, since it says who leads.

    Returns:
        The face with the largest share inside the close-up, the biggest of equals; the biggest face of
        the photo when the close-up holds none; None when there is no face.
    """
    faces = [face for face in detections.faces if face.score >= FACE_CONFIDENCE]
    return max(faces, key=lambda face: (round(visible_share(face.box, close_up), 2), face.box.area), default=None)


def lead_person(detections: Detections, head: Box) -> Person | None:
    """Pick the body that belongs to a head.

    Args:
        detections: Where to look.
        head: The lead's face, or the close-up where no face was found.

    Returns:
        The person whose box holds most of the head, of equals the one whose nose is nearest to its
        middle; None when nobody overlaps it.
    """
    x, y = head.centre

    def fit(person: Person) -> tuple[float, float]:
        nose = person.keypoints[Joint.NOSE]
        return round(ioa(head, person.box), 2), -math.hypot(nose.x - x, nose.y - y)

    best = max(detections.persons, key=fit, default=None)
    return best if best is not None and ioa(head, best.box) > 0.0 else None


def check(composition: Composition, detections: Detections, photo_aspect: float) -> tuple[Finding, ...]:
    """Name the breaches of craft in a triple.

    The lead is who the composition's own close-up shows. Values between the full-credit band and the hard
    limits pass; rules whose detector found nothing are silent.

    Args:
        composition: The triple.
        detections: Of the same photo.
        photo_aspect: Width / height of the photo.

    Returns:
        The findings, widest shot first.
    """
    close_up = composition[ShotType.CLOSE_UP].box
    face = lead_face(detections, close_up)
    person = lead_person(detections, face.box if face else close_up)
    told = composition.grounding.facing if composition.grounding else None
    findings: list[Finding] = []
    for shot in composition.shots:
        if face is not None and visible_share(face.box, shot.box) > 0.0:
            findings += _face_findings(shot.type, shot.box, face, told or gaze(face))
        if person is not None:
            findings += [
                Finding(shot.type, Rule.JOINT_CUT, f"the {cut.edge} edge cuts the lead at the {cut.line}")
                for cut in joint_cuts(shot.box, person, photo_aspect)
            ]
    return tuple(findings)


def _face_findings(shot: ShotType, crop: Box, face: Face, facing: str) -> Iterator[Finding]:
    measured: tuple[tuple[Rule, float | None, Band | None], ...] = (
        (Rule.HEAD_SCALE, head_scale(crop, face), HEAD_SCALE.get(shot)),
        (Rule.HEADROOM, headroom(crop, face), HEADROOM.get(shot)),
        (Rule.EYE_LINE, eye_line(crop, face), EYE_LINE.get(shot)),
        (Rule.LEAD_ROOM, lead_room(crop, face, facing), LEAD_ROOM),
    )
    for rule, value, band in measured:
        if value is not None and band is not None and not band.tolerates(value):
            words = str(rule).replace("_", " ")
            yield Finding(shot, rule, f"{words} {value:.2f}, not within {band.hard_low:.2f}..{band.hard_high:.2f}")
    if cuts_chin(crop, face):
        yield Finding(shot, Rule.CHIN_CUT, "the lower edge cuts the lead's chin")
