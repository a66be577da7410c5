"""Targets and loss of the detector.

Each object is assigned to the cells near its centre on the grid that suits its size. Scores learn the product of the
teacher's certainty and the IoU of the predicted box (quality focal loss), boxes the generalised IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shotcrop_cli.model.nano import decoding
from shotcrop_cli.model.nano.decoding import BOX_OF_KIND, BOX_STRIDES, STRIDES, Kind
from shotcrop_cli.model.nano.scene import Floats, Indices, Mask
from shotcrop_train.nano.detector_labels import Labels
from shotcrop_train.nano.detector_network import Cells, decode_cells, grid
from shotcrop_train.nano.detector_views import View

GROUPS = len(BOX_STRIDES)
BODY_BOX, HEAD_BOX = BOX_OF_KIND[Kind.BODY], BOX_OF_KIND[Kind.HEAD]
LEVEL_LIMITS = (44.0, 112.0)
"""Objects smaller than the first limit (root of the area, in pixels) belong to stride 8, then to stride 16."""
NEAR, NEAR_SHARE = 0.95, 0.12
"""Cells this near the centre stand for an object: in strides, or as a share of the object's side if that is more."""
LEAST_QUALITY = 0.15
"""A cell of an object learns a score of at least this share of the teacher's."""
KIND_WEIGHT = (1.0, 1.2, 1.2, 3.0, 2.5)
"""Weight of each kind's score; the rare kinds weigh more, or they are hardly learned."""
SEEN_JOINT, CERTAIN_JOINT = 0.2, 0.6
"""A teacher's confidences between which a joint's place gets more and more weight."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Views and their targets.

    Args:
        pixels: (N, 3, S, S) in -1..1, or what the frozen beginning of the tower made of them.
        side: S.
        free: (N, cells), false where a detection is no fault.
        photo: For each group of boxes the views (p,) of the cells that stand for an object.
        cell: Their places (p,) among the cells.
        owner: Their objects (p,) in the tensors below.
        boxes: (n, 4) of all objects, in pixels.
        kinds: (n,).
        scores: (n,).
        faces: (n, 4).
        landmarks: (n, 5, 2).
        bodies: (n, 4).
        joints: (n, 12, 3).
        people: (N,).
        setting: (N,).
        facing: (N,).
    """

    pixels: Tensor
    side: int
    free: Tensor
    photo: tuple[Tensor, ...]
    cell: tuple[Tensor, ...]
    owner: tuple[Tensor, ...]
    boxes: Tensor
    kinds: Tensor
    scores: Tensor
    faces: Tensor
    landmarks: Tensor
    bodies: Tensor
    joints: Tensor
    people: Tensor
    setting: Tensor
    facing: Tensor


def assign(labels: Labels, side: int) -> tuple[Indices, Mask]:
    """Assign objects to cells.

    Args:
        labels: n objects of a view.
        side: Side of the view in pixels.

    Returns:
        For each group of boxes and each cell the object that it stands for, or -1 (groups, cells); and which cells are
        free of regions to ignore (cells,).
    """
    centres, strides = decoding.grid(side)
    strides = strides[:, 0]
    owner = np.full((GROUPS, len(centres)), -1, np.int64)
    best = np.full((GROUPS, len(centres)), np.inf)
    for number, (box, kind) in enumerate(zip(labels.boxes * side, labels.kinds, strict=True)):
        group, sides = BOX_OF_KIND[kind], box[2:] - box[:2]
        stride = STRIDES[int(np.searchsorted(LEVEL_LIMITS, np.sqrt(sides.prod())))]
        away = np.abs(centres - (box[:2] + box[2:]) / 2)
        level = strides == stride
        near = level & (away < np.maximum(NEAR * stride, NEAR_SHARE * sides)).all(1) & (away < sides / 2).all(1)
        distance = away.sum(1) / stride
        near[int(np.where(level, distance, np.inf).argmin())] = True
        rank = distance + 0.5 * (1 - labels.scores[number])
        taken = near & (rank < best[group])
        owner[group, taken], best[group, taken] = number, rank[taken]
    free = np.ones(len(centres), bool)
    for box in labels.ignored * side:
        free &= ~((centres > box[:2]) & (centres < box[2:])).all(1)
    return owner, free


def collate(views: Sequence[View], side: int) -> Batch:
    """Assign and batch views of `side` pixels."""
    assigned = [assign(view.labels, side) for view in views]
    labels = [view.labels for view in views]
    starts = np.cumsum([0, *(len(one.kinds) for one in labels)])[:-1]
    photo, cell, owner = [], [], []
    for group in range(GROUPS):
        places = [np.nonzero(owners[group] >= 0)[0] for owners, _ in assigned]
        photo.append(torch.from_numpy(np.repeat(np.arange(len(views)), [len(one) for one in places])))
        cell.append(torch.from_numpy(np.concatenate(places)))
        numbers = [owners[group][at] + start for (owners, _), at, start in zip(assigned, places, starts, strict=True)]
        owner.append(torch.from_numpy(np.concatenate(numbers)))

    def joined(values: list[Floats], scale: float = 1.0) -> Tensor:
        return torch.from_numpy(np.concatenate(values).astype(np.float32)) * scale

    joints = joined([one.joints for one in labels])
    joints[..., :2] *= side
    pixels = torch.from_numpy(np.stack([view.pixels for view in views])).permute(0, 3, 1, 2).float()
    return Batch(
        pixels=(pixels - 127) / 128,
        side=side,
        free=torch.from_numpy(np.stack([free for _, free in assigned])),
        photo=tuple(photo),
        cell=tuple(cell),
        owner=tuple(owner),
        boxes=joined([one.boxes for one in labels], side),
        kinds=torch.from_numpy(np.concatenate([one.kinds for one in labels])),
        scores=joined([one.scores for one in labels]),
        faces=joined([one.faces for one in labels], side),
        landmarks=joined([one.landmarks for one in labels], side),
        bodies=joined([one.bodies for one in labels], side),
        joints=joints,
        people=torch.tensor([one.people for one in labels]),
        setting=torch.tensor([one.setting for one in labels]),
        facing=torch.tensor([one.facing for one in labels]),
    )


def generalised_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the generalised IoU and the IoU (...) of boxes a and b (..., 4)."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = ((a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)) - shared
    union = union.clamp(min=1e-9)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-9)
    iou = shared / union
    return iou - (hull - union) / hull, iou


def detector_loss(cells: Tensor, tags: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return the weighted parts of the loss; training minimises their sum.

    Args:
        cells: (N, cells, channels), raw output of the network.
        tags: (N, tags), logits.
        batch: The targets.
    """
    centres, strides = grid(batch.side)
    logits = cells[..., : len(Kind)]
    quality, positive = torch.zeros_like(logits), torch.zeros(cells.shape[:2], dtype=torch.bool)
    parts: dict[str, Tensor] = {}
    box_loss, weight = tags.sum() * 0, tags.new_ones(())
    for group in range(GROUPS):
        photo, cell, owner = batch.photo[group], batch.cell[group], batch.owner[group]
        if len(photo) == 0:
            continue
        found = decode_cells(cells[photo, cell], centres[cell], strides[cell])
        scores = batch.scores[owner]
        giou, iou = generalised_iou(found.boxes[:, group], batch.boxes[owner])
        positive[photo, cell] = True
        quality[photo, cell, batch.kinds[owner]] = (scores * iou.clamp(min=LEAST_QUALITY)).detach()
        box_loss, weight = box_loss + (scores * (1 - giou)).sum(), weight + scores.sum()
        if group == HEAD_BOX:
            parts |= _head_loss(found, batch, owner)
        if group == BODY_BOX:
            parts |= _joint_loss(found, batch, owner)
    parts["box"] = 1.5 * box_loss / weight
    gap = (quality - logits.sigmoid()).detach() ** 2
    blame = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none") * gap
    blame = blame * (batch.free | positive)[..., None] * logits.new_tensor(KIND_WEIGHT)
    parts["kind"] = 3 * blame.sum() / weight
    return parts | _tag_loss(tags, batch)


def _head_loss(found: Cells, batch: Batch, owner: Tensor) -> dict[str, Tensor]:
    """Return the loss of what the cells (p,) of heads say of faces and bodies."""
    scores, face = batch.scores[owner], ~torch.isnan(batch.faces[owner, 0])
    body, count = ~torch.isnan(batch.bodies[owner, 0]), batch.scores[owner].sum() + 1
    parts = {
        "face": 0.5 * functional.binary_cross_entropy_with_logits(found.face, face.float(), scores, reduction="sum"),
        "person": 0.2
        * functional.binary_cross_entropy_with_logits(found.person, body.float(), scores, reduction="sum"),
    }
    if face.any():
        truth, points = batch.faces[owner[face]], batch.landmarks[owner[face]]
        giou, _ = generalised_iou(found.face_box[face], truth)
        known = ~torch.isnan(points)
        shift = _distance(found.landmarks[face], torch.nan_to_num(points), truth) * known
        parts["face_box"] = (scores[face] * (1 - giou)).sum()
        parts["landmarks"] = 2 * (scores[face] * shift.mean((1, 2))).sum()
    if body.any():
        giou, _ = generalised_iou(found.person_box[body], batch.bodies[owner[body]])
        parts["person_box"] = (scores[body] * (1 - giou)).sum()
    return {name: value / count for name, value in parts.items()}


def _joint_loss(found: Cells, batch: Batch, owner: Tensor) -> dict[str, Tensor]:
    """Return the loss of what the cells (p,) of bodies say of joints."""
    known = ~torch.isnan(batch.joints[owner, 0, 0])
    if not known.any():
        return {}
    truth, scores = batch.joints[owner[known]], batch.scores[owner[known]]
    confidence = truth[..., 2]
    weight = ((confidence - SEEN_JOINT) / (CERTAIN_JOINT - SEEN_JOINT)).clamp(0, 1) * scores[:, None]
    shift = _distance(found.joints[known], truth[..., :2], batch.boxes[owner[known]]).mean(-1)
    seen = ((confidence - 0.15) / (CERTAIN_JOINT - 0.15)).clamp(0, 1)
    blame = functional.binary_cross_entropy_with_logits(found.joint_seen[known], seen, reduction="none").mean(1)
    total = 3 * (weight * shift).sum() + 0.3 * (scores * blame).sum()
    return {"joints": total / (4 * scores.sum() + 4)}


def _distance(points: Tensor, truth: Tensor, boxes: Tensor) -> Tensor:
    """Return the smooth L1 distances (p, k, 2) of points in units of the size of boxes (p, 4)."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1).prod(-1).sqrt()[:, None, None]
    return functional.smooth_l1_loss(points / size, truth / size, reduction="none", beta=0.1)


def _tag_loss(tags: Tensor, batch: Batch) -> dict[str, Tensor]:
    parts, known = {}, ~torch.isnan(batch.people)
    if known.any():
        blame = functional.binary_cross_entropy_with_logits(tags[known, 0], batch.people[known])
        parts["people"] = 0.2 * blame
    for name, truth, start, end in (("setting", batch.setting, 1, 3), ("facing", batch.facing, 3, tags.shape[1])):
        if (truth >= 0).any():
            parts[name] = 0.1 * functional.cross_entropy(tags[truth >= 0, start:end], truth[truth >= 0])
    return parts
