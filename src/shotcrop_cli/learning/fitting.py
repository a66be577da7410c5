"""Fit a style to lessons by ridge regression, and say by cross-validation how much it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shotcrop_cli.learning.lessons import Lesson, crops_with, iou, overlaps
from shotcrop_cli.model.nano.manifest import STYLE_FEATURES, FaultCosts, ShotStyle, Style
from shotcrop_cli.model.nano.scene import Floats, Indices
from shotcrop_cli.model.nano.style import linear_moves, move_edges, standardise
from shotcrop_cli.shots import SHOT_TYPES

PLANS: tuple[tuple[str, float], ...] = (("mean", 0.0), ("head", 5.0), ("head", 1.0), ("all", 30.0), ("all", 8.0))
"""Kinds of corrections that are tried for each shot, the simplest first: the features and the strength of the ridge."""
SHRINKAGE = 0.3
"""Strength of the ridge on the general move: it counts as much as so many photos that need none."""
OUTLIER = 0.15
"""Moves farther than this from the fitted ones, in shares of the box's side, weigh less (Huber)."""
ROUNDS = 4
"""How often the weights of outliers are found again."""
DIGITS = 6
"""Decimals of the numbers in a manifest."""
LEAST_SPREAD = 0.05
"""Added to the spread of each feature, so that one that hardly varies has no large weight."""
LEAST_GAIN = 0.003
"""A shot gets the simplest correction that is within this of the best in mean IoU, and none unless that gains more."""
INNER_FOLDS, OUTER_FOLDS = 5, 10
RESAMPLES = 2000
"""Bootstrap resamples of the photos."""


@dataclass(frozen=True, eq=False)
class Gain:
    """How much closer a style is to a person's boxes than the model, on photos that it has not learned from.

    Args:
        before: IoU (n, 3) of the model's boxes; NaN where the person's box is unknown.
        after: The same with the style.
    """

    before: Floats
    after: Floats

    @property
    def differences(self) -> Floats:
        """Mean gain of each photo (n,)."""
        result: Floats = np.nanmean(self.after - self.before, 1)
        return result

    @property
    def means(self) -> tuple[float, float]:
        """Mean IoU over photos, before and after."""
        return float(np.nanmean(self.before, 1).mean()), float(np.nanmean(self.after, 1).mean())

    def of_shot(self, shot: int) -> tuple[float, float]:
        """Mean IoU of one shot, before and after; NaN without any box."""
        known = ~np.isnan(self.before[:, shot])
        if not known.any():
            return float("nan"), float("nan")
        return float(self.before[known, shot].mean()), float(self.after[known, shot].mean())

    @property
    def closer(self) -> int:
        """Photos on which the style is closer."""
        return int((self.differences > 0).sum())

    @property
    def farther(self) -> int:
        """Photos on which it is farther off."""
        return int((self.differences < 0).sum())

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean difference, by a paired bootstrap over photos."""
        values = self.differences
        draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
        low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
        return float(low), float(high)

    @property
    def is_sure(self) -> bool:
        """Whether the style is better: the whole interval is above 0."""
        return self.interval()[0] > 0


def fit_style(lessons: Sequence[Lesson], seed: int = 0) -> Style:
    """Fit a style: for each shot the correction that is best on photos that it has not learned from, or none."""
    features, moves = np.stack([one.features for one in lessons]), np.stack([one.moves for one in lessons])
    counts = np.stack([one.counts for one in lessons])
    shots = []
    for shot in range(len(SHOT_TYPES)):
        chosen = [one for one, count in zip(lessons, counts[:, shot], strict=True) if count]
        known = counts[:, shot]
        shots.append(_fit_shot(chosen, features[known, shot], moves[known, shot], shot, seed))
    return Style(tuple(shots))


def _fit_shot(lessons: Sequence[Lesson], features: Floats, moves: Floats, shot: int, seed: int) -> ShotStyle:
    if len(lessons) < INNER_FOLDS:
        return ShotStyle()
    boxes, wanted = (
        np.stack(one) for one in zip(*((one.triple[shot], one.wanted[shot]) for one in lessons), strict=True)
    )
    aspects = np.array([[one.scene.aspect] for one in lessons])

    def score(moved: Floats) -> float:
        return float(iou(move_edges(boxes, moved, aspects), wanted).mean())

    alone, scores = score(np.zeros_like(moves)), []
    for features_used, strength in PLANS:
        moved = np.zeros_like(moves)
        for train, test in folds(len(lessons), INNER_FOLDS, seed):
            one = ridge(features[train], moves[train], features_used, strength)
            moved[test] = one.moves(features[test])
        scores.append(score(moved))
    best = max(scores)
    if best <= alone + LEAST_GAIN:
        return ShotStyle()
    plan = PLANS[next(place for place, one in enumerate(scores) if one >= best - LEAST_GAIN)]
    return ridge(features, moves, *plan).style


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted correction; see `ShotStyle`."""

    mean: Floats
    spread: Floats
    weights: Floats

    def moves(self, features: Floats) -> Floats:
        """Return the moves (n, 4) of boxes with these features (n, f)."""
        used = features[:, : len(self.mean)]
        return linear_moves(standardise(used, self.mean, self.spread), self.weights)

    @property
    def style(self) -> ShotStyle:
        """The correction as a manifest holds it."""
        mean, spread, weights = (one.round(DIGITS).tolist() for one in (self.mean, self.spread, self.weights))
        return ShotStyle(tuple(mean), tuple(spread), tuple(map(tuple, weights)))


def ridge(features: Floats, moves: Floats, features_used: str, strength: float) -> Ridge:
    """Fit the correction of one shot.

    Args:
        features: (n, f), see `style.describe_boxes`.
        moves: Wanted moves (n, 4).
        features_used: One of `STYLE_FEATURES`.
        strength: Strength of the ridge.
    """
    used = features[:, : STYLE_FEATURES[features_used]]
    mean, spread = used.mean(0), used.std(0) + LEAST_SPREAD
    table = np.concatenate([np.ones((len(used), 1)), standardise(used, mean, spread)], 1)
    penalty = np.diag([SHRINKAGE, *[strength] * used.shape[1]])
    trust = np.ones_like(moves)
    for _ in range(ROUNDS):
        weighted = table.T * trust.T[:, None]  # (4, f + 1, n)
        weights = np.linalg.solve(weighted @ table + penalty, (weighted @ moves.T[..., None]))[..., 0].T
        trust = np.minimum(1, OUTLIER / np.maximum(np.abs(moves - table @ weights), 1e-9))
    return Ridge(mean, spread, weights)


def cross_validate(lessons: Sequence[Lesson], costs: FaultCosts) -> Gain:
    """Measure on each lesson a style that was fitted without it, with the choice of the corrections.

    The lessons of one folder and capture time are not kept together: a person's photos are all of one style.

    Args:
        lessons: At least two.
        costs: Costs of the refinement that follows the style.
    """
    after = np.zeros((len(lessons), len(SHOT_TYPES)))
    for train, test in folds(len(lessons), OUTER_FOLDS, 0):
        style = fit_style([lessons[number] for number in train], seed=1)
        held_out = [lessons[number] for number in test]
        after[test] = overlaps(held_out, crops_with(style, held_out, costs))
    return Gain(overlaps(lessons, crops_with(Style(), lessons, costs)), after)


def folds(count: int, most: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield the numbers to learn from and those to measure on, so that each is measured once."""
    parts = np.array_split(np.random.default_rng(seed).permutation(count), min(most, count))
    for number, part in enumerate(parts):
        yield np.concatenate([one for other, one in enumerate(parts) if other != number]), part
