"""The metrics of `shotcrop eval` and of validation during training: localisation, set and composition metrics.

A photo without a readable answer has IoU 0, misses every threshold and fails every set metric, so that no model gains
by staying silent. BDE and the composition metrics are measured on answered photos alone; `n` counts those. The
composition metrics need the main person's face and body, which `main_person` picks by the expert's close-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean

from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.evaluation.bootstrap import (
    ACCURACY_THRESHOLDS,
    DISTINCT,
    HIT,
    NESTED,
    RESAMPLES,
    PhotoValues,
    Scores,
    summarise,
)
from shotcrop_cli.evaluation.caption_retrieval import Exhibit, Matcher
from shotcrop_cli.evaluation.detections import Detections, Face
from shotcrop_cli.evaluation.joint_cuts import cuts_chin, joint_cuts
from shotcrop_cli.evaluation.main_person import main_face, main_person
from shotcrop_cli.geometry import ioa, iou, visible_share
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, ShotType

FACE_INSIDE = 0.98
"""A face counts as wholly inside at this share: detectors' boxes vary by about a hundredth."""

FACE_SHOWN = 0.5
"""A shot that shows less of the main person's face misses it and is in none of its bands."""


@dataclass(frozen=True, slots=True)
class Case:
    """One annotated photo and what a model answered.

    Args:
        truth: The expert's triple.
        answer: The model's triple, or None without a readable one.
        detections: Of the photo; may be empty.
        aspect: Width / height of the upright photo.
    """

    truth: Composition
    answer: Composition | None
    detections: Detections
    aspect: float


def evaluate(
    cases: Sequence[Case],
    *,
    baseline: Composition | Sequence[Composition | None] | None = None,
    matcher: Matcher | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Score a model's answers against the experts' triples.

    Args:
        cases: One per annotated photo.
        baseline: The reference of `gain`: one triple for all photos, or one answer per case.
        matcher: Scores captions; None leaves them unmeasured.
        resamples: Bootstrap resamples of the photos.
        seed: Seed of the resampling, so that equal answers give equal intervals.

    Returns:
        Means over the photos with 95 % intervals.

    Raises:
        ValueError: The number of baseline answers is not the number of cases.
    """
    rivals = [baseline] * len(cases) if baseline is None or isinstance(baseline, Composition) else list(baseline)
    if len(rivals) != len(cases):
        raise ValueError(f"{len(cases)} cases need as many baseline answers, not {len(rivals)}")
    photos = []
    for case, rival in zip(cases, rivals, strict=True):
        values = {**_localisation(case), **_set(case.answer), **_composition(case)}
        if baseline is not None:
            values |= _gain(case, rival)
        if matcher is not None and case.answer is not None:
            values |= _per_shot("caption_retrieval", matcher.retrieved(Exhibit(case.answer, case.detections)))
        photos.append(values)
    return summarise(photos, resamples=resamples, seed=seed)


def no_subject_rates(
    empty: Sequence[bool], peopled: Sequence[bool], *, resamples: int = RESAMPLES, seed: int = 0
) -> Scores:
    """Score how well a model recognises photos without people.

    Args:
        empty: For each photo without people, whether the model said so.
        peopled: For each photo with people, whether the model said that it shows none.
        resamples: Bootstrap resamples of the photos.
        seed: Seed of the resampling.

    Returns:
        Precision (which depends on the share of photos without people), recall and false alarms.
    """
    rightly_or_not = [1.0] * sum(empty) + [0.0] * sum(peopled)
    precision: list[PhotoValues] = [{("no_subject_precision", None): right} for right in rightly_or_not]
    recall: list[PhotoValues] = [{("no_subject_recall", None): float(said)} for said in empty]
    alarms: list[PhotoValues] = [{("no_subject_false_alarm", None): float(said)} for said in peopled]
    return Scores(
        tuple(
            metric
            for photos in (precision, recall, alarms)
            for metric in summarise(photos, resamples=resamples, seed=seed).metrics
        )
    )


def boundary_error(a: Box, b: Box) -> float:
    """Return the mean distance of the four sides, left and right in widths, upper and lower in heights."""
    return sum(abs(p - q) for p, q in zip(a, b, strict=True)) / 4


def _overlaps(truth: Composition, answer: Composition | None) -> dict[ShotType, float]:
    return {kind: iou(truth[kind].box, answer[kind].box) if answer else 0.0 for kind in SHOT_TYPES}


def _per_shot(name: str, values: Mapping[ShotType, float]) -> PhotoValues:
    """Name a value per shot and their mean."""
    if not values:
        return {}
    return {**{(name, kind): value for kind, value in values.items()}, (name, None): fmean(values.values())}


def _localisation(case: Case) -> PhotoValues:
    overlaps = _overlaps(case.truth, case.answer)
    values = {**_per_shot("iou", overlaps), ("triple_hit", None): float(min(overlaps.values()) >= HIT)}
    for threshold in ACCURACY_THRESHOLDS:
        hits = {kind: float(overlap >= threshold) for kind, overlap in overlaps.items()}
        values |= _per_shot(f"acc@{threshold:g}", hits)
    if case.answer is not None:
        boxes = {kind: (case.truth[kind].box, case.answer[kind].box) for kind in SHOT_TYPES}
        values |= _per_shot("bde", {kind: boundary_error(*pair) for kind, pair in boxes.items()})
    return values


def _gain(case: Case, rival: Composition | None) -> PhotoValues:
    ours, theirs = _overlaps(case.truth, case.answer), _overlaps(case.truth, rival)
    return _per_shot("gain", {kind: ours[kind] - theirs[kind] for kind in SHOT_TYPES})


def _set(answer: Composition | None) -> PhotoValues:
    if answer is None:
        return {(name, None): 0.0 for name in ("complete", "area_order", "nesting", "distinct")}
    boxes = [shot.box for shot in answer.shots]
    steps = list(pairwise(boxes))
    return {
        ("complete", None): 1.0,
        ("area_order", None): float(all(wide.area > tight.area for wide, tight in steps)),
        ("nesting", None): float(all(ioa(tight, wide) >= NESTED for wide, tight in steps)),
        ("distinct", None): float(all(iou(a, b) < DISTINCT for a, b in combinations(boxes, 2))),
    }


def _composition(case: Case) -> PhotoValues:
    if case.answer is None:
        return {}
    close_up = case.truth[ShotType.CLOSE_UP].box
    face = main_face(case.detections, close_up)
    person = main_person(case.detections, face.box if face else close_up)
    crops = {shot.type: shot.box for shot in case.answer.shots}
    values: dict[tuple[str, ShotType | None], float] = {}
    if person is not None:
        cut = {kind: float(bool(joint_cuts(crop, person, case.aspect))) for kind, crop in crops.items()}
        values |= _per_shot("joint_cut", cut)
    if face is not None:
        inside = visible_share(face.box, crops[ShotType.CLOSE_UP]) >= FACE_INSIDE
        values["face_inside", ShotType.CLOSE_UP] = float(inside)
        values |= _per_shot("chin_cut", {kind: float(cuts_chin(crop, face)) for kind, crop in crops.items()})
        annotated = case.truth.grounding.facing if case.truth.grounding else None
        values |= _bands(crops, face, annotated or composition_rules.gaze(face))
    return values


def _bands(crops: Mapping[ShotType, Box], face: Face, facing: str) -> PhotoValues:
    """Return for each shot whether each ratio is in its full-credit band; never if the shot misses the face."""
    ratios = {
        "head_scale": (composition_rules.HEAD_SCALE, composition_rules.head_scale),
        "headroom": (composition_rules.HEADROOM, composition_rules.headroom),
        "eye_line": (composition_rules.EYE_LINE, composition_rules.eye_line),
    }
    shows = {kind: visible_share(face.box, crop) >= FACE_SHOWN for kind, crop in crops.items()}
    values: dict[tuple[str, ShotType | None], float] = {}
    for name, (bands, ratio) in ratios.items():
        values |= _per_shot(
            name,
            {kind: float(shows[kind] and ratio(crops[kind], face) in band) for kind, band in bands.items()},
        )
    rooms = {kind: composition_rules.lead_room(crop, face, facing) for kind, crop in crops.items()}
    values |= _per_shot(
        "lead_room",
        {
            kind: float(shows[kind] and room in composition_rules.LEAD_ROOM)
            for kind, room in rooms.items()
            if room is not None
        },
    )
    return values
