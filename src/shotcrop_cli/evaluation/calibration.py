"""Compare scores with outcomes: shots binned by score, with the share that is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from shotcrop_cli.evaluation.bootstrap import HIT
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, ShotType

BINS = 5
"""Number of bins of equal width: a few hundred shots fill no more of them."""

DOUBT = 0.5
"""Below this score a shot is more likely wrong than right, if the score is a probability."""


@dataclass(frozen=True, slots=True)
class JudgedShot:
    """A scored shot, compared with an expert's.

    Args:
        type: Which of the three.
        score: The model's score, 0..1.
        iou: IoU with the expert's box.
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
    """Shots with similar scores.

    Args:
        low: Lowest score of the bin.
        high: Upper limit, exclusive; the last bin includes 1.
        n: Number of shots.
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
        n: Number of shots.
        wrong: Number of them that are wrong.
        all_wrong: Number of wrong shots at any score.
    """

    n: int
    wrong: int
    all_wrong: int


def judged_shots(pairs: Iterable[tuple[Composition, Answer]]) -> list[JudgedShot]:
    """Return the shots that can be judged: those of triples for which the model gives a score.

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
        shots: The shots, in any order.
        count: Number of bins from 0 to 1.
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
    """Return the expected calibration error: the distance of score and share, weighted by shots; None without shots."""
    total = sum(one.n for one in bins)
    return sum(one.n * abs(one.score - one.right) for one in bins) / total if total else None


def doubtful(shots: Sequence[JudgedShot], threshold: float = DOUBT) -> Doubtful:
    """Count the shots that a minimum score would send to review.

    Args:
        shots: The shots, in any order.
        threshold: The minimum score.
    """
    low = [shot for shot in shots if shot.score < threshold]
    return Doubtful(len(low), sum(not shot.right for shot in low), sum(not shot.right for shot in shots))
