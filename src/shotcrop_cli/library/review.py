"""Which crops want a person's eye: those that the model scores lower than the run accepts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.shots import ShotType
from shotcrop_cli.sidecar import SCORE_DIGITS, ShotRecord


@dataclass(frozen=True, slots=True)
class Doubt:
    """A crop whose score is too low.

    Args:
        shot: Which of the three.
        score: The model's, 0..1, as the sidecar spells it.
    """

    shot: ShotType
    score: float

    def __str__(self) -> str:
        return f"{self.shot} scores {self.score:g}"


def doubts(shots: Iterable[ShotRecord], min_score: float | None) -> tuple[Doubt, ...]:
    """Return the doubtful ones of a photo's crops, widest first.

    What was not cut, what a person has set and what has no score are never doubtful.

    Args:
        shots: The photo's.
        min_score: The lowest score that is no doubt, 0..1; None for any.
    """
    if min_score is None:
        return ()
    return _judge(((shot.shot, shot.score) for shot in shots if shot.file is not None and not shot.edited), min_score)


def doubts_on_record(path: Path, min_score: float | None) -> tuple[Doubt, ...]:
    """Return the doubtful crops of a photo that is up to date, from its sidecar.

    Of the sidecar no more is read than this needs: to check all of it takes fifty times as long, which 100,000
    photos would feel. One that cannot be read raises no doubt.

    Args:
        path: The sidecar's.
        min_score: As for `doubts`.
    """
    if min_score is None:
        return ()
    try:
        shots = json.loads(path.read_bytes())["shots"]
        return _judge(
            (
                (ShotType(shot["shot"]), shot["score"])
                for shot in shots
                if shot["file"] is not None and not shot["edited"]
            ),
            min_score,
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ()


def _judge(scores: Iterable[tuple[ShotType, float | None]], min_score: float) -> tuple[Doubt, ...]:
    # As written, or a first run and a later one would judge differently.
    written = ((shot, round(score, SCORE_DIGITS)) for shot, score in scores if score is not None)
    return tuple(Doubt(shot, score) for shot, score in written if score < min_score)
