"""Count how photos ended, and say so in one line and one exit code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from shotcrop_cli.errors import ExitCode
from shotcrop_cli.shots import ShotType
from shotcrop_cli.sidecar import SCORE_DIGITS, ShotRecord


class PhotoStatus(str, Enum):
    """How one photo ended."""

    DONE = "done"
    UNCHANGED = "unchanged"
    NO_SUBJECT = "no_subject"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It looks like a photo but is none, or another file stands for it."""
    PLANNED = "planned"
    """A dry run would do it."""

    def __str__(self) -> str:
        return self.value


_IN_SUMMARY = (PhotoStatus.DONE, PhotoStatus.UNCHANGED, PhotoStatus.NO_SUBJECT, PhotoStatus.FAILED)


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """What became of one photo.

    Args:
        source: Its path.
        status: How it ended.
        sidecar: Its sidecar, None when it failed.
        crops: The crops that lie in the output, widest first.
        reason: Why it failed, with the remedy, or was passed over; empty otherwise.
        doubts: The crops that a person should look at, whatever its status.
        put_aside: Where a sidecar is kept that could not be read and was made anew.
    """

    source: Path
    status: PhotoStatus
    sidecar: Path | None = None
    crops: tuple[Path, ...] = ()
    reason: str = ""
    doubts: tuple[Doubt, ...] = ()
    put_aside: Path | None = None


class Tally:
    """Counts results, and keeps the failures and the doubtful ones.

    Args:
        strict: Whether a photo without a person is a failure.
        reviews: Whether doubtful photos are looked for, and the summary says how many there are.
    """

    def __init__(self, *, strict: bool = False, reviews: bool = False) -> None:
        self.counts: Counter[PhotoStatus] = Counter()
        self.failures: list[PhotoResult] = []
        self.doubtful: list[PhotoResult] = []
        self._reviews = reviews
        self._failing = (PhotoStatus.FAILED, PhotoStatus.NO_SUBJECT) if strict else (PhotoStatus.FAILED,)

    def add(self, result: PhotoResult) -> bool:
        """Count one photo and tell whether it is a failure."""
        self.counts[result.status] += 1
        failure = result.status in self._failing
        if failure:
            self.failures.append(result)
        if result.doubts:
            self.doubtful.append(result)
        return failure

    @property
    def exit_code(self) -> ExitCode:
        """What the process answers when nothing else went wrong."""
        return ExitCode.SOME_FAILED if self.failures else ExitCode.OK

    def summary(self, seconds: float, provider: str) -> str:
        """Say how the run went.

        Args:
            seconds: How long it took.
            provider: Where the model ran.

        Returns:
            Such as `1204 done, 310 unchanged, 2 no subject, 3 failed in 4 m 12 s (4.8 img/s, cuda:0)`.
            The rate counts the photos that the model saw. `, 17 to review` follows where doubtful ones are looked for:
            they are among the done and the unchanged.
        """
        counts = ", ".join(f"{self.counts[status]} {status.replace('_', ' ')}" for status in _IN_SUMMARY)
        seen = self.counts[PhotoStatus.DONE] + self.counts[PhotoStatus.NO_SUBJECT]
        rate = seen / seconds if seconds > 0 else 0.0
        review = f", {len(self.doubtful)} to review" if self._reviews else ""
        return f"{counts} in {duration(seconds)} ({rate:.1f} img/s, {provider}){review}"


def duration(seconds: float) -> str:
    """Write a duration with its two largest units, such as `3.2 s`, `4 m 12 s` or `1 h 04 m`."""
    if seconds < 59.95:  # 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m"


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
