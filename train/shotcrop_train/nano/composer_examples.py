"""Examples for the composer: scenes with an expert's triple, and disturbed copies of them.

A composer that met only perfect detections would trust them too much. Copies with shifted boxes, changed scores and
missing parts show it what a detector gets wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from shotcrop_cli.model.nano.candidates import GROUP, MOST_PEOPLE, PAIR, Candidates, list_candidates
from shotcrop_cli.model.nano.composer import stack
from shotcrop_cli.model.nano.scene import Floats, Scene, mirror_boxes
from shotcrop_cli.model.nano.shown_person import find_person
from shotcrop_train.nano.detector_labels import cover

IN_CLOSE_UP = 0.75
"""Share of a head that a close-up has to show so that it counts as one of its heads."""
CENTRING_GAIN = 0.06
"""A pair or group is the main subject if the close-up is centred on it better than on one person by this share of its
height."""
SHARED = 0.65
"""Probability of a pair or group that is the main subject; the main person alone keeps the rest."""
LOST_PEOPLE, LOST_FACES, LOST_BODIES, LOST_JOINTS, LOST_THINGS = 0.1, 0.1, 0.05, 0.15, 0.12
"""Shares of what a disturbed copy loses, at strength 1; people with certain heads are lost less often."""


@dataclass(frozen=True, eq=False)
class Example:
    """A scene's candidates, the wanted triple, and whom it shows.

    Args:
        candidates: The k candidates.
        triple: (3, 4).
        subject: Each candidate's probability (k,) of being the triple's main subject.
        weight: (3,), 0 for shots that must not be learned from.
    """

    candidates: Candidates
    triple: Floats
    subject: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class Examples:
    """Stacked examples: the inputs of `ComposerNetwork`, and what it should say.

    Args:
        features: (N, k, f).
        known: (N, k, f).
        valid: (N, k).
        kind: (N, k, KINDS).
        pixels: (N, k, p).
        photo: (N, q).
        anchor: (N, k, 3).
        aspect: (N,).
        triple: (N, 3, 4).
        subject: (N, k).
        weight: (N, 3).
    """

    features: Tensor
    known: Tensor
    valid: Tensor
    kind: Tensor
    pixels: Tensor
    photo: Tensor
    anchor: Tensor
    aspect: Tensor
    triple: Tensor
    subject: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.aspect)

    def inputs(self) -> tuple[Tensor, ...]:
        """Return the inputs of the network."""
        return self.features, self.known, self.valid, self.kind, self.pixels, self.photo

    def take(self, index: Tensor) -> Examples:
        """Return some examples, cut to the most candidates that any of them has."""
        most = int(self.valid[index].sum(1).max())
        wide = ("features", "known", "valid", "kind", "pixels", "anchor", "subject")
        values = {one.name: getattr(self, one.name)[index] for one in fields(self)}
        return Examples(**{name: value[:, :most] if name in wide else value for name, value in values.items()})


def make_examples(
    scenes: Sequence[Scene],
    triple: Floats,
    count: int,
    rng: np.random.Generator,
    strength: float = 1.0,
    accepted: Sequence[bool] = (True, True, True),
) -> list[Example]:
    """Return examples of one photo: each scene and its mirror image, then disturbed copies of them in turn.

    Args:
        scenes: What different detectors saw in the photo.
        triple: The expert's (3, 4).
        count: Number of examples.
        rng: Source of chance.
        strength: How strongly copies are disturbed.
        accepted: Which of the three shots may be learned from.
    """
    examples, weight = [], np.array(accepted, np.float32)
    for number in range(count):
        mirrored, turn = number % 2 == 1, number // 2
        scene = scenes[turn % len(scenes)]
        if turn >= len(scenes):
            scene = disturb(scene, rng, strength)
        candidates = list_candidates(scene.mirror() if mirrored else scene)
        if candidates is not None:
            wanted = mirror_boxes(triple) if mirrored else triple
            subject = find_subject(candidates, scene.mirror() if mirrored else scene, wanted)
            examples.append(Example(candidates, wanted, subject, weight))
    return examples


def find_subject(candidates: Candidates, scene: Scene, triple: Floats) -> Floats:
    """Return the probability (k,) that each candidate is an expert's main subject, from where the close-up is.

    All are 0 if the close-up shows no candidate.
    """
    aspect, close = candidates.aspect, triple[2]
    probability = np.zeros(len(candidates), np.float32)
    best = find_person(scene, close)
    if best is None:
        return probability
    heads = scene.head[:MOST_PEOPLE]
    centre, height = (close[:2] + close[2:]) / 2, close[3] - close[1]
    middle = (heads[:, :2] + heads[:, 2:]) / 2
    shown = cover(heads, close[None])[:, 0] > IN_CLOSE_UP
    off = abs(middle[best, 0] - centre[0]) * aspect / height
    together, gain = -1, CENTRING_GAIN
    for index, (members, kind) in enumerate(zip(candidates.members, candidates.kind, strict=True)):
        if kind in (PAIR, GROUP) and best in members and shown[list(members)].all():
            gap = abs(candidates.anchor[index, 0] / aspect - centre[0]) * aspect / height
            if off - gap > gain:
                together, gain = index, off - gap
    alone = candidates.members.index((best,))
    probability[alone] = 1.0
    if together >= 0:
        probability[alone], probability[together] = 1 - SHARED, SHARED
    return probability


def disturb(scene: Scene, rng: np.random.Generator, strength: float = 1.0) -> Scene:
    """Return a copy whose boxes and scores are disturbed and which lacks some people and parts; never all people."""
    n = len(scene)

    def shift(boxes: Floats, amount: float) -> Floats:
        sides = np.tile(boxes[..., 2:4] - boxes[..., :2], 2)
        shifted: Floats = (boxes[..., :4] + rng.normal(0, amount * strength, sides.shape) * sides).astype(np.float32)
        return shifted

    def change(scores: Floats) -> Floats:
        changed: Floats = (scores + rng.normal(0, 0.08 * strength, scores.shape)).clip(0.05, 1).astype(np.float32)
        return changed

    def change_things(things: Floats) -> Floats:
        left = things[rng.random(len(things)) > LOST_THINGS * strength]
        return np.concatenate([shift(left, 0.05), change(left[:, 4:])], 1)

    face_lost = rng.random(n) < LOST_FACES * strength
    body_lost = (rng.random(n) < LOST_BODIES * strength) & ~scene.estimated
    joints_lost = body_lost | (rng.random(n) < LOST_JOINTS * strength)
    height = np.nan_to_num(scene.body[:, 3] - scene.body[:, 1], nan=0.3)[:, None, None]
    width = (scene.head[:, 2] - scene.head[:, 0])[:, None, None]
    joints = scene.joints.copy()
    joints[..., :2] += rng.normal(0, 0.02 * strength, joints[..., :2].shape) * height
    landmarks = scene.landmarks + rng.normal(0, 0.03 * strength, scene.landmarks.shape) * width
    body_score = np.where(scene.body_score > 0, change(scene.body_score), 0)
    copy = replace(
        scene,
        head=shift(scene.head, 0.05),
        head_score=change(scene.head_score),
        face=np.where(face_lost[:, None], np.nan, shift(scene.face, 0.06)),
        face_score=np.where(face_lost, 0, scene.face_score),
        landmarks=np.where(face_lost[:, None, None], np.nan, landmarks).astype(np.float32),
        body=np.where(body_lost[:, None], np.nan, shift(scene.body, 0.04)),
        body_score=np.where(body_lost, 0, body_score).astype(np.float32),
        joints=np.where(joints_lost[:, None, None], np.nan, joints).astype(np.float32),
        hands=change_things(scene.hands),
        animals=change_things(scene.animals),
        objects=change_things(scene.objects),
    )
    keep = rng.random(n) > LOST_PEOPLE * strength * (1.25 - scene.head_score)
    return copy.select(keep) if keep.any() else copy


def stack_examples(examples: Sequence[Example]) -> Examples:
    """Stack examples; see `composer.stack`."""
    inputs = {name: torch.from_numpy(value) for name, value in stack([one.candidates for one in examples]).items()}
    most = inputs["valid"].shape[1]
    anchor = np.tile(np.array([0.5, 0.35, 0.15], np.float32), (len(examples), most, 1))
    subject = np.zeros((len(examples), most), np.float32)
    for row, one in enumerate(examples):
        anchor[row, : len(one.candidates)], subject[row, : len(one.candidates)] = one.candidates.anchor, one.subject
    return Examples(
        **inputs,
        anchor=torch.from_numpy(anchor),
        aspect=torch.tensor([one.candidates.aspect for one in examples], dtype=torch.float32),
        triple=torch.from_numpy(np.stack([one.triple for one in examples])),
        subject=torch.from_numpy(subject),
        weight=torch.from_numpy(np.stack([one.weight for one in examples])),
    )
