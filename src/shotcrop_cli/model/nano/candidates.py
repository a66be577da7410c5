"""Possible main subjects of a scene: every person, near pairs and the group of all large people, with their features.

Each candidate has an anchor, the middle and size of its heads. Most features, and the boxes that the composer predicts,
are in units of the anchor, so that a person looks the same wherever they stand and however large they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from shotcrop_cli.model.nano.scene import Floats, Indices, Mask, Scene

MOST_PEOPLE = 10
"""Only the first people of a scene are candidates."""
MOST_CANDIDATES = 14
"""Places for candidates in the composer's input."""
PERSON, PAIR, GROUP = range(3)
"""Kinds of candidates."""
KINDS = 4
"""Kinds that the composer can tell apart; the last is not in use."""

SMALLEST_HEAD = 0.004
"""Heads count as at least this large, as a share of the photo's height."""

MOST_IN_PAIRS, MOST_PAIRS = 8, 5
"""Pairs are looked for among the first people of a scene; at most this many pairs become candidates."""
PAIR_REACH_X, PAIR_REACH_Y = 3.2, 2.5
"""Two people are a pair if their heads are nearer than this, in heads."""
PAIR_SIZE_RATIO, PAIR_SCORE = 0.45, 0.3
"""Smallest ratio of the sizes of a pair's heads, and the lowest score of its heads."""

GROUP_SCORE, GROUP_SIZE_RATIO, GROUP_COUNT = 0.4, 0.45, (3, 8)
"""A group holds everybody with a score above the first whose head has at least this share of the largest head's size,
if that makes at least and at most so many people."""

VISIBLE_JOINT, VISIBLE_HAND, VISIBLE_FACE = 0.25, 0.2, 0.4
"""Confidences above which a joint, a hand and a face count."""
HAND_MARGIN = 0.02
"""A hand belongs to a person if its middle is inside the body's box, or at most this far outside (even frame)."""
OWN_HANDS, NEIGHBOURS = 2, 3
"""How many hands of a candidate, and how many heads around it, are described."""
BESIDE = 3.0
"""A person is next to a candidate whose anchor is nearer than this on both axes, in heads."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The k candidates of a scene.

    Args:
        members: For each candidate the indices of its people in the scene; the first stands for the rest.
        kind: (k,), one of `PERSON`, `PAIR` and `GROUP`.
        anchor: (k, 3): middle x and y of the heads and their size, in the even frame.
        features: (k, f), NaN where something is unknown; see `describe`.
        person_features: (k, p) features from the detector for the first member.
        photo_features: (q,) features of the whole photo.
        aspect: Width / height of the photo.
    """

    members: tuple[tuple[int, ...], ...]
    kind: Indices
    anchor: Floats
    features: Floats
    person_features: Floats
    photo_features: Floats
    aspect: float

    def __len__(self) -> int:
        return len(self.members)


def list_candidates(scene: Scene) -> Candidates | None:
    """List the candidates of a scene; None if it holds no people."""
    return None if len(scene) == 0 else _candidates_of(scene, 1)[0]


def list_views(scene: Scene) -> tuple[Candidates, Candidates] | None:
    """List the candidates of a scene, and the same candidates in its mirror image; None if it holds no people."""
    if len(scene) == 0:
        return None
    plain, mirrored = _candidates_of(scene, 2)
    return plain, mirrored


def _candidates_of(scene: Scene, views: int) -> list[Candidates]:
    """List the candidates of a scene with people, and with two views those of its mirror image."""
    first_people = scene.select(slice(MOST_PEOPLE))
    seen = _Views([first_people, first_people.mirror()][:views])
    unit = np.broadcast_to(seen.unit[:, None], (views, len(seen), 1))
    anchors = np.concatenate([seen.origin, unit], 2).astype(np.float32)
    return [
        Candidates(
            members=seen.members,
            kind=seen.kind,
            anchor=anchor,
            features=features,
            person_features=first_people.person_features[seen.first],
            photo_features=scene.photo_features,
            aspect=scene.aspect,
        )
        for anchor, features in zip(anchors, describe(seen), strict=True)
    ]


def boxes_of(offsets: Floats, candidates: Candidates) -> Floats:
    """Turn the composer's boxes into the photo frame.

    Args:
        offsets: (k, 3, 4): the establishing shot in the photo frame, medium and close-up in units of the anchor.
        candidates: Whose boxes they are.

    Returns:
        (k, 3, 4), inside the photo.
    """
    boxes: Floats = offsets.copy()
    middle, unit = candidates.anchor[:, :2], candidates.anchor[:, 2]
    boxes[:, 1:] = boxes[:, 1:] * unit[:, None, None] + np.concatenate([middle, middle], 1)[:, None]
    boxes[:, 1:, 0::2] /= candidates.aspect
    return boxes.clip(0, 1)


def to_even(boxes: Floats, aspect: float) -> Floats:
    """Return boxes (..., 4), with or without a score behind them, in the even frame."""
    even = np.array(boxes, np.float32)
    even[..., 0] *= aspect
    even[..., 2] *= aspect
    return even


class _Views:
    """A scene of n people in the even frame, as k candidates see it, in v views: as it is, and maybe mirrored."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scene = scene = scenes[0]
        self.aspect, self.count = scene.aspect, len(scenes)

        def stacked(name: str) -> Floats:
            return to_even(np.stack([getattr(one, name) for one in scenes]), self.aspect)

        self.head, self.body, self.face = stacked("head"), stacked("body"), stacked("face")
        self.hands, self.animals, self.objects = stacked("hands"), stacked("animals"), stacked("objects")
        across = np.array([self.aspect, 1, 1], np.float32)
        self.landmarks: Floats = np.stack([one.landmarks for one in scenes]) * across[:2]
        self.joints: Floats = np.stack([one.joints for one in scenes]) * across
        self.head_size: Floats = np.maximum(self.head[0, :, 3] - self.head[0, :, 1], SMALLEST_HEAD)
        self.head_middle = _middle(self.head)
        self.has_body: Mask = scene.body_score > 0
        pairs, groups = _pairs(scene, self.head_middle[0], self.head_size), _groups(scene, self.head_size)
        people = [(index,) for index in range(len(scene))]
        self.members: tuple[tuple[int, ...], ...] = (*people, *pairs, *groups)
        self.kind: Indices = np.repeat((PERSON, PAIR, GROUP), (len(people), len(pairs), len(groups)))
        self.first: Indices = np.array([who[0] for who in self.members])
        self.belongs: Mask = np.zeros((len(self.members), len(scene)), bool)
        for row, who in enumerate(self.members):
            self.belongs[row, list(who)] = True
        self.unit: Floats = np.where(self.belongs, self.head_size, 0).max(1)
        self.heads = _hulls(self.head, self.belongs)
        """The hull (v, k, 4) of each candidate's heads."""
        self.bodies = _hulls(self.body, self.belongs & self.has_body)
        """The hull (v, k, 4) of each candidate's bodies, NaN where none is known."""
        alone = (self.kind == PERSON)[:, None]
        middle = (self.heads[..., :2] + self.heads[..., 2:]) / 2
        self.origin: Floats = np.where(alone, self.head_middle[:, self.first], middle)
        """The middle (v, k, 2) of each candidate's heads."""
        self.origins: Floats = np.concatenate([self.origin, self.origin], 2)
        self.body_area: Floats = np.where(self.has_body, _area(self.body), 0.0).astype(np.float32)
        """The area (v, n) of each person's body, 0 where it is unknown."""
        self.larger_bodies: Indices = (self.body_area[0][None] > self.body_area[0][:, None]).sum(1)
        """How many bodies are larger than each person's (n,)."""
        self.distance: Floats = np.abs(self.head_middle[:, None] - self.origin[:, :, None])
        """Distances (v, k, n, 2) on both axes of every head from every candidate."""

    def __len__(self) -> int:
        return len(self.members)

    def relative(self, boxes: Floats) -> Floats:
        """Return boxes (v, k, 4), or one box (v, 1, 4) for all candidates, in units of the anchors (v, k, 4)."""
        relative: Floats = (boxes - self.origins) / self.unit[:, None]
        return relative

    def relative_points(self, points: Floats) -> Floats:
        """Return points (v, k, 2) in units of the anchors (v, k, 2)."""
        return (points - self.origin) / self.unit[:, None]


def describe(seen: _Views) -> Floats:
    """Return the features (v, k, f) of the candidates; their order is part of a model."""
    v, k = seen.count, len(seen)
    whole_photo = np.array([[[0, 0, seen.aspect, 1]]])
    joints, confidence = _joints(seen)
    everybody = _everybody(seen)[:, None]
    in_photo = everybody / [seen.aspect, 1, seen.aspect, 1]
    return np.concatenate(
        [
            _circumstances(seen),
            np.broadcast_to(_one_hot_kinds(seen.kind), (v, k, KINDS)),
            seen.relative(whole_photo),
            seen.relative(seen.heads),
            seen.relative(seen.bodies),
            seen.relative(seen.face[:, seen.first]),
            _gaze(seen),
            seen.relative(seen.body[:, seen.first]),
            joints.reshape(v, k, -1),
            confidence,
            _hands(seen).reshape(v, k, -1),
            _neighbours(seen).reshape(v, k, -1),
            _things(seen).reshape(v, k, -1),
            np.broadcast_to(in_photo, (v, k, 4)),
            seen.relative(everybody),
        ],
        2,
    ).astype(np.float32)


def _circumstances(seen: _Views) -> Floats:
    """Return what single numbers tell (v, k, 24): place, size and certainty of a candidate, and its company."""
    scene, first, unit = seen.scene, seen.first, seen.unit
    x, y = seen.origin[..., 0] / seen.aspect, seen.origin[..., 1]
    size_rank = np.argsort(np.argsort(-seen.head_size, kind="stable"), kind="stable")
    near = seen.distance < BESIDE * unit[:, None, None]
    beside = ~seen.belongs & near[..., 0] & near[..., 1]
    columns = [
        seen.aspect,
        np.log(seen.aspect),
        x,
        y,
        np.log(unit),
        np.abs(x - 0.5),
        scene.head_score[first],
        (seen.head[:, first, 2] - seen.head[:, first, 0]) / unit,
        len(scene),
        (scene.face_score > VISIBLE_FACE).sum(),
        scene.estimated[first],
        seen.head_size[first] / seen.head_size.max(),
        size_rank[first],
        seen.body_area[:, first] / np.maximum(seen.body_area.max(1), np.float32(1e-6))[:, None],
        seen.larger_bodies[first],
        scene.head_score[first] / max(scene.head_score.max(), 1e-6),
        scene.body_score[first],
        seen.body_area[:, first] / seen.aspect,
        scene.face_score[first],
        seen.belongs.sum(1),
        beside.sum(2),
        len(scene.animals),
        len(scene.objects),
        np.where(seen.belongs, scene.face_score, 2).min(1),
    ]
    table = np.empty((seen.count, len(seen), len(columns)))
    for place, column in enumerate(columns):
        table[..., place] = column
    return table


def _one_hot_kinds(kind: Indices) -> Floats:
    """Return one-hot kinds (k, KINDS)."""
    return np.eye(KINDS, dtype=np.float32)[kind]


def _gaze(seen: _Views) -> Floats:
    """Return (v, k, 5): nose relative to the eyes, distance between the eyes, eyes relative to the anchor."""
    points = seen.landmarks[:, seen.first]
    left_eye, right_eye, nose = points[:, :, 0], points[:, :, 1], points[:, :, 2]
    eyes = (left_eye + right_eye) / 2
    columns = [nose - eyes, right_eye[..., :1] - left_eye[..., :1], eyes - seen.origin]
    return np.concatenate(columns, 2) / seen.unit[:, None]


def _joints(seen: _Views) -> tuple[Floats, Floats]:
    """Return the joints (v, k, 12, 2) of each first member, NaN where hidden, and their confidences (v, k, 12)."""
    joints = seen.joints[:, seen.first]
    places, confidence = joints[..., :2], joints[..., 2]
    places = (places - seen.origin[:, :, None]) / seen.unit[:, None, None]
    places[~(confidence > VISIBLE_JOINT)] = np.nan
    return places, confidence


def _hands(seen: _Views) -> Floats:
    """Return each candidate's two most certain hands (v, k, 2, 3), left one first: middle x, y and score."""
    described = np.full((seen.count, len(seen), OWN_HANDS, 3), np.nan, np.float32)
    if seen.hands.shape[1] == 0:
        return described
    middle, score = _middle(seen.hands)[:, None], seen.hands[:, None, :, 4]
    after_start = middle > seen.bodies[:, :, None, :2] - HAND_MARGIN
    before_end = middle < seen.bodies[:, :, None, 2:] + HAND_MARGIN
    inside = after_start[..., 0] & after_start[..., 1] & before_end[..., 0] & before_end[..., 1]
    value = np.where(inside & (score > VISIBLE_HAND), score, -1)
    view, row = np.arange(seen.count)[:, None], np.arange(len(seen))
    order = np.argsort(-value, 2, kind="stable")
    for place in range(min(OWN_HANDS, order.shape[2])):
        at = order[..., place]
        own = value[view, row, at] > 0
        described[:, :, place, :2] = seen.relative_points(middle[:, 0][view, at])
        described[:, :, place, 2] = seen.hands[view, at, 4]
        described[:, :, place][~own] = np.nan
    swapped = described[:, :, 0, 0] > described[:, :, 1, 0]
    described[swapped] = described[swapped][:, ::-1]
    return described


def _neighbours(seen: _Views) -> Floats:
    """Return the three nearest people outside each candidate (v, k, 3, 5): x, y, size, score and rank of the body."""
    described = np.full((seen.count, len(seen), NEIGHBOURS, 5), np.nan, np.float32)
    distance = np.where(seen.belongs, np.inf, seen.distance.sum(3) / seen.unit[:, None])
    at = np.argsort(distance, 2, kind="stable")[..., :NEIGHBOURS]
    view, count = np.arange(seen.count)[:, None, None], at.shape[2]
    unit = seen.unit[:, None]
    described[:, :, :count, :2] = (seen.head_middle[view, at] - seen.origin[:, :, None]) / unit[..., None]
    described[:, :, :count, 2] = seen.head_size[at] / unit
    described[:, :, :count, 3] = seen.scene.head_score[at]
    described[:, :, :count, 4] = seen.larger_bodies[at]
    described[:, :, :count][np.isinf(np.take_along_axis(distance, at, 2))] = np.nan
    return described


def _things(seen: _Views) -> Floats:
    """Return the animal and the object nearest to each candidate (v, k, 2, 6): box, score and area per body area."""
    described = np.full((seen.count, len(seen), 2, 6), np.nan, np.float32)
    reach = np.where(np.isnan(seen.bodies), seen.heads, seen.bodies)
    reach_area = np.maximum(_area(reach), 1e-6)
    view = np.arange(seen.count)[:, None]
    for place, things in enumerate((seen.animals, seen.objects)):
        if things.shape[1] == 0:
            continue
        middle, score = _middle(things)[:, None], things[:, None, :, 4]
        gap = np.maximum(np.maximum(reach[:, :, None, :2] - middle, middle - reach[:, :, None, 2:]), 0)
        at = ((gap[..., 0] + gap[..., 1]) / seen.unit[:, None] - score).argmin(2)
        nearest = things[view, at]
        described[:, :, place, :4] = seen.relative(nearest[..., :4])
        described[:, :, place, 4] = nearest[..., 4]
        described[:, :, place, 5] = _area(nearest) / reach_area
    return described


def _everybody(seen: _Views) -> Floats:
    """Return the hull (v, 4) of all heads and bodies."""
    low = np.fmin.reduce(np.concatenate([seen.head[..., :2], seen.body[..., :2]], 1), 1)
    high = np.fmax.reduce(np.concatenate([seen.head[..., 2:], seen.body[..., 2:]], 1), 1)
    return np.concatenate([low, high], 1).astype(np.float32)


def _pairs(scene: Scene, middle: Floats, size: Floats) -> list[tuple[int, int]]:
    """Return the pairs of near people of similar size, the closest first; the larger of the two leads each pair.

    Args:
        scene: n people.
        middle: Middle (n, 2) of the heads in the even frame.
        size: (n,) of the heads.
    """
    pairs = []
    for i, j in combinations(range(min(len(scene), MOST_IN_PAIRS)), 2):
        unit = max(size[i], size[j])
        dx, dy = np.abs(middle[i] - middle[j]) / unit
        ratio = min(size[i], size[j]) / unit
        sure = min(scene.head_score[i], scene.head_score[j]) > PAIR_SCORE
        if dx < PAIR_REACH_X and dy < PAIR_REACH_Y and ratio > PAIR_SIZE_RATIO and sure:
            pairs.append((dx + dy - 2 * ratio, (i, j) if size[i] >= size[j] else (j, i)))
    free = MOST_CANDIDATES - len(scene) - 1
    return [pair for _, pair in sorted(pairs)[: min(MOST_PAIRS, free)]]


def _groups(scene: Scene, size: Floats) -> list[tuple[int, ...]]:
    """Return the group of all large people, if there is one.

    Args:
        scene: n people.
        size: (n,) of the heads.
    """
    sure = scene.head_score > GROUP_SCORE
    if not sure.any():
        return []
    large = np.nonzero(sure & (size > GROUP_SIZE_RATIO * size[sure].max()))[0]
    fewest, most = GROUP_COUNT
    return [tuple(large.tolist())] if fewest <= len(large) <= most else []


def _hulls(boxes: Floats, belongs: Mask) -> Floats:
    """Return for each row of `belongs` (k, n) the hull (v, k, 4) of its boxes (v, n, 4); NaN if it has none."""
    low = np.where(belongs[..., None], boxes[:, None, :, :2], np.inf).min(2)
    high = np.where(belongs[..., None], boxes[:, None, :, 2:], -np.inf).max(2)
    hulls = np.concatenate([low, high], 2)
    hulls[:, ~belongs.any(1)] = np.nan
    return hulls.astype(np.float32)


def _middle(boxes: Floats) -> Floats:
    """Return the middle (..., 2) of boxes (..., 4 or more)."""
    return (boxes[..., :2] + boxes[..., 2:4]) / 2


def _area(boxes: Floats) -> Floats:
    """Return the area (...) of boxes (..., 4 or more)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
