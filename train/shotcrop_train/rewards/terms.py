"""The rewards of stage 3: pure functions of an answer, what is known of its photo, and what scorers give it.

There are two presets. `paper` is second-hand, from a transcription of the paper's text:

    R = mean over the shots of  .6 IoU + .2 aesthetic + .2 ratio

`cinema` is our own:

    R = 1[format] (.50 loc + .10 aesthetic gain + .10 ratio + .10 scale + .06 head + .05 joint + .05 captions + .04 set)

Five rules of our own hold for both.

* An answer that breaks the contract earns 0: it is unreadable, holds anything beside the contract's form, or lacks a
  triple. So does one whose captions, or whose reasoning where it is asked for, are no sentences or are alike.
* For a photo without people, "no people" earns 1 and a triple 0. For any other photo, "no people" earns 0.
* A term without evidence in the photo (no expert's box, no face, no body, no scorer) is dropped, and the other weights
  are renormalised. The photo alone decides this. If the answer did, it could choose what it is judged by.
* A shot that is not accepted as truth carries no reward: terms are means over the other shots. Only `set`, which judges
  the three crops together, sees it.
* Every term, and so every reward, is within 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.evaluation.bootstrap import DISTINCT
from shotcrop_cli.evaluation.detections import Detections, Face, Person
from shotcrop_cli.evaluation.joint_cuts import cuts_chin, joint_cuts
from shotcrop_cli.evaluation.main_person import main_face, main_person
from shotcrop_cli.evaluation.metrics import FACE_SHOWN
from shotcrop_cli.geometry import ioa, iou, pixel_aspect, visible_share
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composition, NoSubject, ShotType
from shotcrop_train.data.captions import is_sentence, plain, words
from shotcrop_train.data.grounding import MIN_FACE_SCORE


@dataclass(frozen=True, slots=True)
class TargetRatios:
    """Width / height in pixels that landscape and portrait crops should have.

    Source: second-hand, a transcription of the paper's text.
    """

    landscape: float = 4 / 3
    portrait: float = 3 / 4

    def __post_init__(self) -> None:
        if not 0.0 < self.portrait <= 1.0 <= self.landscape:
            raise ValueError(f"a portrait ratio is at most 1, a landscape one at least 1: {self}")


@dataclass(frozen=True, slots=True)
class PaperWeights:
    """Weights of preset `paper`. Source: second-hand, a transcription of the paper's text."""

    iou: float = 0.6
    aesthetic: float = 0.2
    ratio: float = 0.2


@dataclass(frozen=True, slots=True)
class CinemaWeights:
    """Weights of preset `cinema`, our own choice."""

    loc: float = 0.50
    aesthetic: float = 0.10
    ratio: float = 0.10
    scale: float = 0.10
    head: float = 0.06
    joint: float = 0.05
    captions: float = 0.05
    set: float = 0.04


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a photo, whatever the answer.

    Args:
        truth: The expert's triple; None for a hard case.
        detections: Persons and faces; may be empty.
        aspect: Width / height of the upright photo, None when unknown.
        think: Whether the answer should hold a chain of thought.
        captions: Whether it should hold captions. The compact model gets its own by rule, from what was detected.
        accepted: For each shot of the truth, whether it is good enough to reward.
        no_subject: The photo is known to be without people.
    """

    truth: Composition | None
    detections: Detections
    aspect: float | None
    think: bool = True
    captions: bool = True
    accepted: tuple[bool, bool, bool] = (True, True, True)
    no_subject: bool = False

    @property
    def rewarded(self) -> tuple[ShotType, ...]:
        """The shots that carry a reward: all of a photo without truth."""
        if self.truth is None:
            return SHOT_TYPES
        return tuple(kind for kind, accepted in zip(SHOT_TYPES, self.accepted, strict=True) if accepted)


@dataclass(frozen=True, slots=True)
class CropScores:
    """The scores of an answer, all within 0..1.

    Args:
        crops: How good each shot's crop is, in the order of the shots; None when the photo cannot be judged.
        full_frames: The score of the whole photo as each of the shots.
        fit: `fit[i][j]` is how well the caption of shot i fits the crop of shot j; None when this is unknown.
    """

    crops: tuple[float, ...] | None = None
    full_frames: tuple[float, ...] | None = None
    fit: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a reward: its weight, and its value in 0..1 or None where there is no evidence."""

    name: str
    weight: float
    value: float | None


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of one answer's reward; empty when the answer breaks the contract."""

    terms: tuple[Term, ...] = ()

    @property
    def well_formed(self) -> bool:
        """Whether the answer follows the contract."""
        return bool(self.terms)

    @property
    def reward(self) -> float:
        """The weighted mean of the terms that have evidence, 0..1; 0 without any."""
        known = [(term.weight, term.value) for term in self.terms if term.value is not None]
        total = sum(weight for weight, _ in known)
        return min(sum(weight * value for weight, value in known) / total, 1.0) if total > 0.0 else 0.0


def paper(
    answer: Answer,
    evidence: Evidence,
    scores: CropScores,
    weights: PaperWeights = PaperWeights(),
    targets: TargetRatios = TargetRatios(),
) -> Terms:
    """Reward an answer by preset `paper`."""
    if evidence.no_subject:
        return _no_people(answer)
    if not isinstance(answer, Composition) or not well_formed(
        answer, think=evidence.think, captioned=evidence.captions
    ):
        return Terms()
    return Terms(
        (
            Term("iou", weights.iou, _overlap(answer, evidence)),
            Term("aesthetic", weights.aesthetic, _mean(scores.crops, evidence)),
            Term("ratio", weights.ratio, _ratio(answer, evidence, targets)),
        )
    )


def cinema(
    answer: Answer,
    evidence: Evidence,
    scores: CropScores,
    weights: CinemaWeights = CinemaWeights(),
    targets: TargetRatios = TargetRatios(),
) -> Terms:
    """Reward an answer by preset `cinema`."""
    if evidence.no_subject:
        return _no_people(answer)
    if not isinstance(answer, Composition) or not well_formed(
        answer, think=evidence.think, captioned=evidence.captions
    ):
        return Terms()
    face, person = _main_person(evidence)
    return Terms(
        (
            Term("loc", weights.loc, _overlap(answer, evidence)),
            Term("aesthetic", weights.aesthetic, _gain(scores, evidence)),
            Term("ratio", weights.ratio, _ratio(answer, evidence, targets)),
            Term("scale", weights.scale, None if face is None else _scale(answer, face, evidence)),
            Term("head", weights.head, None if face is None else _head(answer, face, evidence)),
            Term("joint", weights.joint, _joint(answer, person, evidence)),
            Term("captions", weights.captions, _margin(answer, scores.fit, evidence)),
            Term("set", weights.set, _set(answer)),
        )
    )


def _no_people(answer: Answer) -> Terms:
    """Reward an answer for a photo without people."""
    if isinstance(answer, AnswerError):
        return Terms()
    return Terms((Term("no_people", 1.0, float(isinstance(answer, NoSubject))),))


def well_formed(answer: Composition, *, think: bool, captioned: bool = True) -> bool:
    """Return whether a readable triple follows the contract in its words.

    Its captions, and its reasoning if asked for, are sentences. The `...` of the contract's pattern has no letters, so
    an echo of it fails. Equal captions say nothing about different crops and fail too, and so do equal thoughts.
    """
    thought = [answer.reasoning.scene, answer.reasoning.subject, answer.reasoning.story] if think else []
    captions = [shot.caption for shot in answer.shots] if captioned else []
    if not all(map(is_sentence, (*thought, *captions))):
        return False
    return all(len({tuple(words(text)) for text in texts}) == len(texts) for texts in (thought, captions))


def ratio_credit(ratio: float, targets: TargetRatios = TargetRatios()) -> float:
    """Return max(0, 1 - |ln ratio - ln target|). From a square on, the target is the landscape one.

    Source: second-hand, a transcription of the paper's text.

    >>> ratio_credit(4 / 3), ratio_credit(3 / 4), round(ratio_credit(1.0), 3), ratio_credit(10.0)
    (1.0, 1.0, 0.712, 0.0)
    """
    target = targets.landscape if ratio >= 1.0 else targets.portrait
    return max(0.0, 1.0 - abs(math.log(ratio) - math.log(target)))


def _known_mean(values: Iterable[float]) -> float | None:
    """Return the mean, None of nothing."""
    found = list(values)
    return fmean(found) if found else None


def _mean(scores: Sequence[float] | None, evidence: Evidence) -> float | None:
    """Return the mean of the rewarded shots' scores."""
    if scores is None:
        return None
    return _known_mean(score for kind, score in zip(SHOT_TYPES, scores, strict=True) if kind in evidence.rewarded)


def _overlap(answer: Composition, evidence: Evidence) -> float | None:
    truth = evidence.truth
    if truth is None:
        return None
    return _known_mean(iou(answer[kind].box, truth[kind].box) for kind in evidence.rewarded)


def _ratio(answer: Composition, evidence: Evidence, targets: TargetRatios) -> float | None:
    aspect = evidence.aspect
    if aspect is None:
        return None
    return _known_mean(ratio_credit(pixel_aspect(answer[kind].box, aspect), targets) for kind in evidence.rewarded)


def _gain(scores: CropScores, evidence: Evidence) -> float | None:
    """Return the crops' mean gain over the full frame, mapped from -1..1 to 0..1. The full frame itself earns 0.5."""
    crops, frames = _mean(scores.crops, evidence), _mean(scores.full_frames, evidence)
    return None if crops is None or frames is None else (1.0 + crops - frames) / 2


def _main_person(evidence: Evidence) -> tuple[Face | None, Person | None]:
    """Return face and body of the main person. The expert decides who that is, else prominence; never the answer."""
    shown = [kind for kind in (ShotType.CLOSE_UP, ShotType.MEDIUM) if kind in evidence.rewarded]
    if evidence.truth is None or not shown:
        face = main_face(evidence.detections, None, min_score=MIN_FACE_SCORE)
        return face, main_person(evidence.detections, face.box) if face else None
    tightest = evidence.truth[shown[0]].box
    face = main_face(evidence.detections, tightest)
    return face, main_person(evidence.detections, face.box if face else tightest)


def _facing(evidence: Evidence, face: Face) -> str:
    known = evidence.truth.grounding.facing if evidence.truth and evidence.truth.grounding else None
    return known or composition_rules.gaze(face)


def _shows(crop: Box, face: Face) -> bool:
    return visible_share(face.box, crop) >= FACE_SHOWN


def _scale(answer: Composition, face: Face, evidence: Evidence) -> float | None:
    """Return the mean credit of the face's height in the crops. A crop without the face earns 0."""
    return _known_mean(
        composition_rules.HEAD_SCALE[kind].credit(composition_rules.head_scale(answer[kind].box, face))
        * _shows(answer[kind].box, face)
        for kind in evidence.rewarded
    )


def _head(answer: Composition, face: Face, evidence: Evidence) -> float | None:
    """Return the mean credit of headroom, eye line and lead room in medium and close-up. A cut chin earns 0."""
    credits, facing = [], _facing(evidence, face)
    for kind in evidence.rewarded:
        if kind is ShotType.ESTABLISHING:
            continue
        crop = answer[kind].box
        if not _shows(crop, face) or cuts_chin(crop, face):
            credits.append(0.0)
            continue
        parts = [
            composition_rules.HEADROOM[kind].credit(composition_rules.headroom(crop, face)),
            composition_rules.EYE_LINE[kind].credit(composition_rules.eye_line(crop, face)),
        ]
        if facing in ("left", "right"):
            room = composition_rules.lead_room(crop, face, facing)
            parts.append(0.0 if room is None else composition_rules.LEAD_ROOM.credit(room))
        credits.append(fmean(parts))
    return _known_mean(credits)


def _joint(answer: Composition, person: Person | None, evidence: Evidence) -> float | None:
    """Return the share of crops that show the main person and cut no joint."""
    aspect = evidence.aspect
    if person is None or aspect is None:
        return None
    boxes = [answer[kind].box for kind in evidence.rewarded]
    return _known_mean(float(ioa(box, person.box) > 0.0 and not joint_cuts(box, person, aspect)) for box in boxes)


def _margin(answer: Composition, fit: Sequence[Sequence[float]] | None, evidence: Evidence) -> float | None:
    """Return by how much captions fit their own crop better than the other two, mapped from -1..1 to 0..1.

    A caption that is too long or repeats itself earns 0: a caption full of keywords would fit any crop.
    """
    judged = [SHOT_TYPES.index(kind) for kind in evidence.rewarded]
    if not fit or not evidence.captions or len(judged) < 2:
        return None
    credits = []
    for index in judged:
        siblings = fmean(fit[index][other] for other in judged if other != index)
        credits.append((1.0 + fit[index][index] - siblings) / 2 if plain(answer.shots[index].caption) else 0.0)
    return fmean(credits)


def _set(answer: Composition) -> float:
    """Return 0.5 for areas that fall from shot to shot, plus 0.5 for crops that differ. Nesting is not required."""
    boxes = [shot.box for shot in answer.shots]
    ordered = all(wide.area > tight.area for wide, tight in pairwise(boxes))
    distinct = all(iou(a, b) < DISTINCT for a, b in combinations(boxes, 2))
    return fmean((float(ordered), float(distinct)))


Preset = Callable[[Answer, Evidence, CropScores], Terms]
"""A preset with its weights and target ratios."""
