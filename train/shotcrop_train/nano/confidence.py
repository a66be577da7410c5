"""From the agreement of two looks to the probability that a shot is right, fitted on held-back photos.

A shot is right when its box reaches an IoU of .5 with the expert's. The held-back tenth of the experts' photos is small
and mostly easy, so each of its photos is seen in several variations, the same that training draws: cropped, turned,
recoloured. One logistic curve over all shots has two parameters, which a few hundred shots can carry [O].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.bootstrap import HIT
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import Composer, Composition
from shotcrop_train.data.augmentation import Augmentation, augment
from shotcrop_train.data.samples import expert_samples, held_back, load_pixels

VIEWS = 8
"""Variations of each photo; more of 57 photos add little that is new [O]."""
LEAST_WRONG = 10
"""Wrong shots that a curve needs to mean anything [O]."""
VARIATION = Augmentation(crop=0.7, smallest_crop=0.65)
"""How views vary: as training rows do, cropped a little more often, since whole photos are the easy ones [O]."""
_PRIOR = 1e-3
"""Weight of a Gaussian prior on the slope, in shots: it only keeps separable figures finite [O]."""
_BATCH = 32
_STEPS = 50
_CONVERGED = 1e-9


@dataclass(frozen=True, slots=True)
class Curve:
    """Probability = 1 / (1 + exp(-(offset + slope * agreement)))."""

    offset: float
    slope: float


def calibrate(composer: Composer, records: Sequence[Record], seed: int = 0) -> Curve:
    """Fit the curve of a model whose scores are the agreement of its looks.

    Args:
        composer: The model, without a curve.
        records: A training set; only its held-back tenth is looked at.
        seed: Of the variations.

    Raises:
        ShotcropError: Too few shots are wrong to tell how agreement falls then.
    """
    agreements, right = observe(composer, [record for record in records if held_back(record)], seed)
    wrong = len(right) - int(right.sum())
    if min(wrong, len(right) - wrong) < LEAST_WRONG:
        raise ShotcropError(
            f"scores cannot be calibrated: of {len(right)} held-back shots {wrong} are wrong, it takes {LEAST_WRONG} "
            "of either kind",
            hint="name a dataset with more expert triples, or leave the calibration out",
        )
    return fit(agreements, right)


def observe(
    composer: Composer, records: Sequence[Record], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the score of each shot in each view of the photos, and whether its box is right.

    Views in which the model answers nothing, and shots that a view does not show, are left out.
    """
    rng = np.random.default_rng(seed)
    scores, right = [], []
    views = [
        augment(sample, load_pixels(sample.path), None, VARIATION, rng)
        for sample in expert_samples(records)
        for _ in range(VIEWS)
    ]
    for first in range(0, len(views), _BATCH):
        part = views[first : first + _BATCH]
        aspects = [sample.aspect or image.width / image.height for sample, image in part]
        answers = composer.compose([image for _, image in part], aspects)
        for (sample, _), answer in zip(part, answers, strict=True):
            if not isinstance(answer, Composition):
                continue
            for target, shot in zip(sample.shots, answer.shots, strict=True):
                if target.box is not None and shot.score is not None:
                    scores.append(shot.score)
                    right.append(iou(shot.box, target.box) >= HIT)
    return np.array(scores, dtype=np.float64), np.array(right, dtype=np.bool_)


def fit(agreements: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
    """Fit a logistic curve by Newton's method.

    Args:
        agreements: One figure per shot, 0..1 (N,).
        right: Whether the shot is right (N,).
    """
    design = np.stack([np.ones_like(agreements), agreements], axis=1)
    prior = np.diag([0.0, _PRIOR])
    weights = np.zeros(2)
    for _ in range(_STEPS):
        probability = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (right - probability) - prior @ weights
        hessian = (design * (probability * (1.0 - probability))[:, None]).T @ design + prior
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if math.sqrt(float(step @ step)) < _CONVERGED:
            break
    return Curve(float(weights[0]), float(weights[1]))
