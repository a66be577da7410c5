"""Whether a score means what it says: shots by score, beside the share of them that are right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from shotcrop_cli.evaluation.bootstrap import HIT
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, ShotType

BINS = 5
"""Parts of equal width that scores are sorted into [O]: some hundred shots fill no more of them."""

DOUBT = 0.5
"""Below this score a shot is more likely wrong than right, if the score is a probability."""


@dataclass(frozen=True, slots=True)
class JudgedShot:
    """A shot that says how sure it is, beside an expert's.

    Args:
        type: Which of the three.
        score: The model's, 0..1.
        iou: With the expert's box.
    """

    type: ShotType
    score: float
    iou: float

    @property
    def right(self) -> bool:
        """Whether the IoU reaches `HIT`."""
        return self.iou >= HIT


@dataclass(frozen=True, slots=True)
class Bin:
    """Shots of like score.

    Args:
        low: Lowest score that belongs here.
        high: Lowest score that belongs no more; the last bin holds 1, too.
        n: How many shots these are.
        score: Their mean score.
        right: The share of them that is right.
        iou: Their mean IoU.
    """

    low: float
    high: float
    n: int
    score: float
    right: float
    iou: float


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The shots with a score below a threshold.

    Args:
        n: How many these are.
        wrong: How many of them are wrong.
        all_wrong: How many shots are wrong, whatever their score.
    """

    n: int
    wrong: int
    all_wrong: int


def judged_shots(pairs: Iterable[tuple[Composition, Answer]]) -> list[JudgedShot]:
    """Return the shots that can be judged: of triples, where the model gives a score.

    Args:
        pairs: An expert's triple and the model's answer for each photo.
    """
    return [
        JudgedShot(kind, score, iou(truth[kind].box, answer[kind].box))
        for truth, answer in pairs
        if isinstance(answer, Composition)
        for kind in SHOT_TYPES
        if (score := answer[kind].score) is not None
    ]


def by_score(shots: Sequence[JudgedShot], count: int = BINS) -> tuple[Bin, ...]:
    """Sort shots into bins of equal width by their scores; bins without shots are left out.

    Args:
        shots: In any order.
        count: How many bins there are from 0 to 1.
    """
    held: dict[int, list[JudgedShot]] = {}
    for shot in shots:
        held.setdefault(min(int(shot.score * count), count - 1), []).append(shot)
    return tuple(
        Bin(
            place / count,
            (place + 1) / count,
            len(shots),
            fmean(shot.score for shot in shots),
            fmean(shot.right for shot in shots),
            fmean(shot.iou for shot in shots),
        )
        for place, shots in sorted(held.items())
    )


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Return the expected calibration error: how far score and share lie apart, weighted by shots; None without any."""
    total = sum(one.n for one in bins)
    return sum(one.n * abs(one.score - one.right) for one in bins) / total if total else None


def doubtful(shots: Sequence[JudgedShot], threshold: float = DOUBT) -> Doubtful:
    """Count what a least accepted score would send to review.

    Args:
        shots: In any order.
        threshold: The lowest score that is no doubt.
    """
    low = [shot for shot in shots if shot.score < threshold]
    return Doubtful(len(low), sum(not shot.right for shot in low), sum(not shot.right for shot in shots))
