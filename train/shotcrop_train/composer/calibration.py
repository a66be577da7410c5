"""Fit what the run time needs besides the networks, on photos that they have not learned from.

The score of a shot is the probability that it reaches an IoU of 0.5 with an expert's crop: a logistic rule of the IoU
that the composer expects and of the probability that the main subject is the right one. Whether a photo shows people is
a logistic rule of three figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shotcrop_cli.model.nano.manifest import PresenceRule, ScoreCurve
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_train.composer.held_out import HeldOut
from shotcrop_train.composer.nano_recipe import PresenceFitting
from shotcrop_train.composer.photo_scenes import SeenPhoto

RIGHT = 0.5
"""IoU from which on a shot counts as right."""
LEAST_SHOTS = 30
"""Fewest shots that give a curve."""
STEPS, CONVERGED = 50, 1e-9
PRIOR = 1e-3
"""Weight of the curve's prior: it only keeps separable figures finite."""


def fit_logistic(inputs: Floats, targets: Floats, weights: Floats, prior: float) -> Floats:
    """Fit targets in 0..1 by Newton's method.

    Args:
        inputs: (N, d).
        targets: (N,).
        weights: (N,).
        prior: Weight of a Gaussian prior on all values but the bias.

    Returns:
        The bias and the weights of the inputs (1 + d,).
    """
    design = np.concatenate([np.ones((len(inputs), 1)), inputs], 1).astype(np.float64)
    penalty = prior * np.diag([1e-9, *[1.0] * inputs.shape[1]])
    values = np.zeros(design.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-(design @ values).clip(-30, 30)))
        gradient = design.T @ (weights * (targets - probability)) - penalty @ values
        hessian = (design * (weights * probability * (1 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian + 1e-9 * np.eye(len(values)), gradient)
        length = float(np.abs(step).max())
        values += step * min(1.0, 5.0 / max(length, 1e-12))
        if length < CONVERGED:
            break
    return values


def fit_score(held: HeldOut) -> ScoreCurve:
    """Fit the rule of a shot's score; too few shots leave the expected IoU as it is."""
    known = ~np.isnan(held.expected)
    expected, reached = held.expected[known], held.refined[known] >= RIGHT
    if len(expected) < LEAST_SHOTS or np.ptp(expected) == 0:
        return ScoreCurve()
    inputs = np.stack([expected, held.certainty[known]], 1)
    offset, slope, choice = fit_logistic(inputs, reached.astype(np.float64), np.ones(len(expected)), PRIOR)
    return ScoreCurve(round(float(offset), 4), round(float(slope), 4), round(float(choice), 4))


def presence_facts(photo: SeenPhoto) -> tuple[float, float, float]:
    """Return the best head's score, the best body's, and the logit of the tag `people`; see `PresenceRule`."""
    scene = photo.own[0]
    head = float(scene.head_score[~scene.estimated].max(initial=0))
    return head, float(scene.body_score.max(initial=0)), float(photo.tags[0])


def fit_presence(
    people: Sequence[SeenPhoto], empty: Sequence[SeenPhoto], plan: PresenceFitting
) -> tuple[PresenceRule, dict[str, float]]:
    """Fit the rule for photos without people.

    Args:
        people: Photos with people.
        empty: Photos without.
        plan: How it is fitted.

    Returns:
        The rule, the default one if either kind of photo is missing, and its figures on these photos.
    """
    if not people or not empty:
        return PresenceRule(), {}
    facts = np.array([presence_facts(one) for one in (*people, *empty)])
    shown = np.repeat([1.0, 0.0], [len(people), len(empty)])
    weights = np.where(shown == 1, 0.5 / len(people), 0.5 / len(empty)) * len(shown)
    bias, head, body, tag = (round(float(value), 4) for value in fit_logistic(facts, shown, weights, plan.prior))
    rule = PresenceRule(bias, head, body, tag)
    probability = np.array([rule.probability(*one) for one in facts])
    least = float(np.quantile(probability[shown == 1], 1 - plan.keep, method="lower"))
    threshold = math.floor(1e4 * min(least, plan.highest)) / 1e4
    recognised = probability < threshold
    figures = {
        "presence_kept": round(float(1 - recognised[shown == 1].mean()), 4),
        "presence_recognised": round(float(recognised[shown == 0].mean()), 4),
        "presence_photos": len(people),
        "presence_empty": len(empty),
    }
    return PresenceRule(bias, head, body, tag, threshold), figures
