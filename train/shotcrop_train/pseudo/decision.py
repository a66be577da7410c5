"""Which proposal of a shot becomes its pseudo label, if any. Pure functions of scores.

Each shot is decided by itself, not the triple as a whole. A proposal is accepted when it is strictly best on all
criteria and each of its scores is at least .85. The shot is hard when every proposal's mean is below .60. All other
shots are rejected. Source: second-hand, a transcription of the paper's text.

Scores are 0..1. Figures that are not are mapped linearly, between the 1st and 99th percentile of what the experts'
crops of the same shot score (our own choice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.shots import ShotType

PERCENTILES = (1.0, 99.0)
"""Percentiles of the experts' raw figures that become 0 and 1. Our own choice."""

LEAST_CROPS = 10
"""Fewest expert crops that give a useful percentile. Our own choice."""

Scores = tuple[float | None, ...]
"""One proposal's score on each criterion, 0..1; None where the criterion could not judge it."""


@dataclass(frozen=True)
class Rule:
    """How strict the decision is.

    The defaults are the paper's rule, second-hand from a transcription of its text; the options are off.

    Args:
        accept: Lowest score that an accepted proposal may have on any criterion.
        hard: A shot is hard when every proposal's mean is below this.
        margin: Our own option. An accepted proposal may tie, or trail by less than this, on any criterion as long as
            its mean is the highest. At 0 it must be strictly best on each criterion.
        veto: Our own option. A proposal that breaks a composition rule is not accepted; see
            `scorers.composition.breaks_composition_rules`.
    """

    accept: float = 0.85
    hard: float = 0.60
    margin: float = 0.0
    veto: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.hard <= self.accept <= 1.0:
            raise ValueError(f"hard ({self.hard}) and accept ({self.accept}) must be 0 <= hard <= accept <= 1")
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin must be within 0..1, not {self.margin}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The proposal at `index` is the pseudo label."""

    index: int


@dataclass(frozen=True, slots=True)
class Hard:
    """All proposals are poor: stage 3 trains on this photo."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """No proposal is certainly good, and not all are poor."""


Decision = Accepted | Hard | Rejected


def decide(scores: Sequence[Scores], rule: Rule = Rule(), vetoed: Sequence[bool] = ()) -> Decision:
    """Decide one shot.

    No criterion is ever dropped. A proposal with an unknown score is neither accepted nor counted as poor, but other
    proposals must still beat its known scores.

    Args:
        scores: Scores of each proposal, after near-duplicates are merged.
        rule: How strict to be.
        vetoed: For each proposal, whether the veto excludes it; empty for no veto.
    """
    for index, own in enumerate(scores):
        rivals = [other for number, other in enumerate(scores) if number != index]
        excluded = bool(vetoed) and vetoed[index]
        if not excluded and min_score(own) >= rule.accept and all(_beats(own, other, rule.margin) for other in rivals):
            return Accepted(index)
    means = [mean_score(own) for own in scores]
    poor = [mean is not None and mean < rule.hard for mean in means]
    return Hard() if poor and all(poor) else Rejected()


def mean_score(scores: Scores) -> float | None:
    """Return a proposal's mean, None unless every score is known."""
    known = [score for score in scores if score is not None]
    return fmean(known) if known and len(known) == len(scores) else None


def min_score(scores: Scores) -> float:
    """Return a proposal's lowest score, -1 if one is unknown."""
    return min((-1.0 if score is None else score for score in scores), default=-1.0)


def best_of(scores: Sequence[Scores]) -> int:
    """Return the index of the proposal with the highest mean, the first of equals. An unknown score counts as 0."""
    return max(range(len(scores)), key=lambda index: fmean([0.0 if one is None else one for one in scores[index]]))


def _beats(own: Scores, other: Scores, margin: float) -> bool:
    """Say whether a fully known proposal beats another on every criterion that the other knows."""
    pairs = [(mine, theirs) for mine, theirs in zip(own, other, strict=True) if mine is not None and theirs is not None]
    if margin == 0.0:
        return all(mine > theirs for mine, theirs in pairs)
    higher = not pairs or fmean(mine for mine, _ in pairs) > fmean(theirs for _, theirs in pairs)
    return higher and all(mine > theirs - margin for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Span:
    """The raw figures that become 0 and 1."""

    low: float
    high: float

    def map(self, raw: float) -> float:
        """Map linearly, limited to 0..1."""
        return min(max((raw - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True)
class Calibration:
    """The span of each calibrated criterion and shot."""

    spans: Mapping[tuple[str, ShotType], Span] = field(default_factory=dict)

    def map(self, criterion: str, shot: ShotType, raw: float | None) -> float | None:
        """Map a raw figure to 0..1. A criterion without a span is 0..1 already; an unknown figure stays unknown."""
        if raw is None:
            return None
        span = self.spans.get((criterion, shot))
        return min(max(raw, 0.0), 1.0) if span is None else span.map(raw)


def calibrate(raws: Mapping[tuple[str, ShotType], Sequence[float]]) -> Calibration:
    """Return the spans that expert crops give.

    Args:
        raws: Known raw figures of expert crops, by criterion and shot.

    Raises:
        ShotcropError: There are too few of them, or they do not differ.
    """
    spans = {}
    for (criterion, shot), figures in raws.items():
        if len(figures) < LEAST_CROPS:
            raise ShotcropError(
                f"criterion '{criterion}' scored only {len(figures)} expert crops of the {shot} shot;"
                f" its calibration needs {LEAST_CROPS}",
                hint="name more datasets under `experts`, or use another criterion",
            )
        low, high = (float(side) for side in np.percentile(figures, PERCENTILES))
        if not low < high:
            raise ShotcropError(
                f"criterion '{criterion}' gives every expert crop of the {shot} shot the same score",
                hint="use another criterion",
            )
        spans[criterion, shot] = Span(low, high)
    return Calibration(spans)
