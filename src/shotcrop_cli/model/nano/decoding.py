"""From the detector's raw output to a `Scene`.

Every cell of three grids (strides 8, 16 and 32) says for each kind of object whether the centre of one is near, and
where its box is. The cell of a head also tells its face, and the box of the body that it belongs to; the cell of a body
also tells its joints. Offsets are in strides from the cell's centre; sizes are logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np

from shotcrop_cli.model.nano.manifest import DecodingLimits
from shotcrop_cli.model.nano.scene import JOINTS, LANDMARKS, Floats, Indices, Scene, estimate_head

STRIDES = (8, 16, 32)
"""Pixels between the cells of each grid."""


class Kind(IntEnum):
    """Kinds of objects, in the order of the detector's scores."""

    BODY = 0
    HEAD = 1
    HAND = 2
    ANIMAL = 3
    OBJECT = 4


BOX_OF_KIND = (0, 1, 2, 3, 3)
"""Which of a cell's four boxes belongs to each kind: animals and objects share one."""
BOX_STRIDES = (4.0, 2.5, 2.0, 3.0)
"""Width and height, in strides, of each of the four boxes where the network says 0."""
FACE_STRIDES, PERSON_STRIDES, PERSON_SHIFT, JOINT_STRIDES = 2.0, 10.0, 4.0, 2.0
"""The same for a head's face and body; strides by which a head's body, and a body's joints, shift at a value of 1."""
LARGEST_LOG_SIZE = 4.0
"""Sizes are limited to this many powers of e around their usual one."""

CHANNELS = {
    "kind": len(Kind),
    "box": 4 * len(BOX_STRIDES),
    "face": 1,
    "face_box": 4,
    "landmarks": 2 * len(LANDMARKS),
    "person": 1,
    "person_box": 4,
    "joints": 2 * len(JOINTS),
    "joint_seen": len(JOINTS),
}
"""What the channels of a cell hold, in order."""

MOST_COMPARED = 300
"""At most this many boxes of a kind, the most certain ones, are searched for duplicates."""
JOINT_CONFIDENCE = (0.05, 0.65)
"""Confidence of a joint that is hidden for sure, and of one that is visible for sure: the scale of a pose estimator."""
SAME_BODY = 0.35
"""A head and a body belong together if the body that the head predicts overlaps it by more than this (IoU)."""
DUPLICATE_BODY = 0.5
"""A body without a head that overlaps a matched body by at least this (IoU) is a duplicate of it."""
KNOWN_BODY, SURE_HEAD = 0.5, 0.3
"""A head without a detected body gets the one that it predicts if it is this certain of it, and of itself."""
PREDICTED_BODY = 0.4
"""The certainty of such a body is multiplied by this."""
ESTIMATED_HEAD_SCORE = 0.08
"""Score of a head that was estimated from a body."""


@dataclass(frozen=True, eq=False)
class _Found:
    """The objects of one kind: their cells (n,), boxes (n, 4) in the photo frame and scores (n,), best first."""

    cells: Indices
    boxes: Floats
    scores: Floats


NOTHING = _Found(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class _Faces:
    """The faces of n heads in the photo frame, NaN where hidden: boxes (n, 4), scores (n,), landmarks (n, 5, 2)."""

    boxes: Floats
    scores: Floats
    landmarks: Floats


@dataclass(frozen=True, eq=False)
class _Bodies:
    """The bodies of n heads in the photo frame, NaN where unknown: boxes (n, 4), scores (n,), joints (n, 12, 3)."""

    boxes: Floats
    scores: Floats
    joints: Floats


def decode(
    cells: Floats, feature_map: Floats, photo_features: Floats, side: int, aspect: float, limits: DecodingLimits
) -> Scene:
    """Decode the detector's output for one photo.

    Args:
        cells: (cells, channels), raw; see `CHANNELS`.
        feature_map: (c, side / 16, side / 16); each person gets its values at head and body.
        photo_features: (q,) features of the whole photo.
        side: Side of the detector's square input in pixels.
        aspect: Width / height of the photo.
        limits: Thresholds.
    """
    return _Decoder(cells, side, limits).scene(feature_map, photo_features, aspect)


class _Decoder:
    """One photo's raw cells, split by what they hold."""

    def __init__(self, cells: Floats, side: int, limits: DecodingLimits) -> None:
        self.side, self.limits = side, limits
        self.centres, self.strides = grid(side)
        self.raw: Mapping[str, Floats] = _split(cells)
        self.scores = sigmoid(self.raw["kind"])

    def scene(self, feature_map: Floats, photo_features: Floats, aspect: float) -> Scene:
        """See `decode`."""
        found = [self._find(kind) for kind in Kind]
        heads, seen_bodies = found[Kind.HEAD], found[Kind.BODY]
        faces, joints = self._faces(heads.cells), self._joints(seen_bodies.cells)
        bodies, unused = self._match_bodies(heads, seen_bodies, joints)
        lonely = self._lonely(seen_bodies, unused, bodies)
        extra = len(lonely)
        head = [heads.boxes, *(estimate_head(seen_bodies.boxes[j], aspect)[None] for j in lonely)]
        head_boxes = _stacked(*head)
        body_boxes = _stacked(bodies.boxes, seen_bodies.boxes[lonely])
        things = [_stacked(np.concatenate([one.boxes, one.scores[:, None]], 1)) for one in found[Kind.HAND :]]
        scene = Scene(
            aspect=aspect,
            head=head_boxes,
            head_score=_stacked(heads.scores, np.full(extra, ESTIMATED_HEAD_SCORE)),
            face=_stacked(faces.boxes, np.full((extra, 4), np.nan)),
            face_score=_stacked(faces.scores, np.zeros(extra)),
            landmarks=_stacked(faces.landmarks, np.full((extra, len(LANDMARKS), 2), np.nan)),
            body=body_boxes,
            body_score=_stacked(bodies.scores, seen_bodies.scores[lonely]),
            joints=_stacked(bodies.joints, joints[lonely]),
            hands=things[0],
            animals=things[1],
            objects=things[2],
            person_features=person_features(feature_map, head_boxes, body_boxes),
            photo_features=_stacked(photo_features),
            estimated=np.arange(len(head_boxes)) >= len(heads.boxes),
        )
        return scene.select(_importance_order(scene))

    def _find(self, kind: Kind) -> _Found:
        """Return the objects of a kind without duplicates."""
        cells = np.nonzero(self.scores[:, kind] > self.limits.score[kind])[0]
        which = BOX_OF_KIND[kind]
        if len(cells) == 0:
            return NOTHING
        raw, scores = self.raw["box"][cells, 4 * which : 4 * which + 4], self.scores[cells, kind]
        boxes = _boxes(raw, self.centres[cells], self.strides[cells], size=BOX_STRIDES[which])
        keep, merged = suppress(boxes, scores, self.limits.overlap[kind], self.limits.vote, self.limits.most)
        return _Found(cells[keep], (merged / self.side).clip(0, 1), scores[keep])

    def _faces(self, heads: Indices) -> _Faces:
        """Return the faces of heads, given by their cells (n,)."""
        centres, strides = self.centres[heads], self.strides[heads]
        scores = sigmoid(self.raw["face"][heads, 0])
        boxes = _boxes(self.raw["face_box"][heads], centres, strides, size=FACE_STRIDES) / self.side
        offsets = self.raw["landmarks"][heads].reshape(-1, len(LANDMARKS), 2)
        landmarks = (centres[:, None] + offsets * strides[:, None]) / self.side
        hidden = scores < self.limits.face
        boxes[hidden], landmarks[hidden], scores[hidden] = np.nan, np.nan, 0
        return _Faces(boxes, scores, landmarks)

    def _joints(self, bodies: Indices) -> Floats:
        """Return the joints (n, 12, 3) of bodies, given by their cells (n,), in the photo frame with confidences."""
        offsets = self.raw["joints"][bodies].reshape(-1, len(JOINTS), 2)
        points = self.centres[bodies, None] + offsets * self.strides[bodies, None] * JOINT_STRIDES
        hidden, visible = JOINT_CONFIDENCE
        confidence = sigmoid(self.raw["joint_seen"][bodies]) * (visible - hidden) + hidden
        return np.concatenate([points / self.side, confidence[..., None]], -1)

    def _match_bodies(self, heads: _Found, bodies: _Found, joints: Floats) -> tuple[_Bodies, Indices]:
        """Give each head its body, the best matches first.

        Args:
            heads: n heads.
            bodies: m bodies.
            joints: (m, 12, 3) of the bodies.

        Returns:
            The bodies of the heads, and the numbers of the bodies that belong to no head.
        """
        n, cells = len(heads.boxes), heads.cells
        raw = self.raw["person_box"][cells]
        wanted = _boxes(raw, self.centres[cells], self.strides[cells], shift=PERSON_SHIFT, size=PERSON_STRIDES)
        wanted, known = (wanted / self.side).clip(0, 1), sigmoid(self.raw["person"][cells, 0])
        boxes, scores = np.full((n, 4), np.nan, np.float32), np.zeros(n, np.float32)
        own_joints = np.full((n, len(JOINTS), 3), np.nan, np.float32)
        unused = np.ones(len(bodies.boxes), bool)
        overlap = pairwise_iou(wanted, bodies.boxes)
        while overlap.size and overlap.max() > SAME_BODY:
            i, j = divmod(int(overlap.argmax()), overlap.shape[1])
            boxes[i], scores[i], own_joints[i], unused[j] = bodies.boxes[j], bodies.scores[j], joints[j], False
            overlap[i], overlap[:, j] = 0, 0
        alone = (scores == 0) & (known > KNOWN_BODY) & (heads.scores > SURE_HEAD)
        boxes[alone], scores[alone] = wanted[alone], PREDICTED_BODY * known[alone] * heads.scores[alone]
        return _Bodies(boxes, scores, own_joints), np.nonzero(unused)[0]

    def _lonely(self, bodies: _Found, unused: Indices, matched: _Bodies) -> Indices:
        """Return the numbers of the bodies without heads that count as people."""
        lonely = unused[bodies.scores[unused] > self.limits.lonely]
        known = matched.boxes[matched.scores > 0]
        if len(lonely) == 0 or len(known) == 0:
            return lonely
        # A box around the upper part of a person, next to one around the whole person, is no other person.
        result: Indices = lonely[pairwise_iou(bodies.boxes[lonely], known).max(1) < DUPLICATE_BODY]
        return result


@lru_cache(maxsize=4)
def grid(side: int) -> tuple[Floats, Floats]:
    """Return the centres (cells, 2) and strides (cells, 1), in pixels, of the cells of a square of `side` pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        count = side // stride
        line = (np.arange(count, dtype=np.float32) + 0.5) * stride
        centres.append(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2))
        strides.append(np.full((count * count, 1), stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def sigmoid(logits: Floats) -> Floats:
    """Return the logistic function of any array."""
    result: Floats = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return result


def pairwise_iou(a: Floats, b: Floats) -> Floats:
    """Return the IoU (n, m) of boxes a (n, 4) with boxes b (m, 4)."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.T[:, :, None], b.T
    width, height = np.minimum(ax1, bx1) - np.maximum(ax0, bx0), np.minimum(ay1, by1) - np.maximum(ay0, by0)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    total = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
    result: Floats = shared / np.maximum(total, 1e-9)
    return result


def suppress(boxes: Floats, scores: Floats, overlap: float, vote: float, most: int) -> tuple[Indices, Floats]:
    """Drop the duplicates among boxes.

    Args:
        boxes: (n, 4).
        scores: (n,).
        overlap: A box that overlaps a better one by more than this (IoU) is its duplicate.
        vote: Duplicates that overlap by more than this count in the mean.
        most: Most boxes to keep.

    Returns:
        The indices of the boxes that stay, best first, and these boxes (m, 4), each the mean of itself and its close
        duplicates, weighted by the square of the score.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_COMPARED]
    iou = pairwise_iou(boxes[order], boxes[order])
    votes, others, left = iou > vote, iou <= overlap, np.ones(len(order), bool)
    keep: list[int] = []
    merged: list[Floats] = []
    for place, best in enumerate(order.tolist()):
        if not left[place]:
            continue
        if len(keep) == most:
            break
        voters = order[votes[place] & left]
        weight = scores[voters] ** 2
        merged.append((boxes[voters] * weight[:, None]).sum(0) / weight.sum())
        keep.append(best)
        left &= others[place]
    return np.array(keep, np.int64), np.array(merged, np.float32).reshape(-1, 4)


def person_features(feature_map: Floats, heads: Floats, bodies: Floats) -> Floats:
    """Return the values (n, 2 c) of a feature map (c, s, s) at the middle of heads and bodies (n, 4), photo frame."""
    return np.concatenate(np.split(_sample(feature_map, np.concatenate([heads, bodies])), 2), 1)


def _sample(feature_map: Floats, boxes: Floats) -> Floats:
    """Return a square map's bilinear values (n, c) at the middle of boxes (n, 4); 0 for unknown boxes."""
    size = feature_map.shape[-1]
    spots = ((boxes[:, :2] + boxes[:, 2:]) / 2 * size - 0.5).clip(0, size - 1)
    unknown = np.isnan(spots[:, 0])
    spots[unknown] = 0
    corner = np.minimum(spots.astype(int), size - 2)
    (x, y), (right, lower) = corner.T, (spots - corner).T
    values = (
        feature_map[:, y, x] * (1 - right) * (1 - lower)
        + feature_map[:, y, x + 1] * right * (1 - lower)
        + feature_map[:, y + 1, x] * (1 - right) * lower
        + feature_map[:, y + 1, x + 1] * right * lower
    )
    values[:, unknown] = 0
    result: Floats = values.T.astype(np.float32)
    return result


def _split(cells: Floats) -> dict[str, Floats]:
    """Split raw cells (cells, channels) by `CHANNELS`."""
    ends = np.cumsum(list(CHANNELS.values()))[:-1]
    return dict(zip(CHANNELS, np.split(cells, ends, axis=1), strict=True))


def _boxes(raw: Floats, centres: Floats, strides: Floats, *, size: float, shift: float = 1.0) -> Floats:
    """Turn raw values (n, 4) into boxes (n, 4) in pixels of the detector's square.

    Args:
        raw: Shift of the centre and logarithm of the size, x before y.
        centres: (n, 2) in pixels.
        strides: (n, 1) in pixels.
        size: Width and height at a logarithm of 0, in strides.
        shift: What a shift of 1 means, in strides.
    """
    middle = centres + raw[:, :2] * strides * shift
    half = np.exp(raw[:, 2:].clip(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE)) * strides * (size / 2)
    return np.concatenate([middle - half, middle + half], 1)


def _importance_order(scene: Scene) -> Indices:
    """Return the indices of the people, the most certain and largest first."""
    size = scene.head[:, 3] - scene.head[:, 1]
    certainty = 0.15 + scene.head_score + 0.3 * scene.body_score
    return np.argsort(-(size + 0.02) * certainty, kind="stable")


def _stacked(*parts: Floats) -> Floats:
    """Join arrays along the first axis as float32."""
    return np.concatenate(parts).astype(np.float32)
