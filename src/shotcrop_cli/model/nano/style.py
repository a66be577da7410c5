"""A personal style: a small correction of the composer's boxes that `shotcrop learn` fits to boxes that a person set.

The correction of each edge is linear in a few features of the box, in shares of the box's own width and height. It
comes before the refinement, so a style changes what is proposed, and the search for faults stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shotcrop_cli.model.nano.facts import to_even
from shotcrop_cli.model.nano.manifest import STYLE_FEATURES, ShotStyle, Style
from shotcrop_cli.model.nano.refinement import Subject
from shotcrop_cli.model.nano.scene import Floats, Scene

SMALLEST_BOX = 1e-3
"""Boxes count as at least this wide and high, in heights of the photo."""
LARGEST_ROOM = 0.5
"""Room between a box and the edge of the photo counts up to this share of the box."""
BODY_RANGE = (-1.0, 2.0)
"""The ends of a body count within this range, in shares of the box."""
LARGEST_DEVIATION = 3.0
"""Standardised features are clipped to this."""
LARGEST_CORRECTION = 0.6
"""An edge moves by at most this share of the box's side."""
MOST_FEATURES = max(STYLE_FEATURES.values())


def restyle(style: Style, scene: Scene, subjects: Sequence[Subject]) -> list[Subject]:
    """Correct the boxes of the subjects of a scene."""
    if not style.shots or not subjects:
        return list(subjects)
    members, triples = [one.members for one in subjects], np.stack([one.triple for one in subjects])
    features = describe_boxes(scene, members, triples)
    moves = np.stack([correction(one, features[:, shot]) for shot, one in enumerate(style.shots)], 1)
    boxes = move_edges(triples, moves, scene.aspect)
    return [Subject(who, triple) for who, triple in zip(members, boxes, strict=True)]


def correction(style: ShotStyle, features: Floats) -> Floats:
    """Return how far the edges (s, 4) of one shot move, in shares of the box's sides.

    Args:
        style: The style of the shot.
        features: (s, MOST_FEATURES).
    """
    if not style.weights:
        return np.zeros((len(features), 4))
    used = features[:, : len(style.mean)]
    return linear_moves(standardise(used, np.array(style.mean), np.array(style.spread)), np.array(style.weights))


def standardise(features: Floats, mean: Floats, spread: Floats) -> Floats:
    """Return features (s, f) as a style weighs them."""
    standard: Floats = ((features - mean) / spread).clip(-LARGEST_DEVIATION, LARGEST_DEVIATION)
    return standard


def linear_moves(standard: Floats, weights: Floats) -> Floats:
    """Return the moves (s, 4) of standardised features (s, f) by weights (f + 1, 4)."""
    moves: Floats = (weights[0] + standard @ weights[1:]).clip(-LARGEST_CORRECTION, LARGEST_CORRECTION)
    return moves


def move_edges(boxes: Floats, moves: Floats, aspect: float | Floats) -> Floats:
    """Move the edges of boxes (..., 4) of the photo frame by shares of their sides, inside the photo.

    Args:
        boxes: The boxes.
        moves: (..., 4).
        aspect: Width / height of the photo, or of each box's photo (..., 1).
    """
    even = to_even(boxes, aspect)
    low, high = even[..., :2], even[..., 2:]
    middle = (low + high) / 2 + (moves[..., :2] + moves[..., 2:]) / 2 * (high - low)
    half = np.maximum((high - low) * (1 + moves[..., 2:] - moves[..., :2]) / 2, SMALLEST_BOX / 2)
    moved = np.concatenate([middle - half, middle + half], -1)
    moved[..., 0::2] /= aspect
    inside: Floats = moved.clip(0, 1)
    return inside


def moves_between(boxes: Floats, wanted: Floats, aspect: float) -> Floats:
    """Return the moves that turn boxes (..., 4) of the photo frame into others; see `move_edges`."""
    even, other = to_even(boxes, aspect), to_even(wanted, aspect)
    sides = np.maximum(even[..., 2:] - even[..., :2], SMALLEST_BOX)
    moves: Floats = (other - even) / np.concatenate([sides, sides], -1)
    return moves


def describe_boxes(scene: Scene, subjects: Sequence[Sequence[int]], triples: Floats) -> Floats:
    """Return what a style knows of each box (s, 3, MOST_FEATURES); its order is part of a style.

    In shares of the box: where the middle, the upper and the lower end of the heads are, and their height; the
    logarithms of that height and of the box's ratio; the room to each edge of the photo; the ends of the main body.
    Then whether that body is unknown, the number of people, whether several are shown, the size of the heads in the
    photo, and the photo's ratio.

    Args:
        scene: What the photo shows.
        subjects: For each subject the indices of its people, the main person first.
        triples: Their boxes (s, 3, 4) in the photo frame.
    """
    aspect, boxes = scene.aspect, to_even(triples, scene.aspect)
    head, body = to_even(scene.head, aspect), to_even(scene.body, aspect)
    hulls = np.stack([_hull(head[list(members)]) for members in subjects])[:, None]
    bodies = body[[members[0] for members in subjects]][:, None]
    low, sides = boxes[..., :2], np.maximum(boxes[..., 2:] - boxes[..., :2], SMALLEST_BOX)
    heads = _within(hulls, low, sides)
    unknown = np.asarray(np.isnan(bodies).any(-1))
    ends = np.where(unknown[..., None], (0.0, 0.0, 1.0, 1.0), _within(np.nan_to_num(bodies), low, sides))
    edges = np.array([aspect, 1.0])
    room = np.concatenate([low / sides, (edges - boxes[..., 2:]) / sides], -1).clip(0, LARGEST_ROOM)
    head_share = heads[..., 3] - heads[..., 1]
    whole = np.broadcast_to
    shape = boxes.shape[:2]
    columns = [
        (heads[..., 0] + heads[..., 2]) / 2 - 0.5,
        heads[..., 1],
        heads[..., 3],
        head_share,
        np.log(np.maximum(head_share, SMALLEST_BOX)),
        np.log(sides[..., 0] / sides[..., 1]),
        *np.moveaxis(room, -1, 0),
        *np.moveaxis(ends.clip(*BODY_RANGE), -1, 0),
        whole(unknown, shape),
        np.full(shape, np.log(len(scene))),
        whole(np.array([len(members) > 1 for members in subjects])[:, None], shape),
        whole(np.log(np.maximum(hulls[..., 3] - hulls[..., 1], SMALLEST_BOX)), shape),
        np.full(shape, aspect),
    ]
    return np.stack([np.asarray(column, np.float64) for column in columns], -1)


def _hull(boxes: Floats) -> Floats:
    """Return the hull (4,) of boxes (n, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _within(boxes: Floats, low: Floats, sides: Floats) -> Floats:
    """Return boxes (..., 4) in shares of others, given by their corner and their sides."""
    shares: Floats = (boxes - np.concatenate([low, low], -1)) / np.concatenate([sides, sides], -1)
    return shares
