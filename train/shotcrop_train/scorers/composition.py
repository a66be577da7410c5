"""Stand-in criterion `composition`: the bands of `shotcrop_cli.evaluation.composition_rules` and joint cuts.

It needs detections only. The person it judges is the one whose face the crop shows best. So a good close-up of somebody
else still scores well: other criteria decide who the main person is. This criterion is our own choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.evaluation.detections import Face, Person
from shotcrop_cli.evaluation.joint_cuts import cuts_chin, joint_cuts
from shotcrop_cli.evaluation.main_person import main_face, main_person
from shotcrop_cli.geometry import visible_share
from shotcrop_cli.shots import Box, ShotType
from shotcrop_train.scorers import Judged


class CompositionScorer:
    """Scores a crop 0..1: the mean credit of the rules that apply, times the share of the face that it shows."""

    calibrated = True

    def __init__(self, name: str = "composition") -> None:
        self.name = name

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return credits, None for a photo without a face; see `Scorer`."""
        return [_credit(one) for one in judged]


def breaks_composition_rules(judged: Judged) -> bool:
    """Return whether a crop breaks a rule that no expert breaks on purpose: the veto of `decision.Rule`.

    A medium or close-up shot must show the whole of the face that it shows best, without a cut through the chin, and
    the face's height must be within the hard limits of its band. Without a face no rule is broken.
    """
    box, shot = judged.shot.box, judged.shot.type
    face = main_face(judged.photo.detections, box)
    if face is None or shot is ShotType.ESTABLISHING:
        return False
    cut = visible_share(face.box, box) < 0.9 or cuts_chin(box, face)
    return cut or not composition_rules.HEAD_SCALE[shot].tolerates(composition_rules.head_scale(box, face))


def _credit(judged: Judged) -> float | None:
    box, photo = judged.shot.box, judged.photo
    face = main_face(photo.detections, box)
    if face is None:
        return None
    person = main_person(photo.detections, face.box)
    return visible_share(face.box, box) * fmean(_credits(judged.shot.type, box, face, person, photo.aspect))


def _credits(shot: ShotType, box: Box, face: Face, person: Person | None, aspect: float) -> Iterator[float]:
    measured = (
        (composition_rules.head_scale(box, face), composition_rules.HEAD_SCALE.get(shot)),
        (composition_rules.headroom(box, face), composition_rules.HEADROOM.get(shot)),
        (composition_rules.eye_line(box, face), composition_rules.EYE_LINE.get(shot)),
        (composition_rules.lead_room(box, face, composition_rules.gaze(face)), composition_rules.LEAD_ROOM),
    )
    for value, band in measured:
        if value is not None and band is not None:
            yield band.credit(value)
    yield 0.0 if cuts_chin(box, face) else 1.0
    if person is not None:
        yield 1.0 / (1 + len(joint_cuts(box, person, aspect)))
