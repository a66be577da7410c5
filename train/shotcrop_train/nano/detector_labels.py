"""Labels for the detector: the detections of several teachers, merged to one set for each photo.

Teachers may overlap: two detectors of bodies, two of faces. Where both agree the label is certain. Datasets give boxes
and points in 0..1000; here all are in 0..1 of the upright photo, and boxes are (x0, y0, x1, y1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import METADATA, read_lines
from shotcrop_cli.geometry import PERMILLE
from shotcrop_cli.model.nano.decoding import Kind, pairwise_iou
from shotcrop_cli.model.nano.scene import JOINTS, LANDMARKS, Floats, Indices, Scene, estimate_head
from shotcrop_cli.shots import FACINGS, SHOT_TYPES
from shotcrop_train.nano.detector_network import SETTING_TAGS

Row = Mapping[str, Any]

ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "teddy bear")
)
HELD = frozenset(
    (
        *(
            "bicycle",
            "motorcycle",
            "backpack",
            "umbrella",
            "handbag",
            "tie",
            "suitcase",
            "frisbee",
            "skis",
            "snowboard",
        ),
        *("kite", "skateboard", "surfboard", "bottle", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
        *(
            "sandwich",
            "orange",
            "broccoli",
            "carrot",
            "pizza",
            "donut",
            "cake",
            "laptop",
            "mouse",
            "remote",
            "keyboard",
        ),
        *("book", "vase", "scissors", "toothbrush", "sports ball", "baseball bat", "baseball glove", "tennis racket"),
        *("wine glass", "hot dog", "cell phone", "hair drier"),
    )
)
"""Names of COCO's objects that people hold, wear or ride; the others are furniture, vehicles and the like."""
FIRST_JOINT = 5
"""Teachers give COCO's 17 keypoints; the labels keep those from the shoulders on."""

WORTHLESS, CERTAIN = 0.2, 0.65
"""Scores of a teacher that become the target scores 0 and 1."""
LEAST_TARGET = 0.12
"""Objects with a lower target score are no labels, but detecting them is no fault either."""
SMALLEST_AREA = 1e-5
SAME_BODY, SURE_PERSON, LONE_PERSON = 0.5, 0.5, 0.55
"""IoU from which two teachers' bodies are one, the score from which the second teacher's box counts, and the score from
which it counts alone."""
SAME_FACE, FACE_OF_HEAD, LONE_FACE = 0.35, 0.35, 0.72
"""IoU from which two teachers' faces are one, the lowest score of a head's face, and of a face without a head."""
MOST_FACES = 60
HEAD_AROUND_FACE = (0.12, 0.3, 0.12, 0.05)
"""How far a head reaches beyond its face on each side, as shares of the face's width and height."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What a photo shows, n objects. Unknown values are NaN.

    Args:
        boxes: (n, 4).
        kinds: (n,), values of `Kind`.
        scores: (n,) target scores, 0..1.
        faces: (n, 4) faces of heads.
        landmarks: (n, 5, 2) of faces, see `scene.LANDMARKS`.
        bodies: (n, 4) bodies of heads.
        joints: (n, 12, 3) of bodies, see `scene.JOINTS`; the last value is the confidence.
        ignored: (m, 4), regions in which unlabelled detections are no fault.
        people: 1 if the photo surely shows people, 0 if it surely shows none, else NaN.
        setting: Index among the tag's settings, -1 if unknown.
        facing: Index among the tag's facings, -1 if unknown.
    """

    boxes: Floats
    kinds: Indices
    scores: Floats
    faces: Floats
    landmarks: Floats
    bodies: Floats
    joints: Floats
    ignored: Floats
    people: float = float("nan")
    setting: int = -1
    facing: int = -1


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo with labels, and a triple (3, 4), widest shot first, where it has one.

    `accepted` says for each shot whether it is good enough to learn from: experts' shots are, pseudo labels not always.
    """

    path: Path
    aspect: float
    labels: Labels
    triple: Floats | None
    accepted: tuple[bool, ...] = (True, True, True)


def read_photos(folder: Path) -> list[LabelledPhoto]:
    """Read a dataset with detections.

    Raises:
        ShotcropError: The folder is no dataset, or a row is malformed.
    """
    photos = []
    for number, line in read_lines(folder):
        try:
            photos.append(read_photo(folder, json.loads(line)))
        except (KeyError, TypeError, ValueError) as error:
            raise ShotcropError(
                f"{folder / METADATA}, line {number}: {error!r}", hint="fix or delete that line"
            ) from error
    return photos


def read_photo(folder: Path, row: Row) -> LabelledPhoto:
    """Read one row of a dataset."""
    annotation = row.get("annotation")
    path, aspect, labels = folder / row["file_name"], row["width"] / row["height"], merge_labels(row)
    if annotation is None:
        return LabelledPhoto(path, aspect, labels, None)
    shots = [annotation["shots"][kind.value] for kind in SHOT_TYPES]
    triple = np.array([shot["box"] for shot in shots], np.float32) / PERMILLE
    return LabelledPhoto(path, aspect, labels, triple, tuple(bool(shot.get("accepted", True)) for shot in shots))


def merge_labels(row: Row) -> Labels:
    """Merge the detections of a row's teachers."""
    detections, empty = row.get("detections") or {}, bool(row.get("no_subject"))
    if empty:  # Whatever teachers see of people here is wrong: statues, dolls, folds of cloth.
        detections = {"objects": detections.get("objects", [])}
    bodies, body_scores, joints = _merge_bodies(detections)
    heads, head_scores = _boxes(detections.get("heads", []))
    faces, face_scores, landmarks = _merge_faces(detections)
    face_of = _match_faces(heads, faces, face_scores)
    lone = _lone_faces(heads, faces, face_scores, face_of)
    heads = np.concatenate([heads, _heads_around(faces[lone])])
    head_scores = np.concatenate([head_scores, 0.55 * face_scores[lone]])
    face_of = np.concatenate([face_of, lone])
    body_of = _match_bodies(heads, bodies, head_scores, body_scores)
    hands, hand_scores = _boxes(detections.get("hands", []))
    things = detections.get("objects", [])
    animals, animal_scores = _boxes([one for one in things if one["name"] in ANIMALS])
    objects, object_scores = _boxes([one for one in things if one["name"] in HELD])
    groups = (bodies, heads, hands, animals, objects)
    boxes = np.concatenate(groups)
    scores = [body_scores, head_scores, hand_scores, animal_scores + 0.05, object_scores + 0.05]
    targets = target_score(np.concatenate(scores))
    n, first = len(boxes), len(bodies)
    full = _Unknown(n)
    full.joints[:first] = joints
    for index, (face, body) in enumerate(zip(face_of, body_of, strict=True), first):
        if face >= 0:
            full.faces[index], full.landmarks[index] = faces[face], landmarks[face]
        if body >= 0:
            full.bodies[index] = bodies[body]
    large = (boxes[:, 2:] - boxes[:, :2]).prod(1) > SMALLEST_AREA
    keep, unsure = large & (targets > LEAST_TARGET), large & (targets <= LEAST_TARGET)
    annotation = row.get("annotation") or {}
    return Labels(
        boxes[keep],
        np.repeat(np.arange(len(Kind)), [len(group) for group in groups])[keep],
        targets[keep],
        full.faces[keep],
        full.landmarks[keep],
        full.bodies[keep],
        full.joints[keep],
        boxes[unsure],
        0.0 if empty else _people(annotation, head_scores, body_scores),
        _index(SETTING_TAGS, annotation.get("setting")),
        _index(FACINGS, annotation.get("facing")),
    )


def target_score(scores: Floats) -> Floats:
    """Map a teacher's scores to target scores in 0..1."""
    target: Floats = np.clip((scores - WORTHLESS) / (CERTAIN - WORTHLESS), 0, 1).astype(np.float32)
    return target


def scene_of_labels(photo: LabelledPhoto, lonely: float = 0.55, estimated_score: float = 0.08) -> Scene:
    """Return the scene that the teachers saw, without pixel features.

    Args:
        photo: The photo.
        lonely: Lowest target score of a body without a head that counts as a person.
        estimated_score: Score of a head that is estimated from such a body.
    """
    labels, aspect = photo.labels, photo.aspect
    heads, bodies = np.nonzero(labels.kinds == Kind.HEAD)[0], np.nonzero(labels.kinds == Kind.BODY)[0]
    n = len(heads)
    full = _Unknown(n)
    body_score, joints, used = np.zeros(n, np.float32), full.joints, set()
    for index, body in enumerate(labels.bodies[heads]):
        same = [k for k in bodies if np.array_equal(labels.boxes[k], body)]
        if same:
            used.add(same[0])
            body_score[index], joints[index] = labels.scores[same[0]], labels.joints[same[0]]
    alone = [k for k in bodies if k not in used and labels.scores[k] > lonely]
    extra = _Unknown(len(alone))
    face = np.concatenate([labels.faces[heads], extra.faces])
    estimated = [estimate_head(labels.boxes[k], aspect)[None] for k in alone]
    known_body = np.where(body_score[:, None] > 0, labels.bodies[heads], np.nan).astype(np.float32)

    def things(kind: Kind) -> Floats:
        chosen = labels.kinds == kind
        return np.concatenate([labels.boxes[chosen], labels.scores[chosen, None]], 1)

    scene = Scene(
        aspect=aspect,
        head=np.concatenate([labels.boxes[heads], *estimated]),
        head_score=np.concatenate([labels.scores[heads], np.full(len(alone), estimated_score, np.float32)]),
        face=face,
        face_score=np.where(np.isnan(face[:, 0]), 0, 0.9).astype(np.float32),
        landmarks=np.concatenate([labels.landmarks[heads], extra.landmarks]),
        body=np.concatenate([known_body, labels.boxes[alone].reshape(-1, 4)]),
        body_score=np.concatenate([body_score, labels.scores[alone]]),
        joints=np.concatenate([joints, labels.joints[alone].reshape(-1, len(JOINTS), 3)]),
        hands=things(Kind.HAND),
        animals=things(Kind.ANIMAL),
        objects=things(Kind.OBJECT),
        person_features=np.zeros((n + len(alone), 0), np.float32),
        photo_features=np.zeros(0, np.float32),
        estimated=np.arange(n + len(alone)) >= n,
    )
    size = scene.head[:, 3] - scene.head[:, 1]
    certainty = 0.15 + scene.head_score + 0.3 * scene.body_score
    return scene.select(np.argsort(-(size + 0.02) * certainty, kind="stable"))


class _Unknown:
    """Arrays of n objects about which nothing is known."""

    def __init__(self, n: int) -> None:
        self.faces = np.full((n, 4), np.nan, np.float32)
        self.landmarks = np.full((n, len(LANDMARKS), 2), np.nan, np.float32)
        self.bodies = np.full((n, 4), np.nan, np.float32)
        self.joints = np.full((n, len(JOINTS), 3), np.nan, np.float32)


def _boxes(items: Sequence[Row]) -> tuple[Floats, Floats]:
    """Return boxes (n, 4), clipped to the photo, and scores (n,)."""
    boxes = np.array([item["box"] for item in items], np.float32).reshape(-1, 4) / PERMILLE
    return boxes.clip(0, 1).astype(np.float32), np.array([item["score"] for item in items], np.float32)


def _merge_bodies(detections: Row) -> tuple[Floats, Floats, Floats]:
    """Return bodies (n, 4), scores (n,) and joints (n, 12, 3) of both teachers.

    Boxes on which both agree are averaged: one cuts feet now and then, the other hats.
    """
    bodies, scores = _boxes(detections.get("bodies", []))
    persons, person_scores = _boxes(detections.get("persons", []))
    points = [np.array(person.get("keypoints") or np.full((17, 3), np.nan)) for person in detections.get("persons", [])]
    keypoints = np.array(points, np.float32).reshape(-1, FIRST_JOINT + len(JOINTS), 3)[:, FIRST_JOINT:]
    keypoints[..., :2] /= PERMILLE
    joints = _Unknown(len(bodies)).joints
    overlap, extra = pairwise_iou(persons, bodies), []
    for index in np.argsort(-person_scores, kind="stable"):
        best = int(overlap[index].argmax()) if len(bodies) else -1
        if best >= 0 and overlap[index, best] > SAME_BODY:
            joints[best] = keypoints[index]
            if person_scores[index] > SURE_PERSON:
                bodies[best] = (bodies[best] + persons[index]) / 2
            scores[best] = max(scores[best], (scores[best] + person_scores[index]) / 2)
            overlap[:, best] = 0
        elif person_scores[index] > LONE_PERSON:
            extra.append(index)
    return (
        np.concatenate([bodies, persons[extra]]),
        np.concatenate([scores, person_scores[extra] - 0.15]),
        np.concatenate([joints, keypoints[extra]]),
    )


def _merge_faces(detections: Row) -> tuple[Floats, Floats, Floats]:
    """Return faces (n, 4), scores (n,) and landmarks (n, 5, 2) of both teachers, best first.

    A face that both see is certain; the first teacher's other faces lose some of their score.
    """
    found = []
    for name in ("faces", "centerfaces"):
        items = detections.get(name, [])
        given = [item.get("landmarks") or np.full((len(LANDMARKS), 2), np.nan) for item in items]
        landmarks = np.array(given, np.float32).reshape(-1, len(LANDMARKS), 2) / PERMILLE
        found.append((*_boxes(items), landmarks))
    (first, first_scores, first_points), (second, second_scores, second_points) = found
    same = pairwise_iou(first, second) > SAME_FACE
    alone = ~same.any(0)
    scores = np.where(same.any(1), np.maximum(first_scores, 0.8), first_scores - 0.15)
    scores = np.concatenate([scores, second_scores[alone]]).astype(np.float32)
    order = np.argsort(-scores, kind="stable")[:MOST_FACES]
    boxes, points = np.concatenate([first, second[alone]]), np.concatenate([first_points, second_points[alone]])
    return boxes[order], scores[order], points[order]


def _match_faces(heads: Floats, faces: Floats, scores: Floats) -> Indices:
    """Return for each head (n, 4) the index of its face among faces (m, 4), best first, or -1."""
    match = np.full(len(heads), -1, np.int64)
    middle = (heads[:, :2] + heads[:, 2:]) / 2
    for index, face in enumerate(faces):
        if len(heads) == 0 or scores[index] < FACE_OF_HEAD:
            continue
        centre = (face[:2] + face[2:]) / 2
        inside = (heads[:, :2] <= centre).all(1) & (centre <= heads[:, 2:]).all(1) & (match < 0)
        ratio = (face[3] - face[1]) / np.maximum(heads[:, 3] - heads[:, 1], 1e-6)
        inside &= (ratio > 0.25) & (ratio < 1.3)
        if inside.any():
            match[int(np.where(inside, np.abs(middle - centre).sum(1), np.inf).argmin())] = index
    return match


def _lone_faces(heads: Floats, faces: Floats, scores: Floats, face_of: Indices) -> Indices:
    """Return the certain faces that are in no head."""
    lone = np.setdiff1d(np.arange(len(faces)), face_of)
    lone = lone[scores[lone] > LONE_FACE]
    if len(lone) == 0 or len(heads) == 0:
        return lone
    result: Indices = lone[cover(faces[lone], heads).max(1) < 0.4]
    return result


def cover(inner: Floats, outer: Floats) -> Floats:
    """Return the share (n, m) of each of `inner` (n, 4) that is inside each of `outer` (m, 4)."""
    low = np.maximum(inner[:, None, :2], outer[None, :, :2])
    high = np.minimum(inner[:, None, 2:], outer[None, :, 2:])
    area = (inner[:, 2:] - inner[:, :2]).prod(1)
    shares: Floats = (high - low).clip(0).prod(-1) / np.maximum(area, 1e-12)[:, None]
    return shares


def _heads_around(faces: Floats) -> Floats:
    """Return heads (n, 4) around faces (n, 4)."""
    width, height = faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1]
    left, above, right, below = HEAD_AROUND_FACE
    margins = np.stack([-left * width, -above * height, right * width, below * height], 1)
    return (faces + margins).clip(0, 1).astype(np.float32)


def _match_bodies(heads: Floats, bodies: Floats, head_scores: Floats, body_scores: Floats) -> Indices:
    """Return for each head (n, 4) the index of its body among bodies (m, 4), or -1; certain heads choose first."""
    match, used = np.full(len(heads), -1, np.int64), np.zeros(len(bodies), bool)
    width, height = np.maximum(bodies[:, 2:] - bodies[:, :2], 1e-6).T
    for index in np.argsort(-head_scores, kind="stable"):
        head = heads[index]
        x, y = (head[:2] + head[2:]) / 2
        fits = (bodies[:, 0] - 0.005 <= x) & (x <= bodies[:, 2] + 0.005)
        fits &= (bodies[:, 1] - 0.01 <= y) & (y <= bodies[:, 3]) & ~used & (height > 0.8 * (head[3] - head[1]))
        if fits.any():
            aside = np.abs(x - (bodies[:, 0] + bodies[:, 2]) / 2) / width
            cost = np.abs(head[1] - bodies[:, 1]) / height + 0.3 * aside + 0.2 * (1 - body_scores)
            best = int(np.where(fits, cost, np.inf).argmin())
            match[index], used[best] = best, True
    return match


def _people(annotation: Row, head_scores: Floats, body_scores: Floats) -> float:
    """Return 1 if a photo surely shows people, else NaN."""
    sure = max((0.0, *head_scores, *body_scores))
    return 1.0 if annotation or sure > 0.7 else float("nan")


def _index(names: Sequence[str], name: object) -> int:
    """Return the place of a name, -1 if it is none of them."""
    return names.index(name) if isinstance(name, str) and name in names else -1
