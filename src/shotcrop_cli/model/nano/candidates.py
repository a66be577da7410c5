"""Possible main subjects of a scene: every person, near pairs and the group of all large people, with their features.

Each candidate has an anchor, the middle and size of its heads. Most features, and the boxes that the composer predicts,
are in units of the anchor, so that a person looks the same wherever they stand and however large they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
    if len(scene) == 0:
        return None
    seen = _View(scene.select(slice(MOST_PEOPLE)))
    return Candidates(
        members=seen.members,
        kind=seen.kind,
        anchor=np.concatenate([seen.origin, seen.unit[:, None]], 1).astype(np.float32),
        features=describe(seen),
        person_features=seen.scene.person_features[seen.first],
        photo_features=scene.photo_features,
        aspect=scene.aspect,
    )


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


class _View:
    """A scene of n people in the even frame, as k candidates see it."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.aspect = scene, scene.aspect
        self.head, self.body = to_even(scene.head, self.aspect), to_even(scene.body, self.aspect)
        self.face = to_even(scene.face, self.aspect)
        self.head_size: Floats = np.maximum(self.head[:, 3] - self.head[:, 1], SMALLEST_HEAD)
        self.head_middle = _middle(self.head)
        self.has_body: Mask = scene.body_score > 0
        pairs, groups = _pairs(scene, self.head_middle, self.head_size), _groups(scene, self.head_size)
        people = [(index,) for index in range(len(scene))]
        self.members: tuple[tuple[int, ...], ...] = (*people, *pairs, *groups)
        self.kind: Indices = np.repeat((PERSON, PAIR, GROUP), (len(people), len(pairs), len(groups)))
        self.first: Indices = np.array([who[0] for who in self.members])
        self.belongs: Mask = np.zeros((len(self.members), len(scene)), bool)
        for row, who in enumerate(self.members):
            self.belongs[row, list(who)] = True
        self.unit: Floats = np.where(self.belongs, self.head_size, 0).max(1)

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def heads(self) -> Floats:
        """The hull (k, 4) of each candidate's heads."""
        return _hulls(self.head, self.belongs)

    @cached_property
    def bodies(self) -> Floats:
        """The hull (k, 4) of each candidate's bodies, NaN where none is known."""
        return _hulls(self.body, self.belongs & self.has_body)

    @cached_property
    def origin(self) -> Floats:
        """The middle (k, 2) of each candidate's heads."""
        alone = (self.kind == PERSON)[:, None]
        return np.where(alone, self.head_middle[self.first], (self.heads[:, :2] + self.heads[:, 2:]) / 2)

    @cached_property
    def body_area(self) -> Floats:
        """The area (n,) of each person's body, 0 where it is unknown."""
        return np.where(self.has_body, _area(self.body), 0.0).astype(np.float32)

    @cached_property
    def larger_bodies(self) -> Indices:
        """How many bodies are larger than each person's (n,)."""
        larger: Indices = (self.body_area[None] > self.body_area[:, None]).sum(1)
        return larger

    @cached_property
    def distance(self) -> Floats:
        """Distances (k, n, 2) on both axes of every head from every candidate."""
        distance: Floats = np.abs(self.head_middle[None] - self.origin[:, None])
        return distance

    def relative(self, boxes: Floats) -> Floats:
        """Return boxes (k, 4), or one box (1, 4) for all, in units of the anchors (k, 4)."""
        relative: Floats = (boxes - np.concatenate([self.origin, self.origin], 1)) / self.unit[:, None]
        return relative

    def relative_points(self, points: Floats) -> Floats:
        """Return points (k, 2) in units of the anchors (k, 2)."""
        return (points - self.origin) / self.unit[:, None]


def describe(seen: _View) -> Floats:
    """Return the features (k, f) of the candidates; their order is part of a model."""
    k, whole_photo = len(seen), np.array([[0, 0, seen.aspect, 1]])
    joints, confidence = _joints(seen)
    everybody = _everybody(seen)
    return np.concatenate(
        [
            _circumstances(seen),
            _one_hot_kinds(seen.kind),
            seen.relative(whole_photo),
            seen.relative(seen.heads),
            seen.relative(seen.bodies),
            seen.relative(seen.face[seen.first]),
            _gaze(seen),
            seen.relative(seen.body[seen.first]),
            joints.reshape(k, -1),
            confidence,
            _hands(seen).reshape(k, -1),
            _neighbours(seen).reshape(k, -1),
            _things(seen).reshape(k, -1),
            np.repeat((everybody / [seen.aspect, 1, seen.aspect, 1])[None], k, 0),
            seen.relative(everybody[None]),
        ],
        1,
    ).astype(np.float32)


def _circumstances(seen: _View) -> Floats:
    """Return what single numbers tell (k, 24): place, size and certainty of a candidate, and the company it is in."""
    scene, first, unit, k = seen.scene, seen.first, seen.unit, len(seen)
    x, y = seen.origin[:, 0] / seen.aspect, seen.origin[:, 1]
    size_rank = np.argsort(np.argsort(-seen.head_size, kind="stable"), kind="stable")
    beside = ~seen.belongs & (seen.distance < BESIDE * unit[:, None, None]).all(2)
    columns = [
        np.full(k, seen.aspect),
        np.full(k, np.log(seen.aspect)),
        x,
        y,
        np.log(unit),
        np.abs(x - 0.5),
        scene.head_score[first],
        (seen.head[first, 2] - seen.head[first, 0]) / unit,
        np.full(k, len(scene)),
        np.full(k, (scene.face_score > VISIBLE_FACE).sum()),
        scene.estimated[first],
        seen.head_size[first] / seen.head_size.max(),
        size_rank[first],
        seen.body_area[first] / max(seen.body_area.max(), 1e-6),
        seen.larger_bodies[first],
        scene.head_score[first] / max(scene.head_score.max(), 1e-6),
        scene.body_score[first],
        seen.body_area[first] / seen.aspect,
        scene.face_score[first],
        seen.belongs.sum(1),
        beside.sum(1),
        np.full(k, len(scene.animals)),
        np.full(k, len(scene.objects)),
        np.where(seen.belongs, scene.face_score, 2).min(1),
    ]
    return np.stack(columns, 1)


def _one_hot_kinds(kind: Indices) -> Floats:
    """Return one-hot kinds (k, KINDS)."""
    return np.eye(KINDS, dtype=np.float32)[kind]


def _gaze(seen: _View) -> Floats:
    """Return (k, 5): the nose relative to the eyes, the distance between the eyes, the eyes relative to the anchor."""
    points = seen.scene.landmarks[seen.first] * np.array([seen.aspect, 1], np.float32)
    left_eye, right_eye, nose = points[:, 0], points[:, 1], points[:, 2]
    eyes = (left_eye + right_eye) / 2
    columns = [nose - eyes, right_eye[:, :1] - left_eye[:, :1], eyes - seen.origin]
    return np.concatenate(columns, 1) / seen.unit[:, None]


def _joints(seen: _View) -> tuple[Floats, Floats]:
    """Return the joints (k, 12, 2) of each first member, NaN where hidden, and their confidences (k, 12)."""
    joints = seen.scene.joints[seen.first] * np.array([seen.aspect, 1, 1], np.float32)
    places, confidence = joints[..., :2], joints[..., 2]
    places = (places - seen.origin[:, None]) / seen.unit[:, None, None]
    places[~(confidence > VISIBLE_JOINT)] = np.nan
    return places, confidence


def _hands(seen: _View) -> Floats:
    """Return each candidate's two most certain hands (k, 2, 3), left one first: middle x, y and score."""
    described = np.full((len(seen), OWN_HANDS, 3), np.nan, np.float32)
    hands = to_even(seen.scene.hands, seen.aspect)
    if len(hands) == 0:
        return described
    middle, score = _middle(hands), hands[:, 4]
    after_start = (middle > seen.bodies[:, None, :2] - HAND_MARGIN).all(2)
    before_end = (middle < seen.bodies[:, None, 2:] + HAND_MARGIN).all(2)
    value = np.where(after_start & before_end & (score > VISIBLE_HAND), score, -1)
    for place, at in enumerate(np.argsort(-value, 1, kind="stable")[:, :OWN_HANDS].T):
        own = np.take_along_axis(value, at[:, None], 1) > 0
        columns = [seen.relative_points(middle[at]), hands[at, 4:5]]
        described[:, place] = np.where(own, np.concatenate(columns, 1), np.nan)
    swapped = described[:, 0, 0] > described[:, 1, 0]
    described[swapped] = described[swapped][:, ::-1]
    return described


def _neighbours(seen: _View) -> Floats:
    """Return the three nearest people outside each candidate (k, 3, 5): x, y, size, score and rank of the body."""
    described = np.full((len(seen), NEIGHBOURS, 5), np.nan, np.float32)
    distance = np.where(seen.belongs, np.inf, seen.distance.sum(2) / seen.unit[:, None])
    for place, at in enumerate(np.argsort(distance, 1, kind="stable")[:, :NEIGHBOURS].T):
        columns = [
            seen.relative_points(seen.head_middle[at]),
            (seen.head_size[at] / seen.unit)[:, None],
            seen.scene.head_score[at, None],
            seen.larger_bodies[at, None],
        ]
        none_left = np.isinf(distance[np.arange(len(seen)), at])[:, None]
        described[:, place] = np.where(none_left, np.nan, np.concatenate(columns, 1))
    return described


def _things(seen: _View) -> Floats:
    """Return the animal and the object nearest to each candidate (k, 2, 6): box, score and area per body area."""
    described = np.full((len(seen), 2, 6), np.nan, np.float32)
    reach = np.where(np.isnan(seen.bodies), seen.heads, seen.bodies)
    reach_area = np.maximum(_area(reach), 1e-6)
    for place, group in enumerate((seen.scene.animals, seen.scene.objects)):
        if len(group) == 0:
            continue
        things = to_even(group, seen.aspect)
        middle, score = _middle(things), things[:, 4]
        outside = np.maximum(np.maximum(reach[:, None, :2] - middle, middle - reach[:, None, 2:]), 0).sum(2)
        at = (outside / seen.unit[:, None] - score).argmin(1)
        share = (_area(things[at]) / reach_area)[:, None]
        described[:, place] = np.concatenate([seen.relative(things[at, :4]), things[at, 4:5], share], 1)
    return described


def _everybody(seen: _View) -> Floats:
    """Return the hull (4,) of all heads and bodies."""
    low = np.fmin.reduce(np.concatenate([seen.head[:, :2], seen.body[:, :2]]))
    high = np.fmax.reduce(np.concatenate([seen.head[:, 2:], seen.body[:, 2:]]))
    return np.concatenate([low, high]).astype(np.float32)


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
    """Return for each row of `belongs` (k, n) the hull (k, 4) of its boxes (n, 4); NaN if it has none."""
    low = np.where(belongs[..., None], boxes[None, :, :2], np.inf).min(1)
    high = np.where(belongs[..., None], boxes[None, :, 2:], -np.inf).max(1)
    hulls = np.concatenate([low, high], 1)
    hulls[~belongs.any(1)] = np.nan
    return hulls.astype(np.float32)


def _middle(boxes: Floats) -> Floats:
    """Return the middle (..., 2) of boxes (..., 4 or more)."""
    return (boxes[..., :2] + boxes[..., 2:4]) / 2


def _area(boxes: Floats) -> Floats:
    """Return the area (...) of boxes (..., 4 or more)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
