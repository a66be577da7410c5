"""How the photos of a run ended: results of photos and of the run, who receives them, and which crops to review."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from shotcrop_cli.errors import ExitCode
from shotcrop_cli.shots import CropKey, ShotType
from shotcrop_cli.sidecar import SCORE_DIGITS, ShotRecord, Sidecar


class PhotoStatus(str, Enum):
    """How one photo ended."""

    DONE = "done"
    UNCHANGED = "unchanged"
    NO_SUBJECT = "no_subject"
    """The model found no people."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It looks like a photo but is not, or another file of the same photo is cropped instead."""
    PLANNED = "planned"
    """A dry run would crop it."""
    ORPHAN = "orphan"
    """The photo is gone, but its crops are still there."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class LowScore:
    """A crop whose score is lower than the run accepts.

    Args:
        shot: The key of the crop.
        score: The model's score from 0 to 1, rounded as in the sidecar.
    """

    shot: CropKey | ShotType
    score: float

    def __str__(self) -> str:
        return f"{self.shot} scores {self.score:g}"


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """How one photo ended.

    Args:
        source: Path of the photo.
        status: How it ended.
        sidecar: Path of its sidecar; None if it failed.
        crops: Paths of its crops, widest shot first.
        reason: Why it failed, with the fix, or why it was skipped, planned or left without crops; otherwise empty.
        low_scores: Its crops that a person should review, whatever the status.
        has_no_people: Whether it is unchanged, and an earlier run found no people in it.
        is_own_crop: Whether it was skipped because it is itself a crop by shotcrop.
        content: Format of the photo if its extension is that of another format; otherwise empty.
        kept: Files that it would have replaced, but somebody changed them.
        backups: New names of such files that it replaced on request.
        rejected: Keys of crops that it leaves out, because a person rejected them or deleted their crops.
        former: Where the photo was before it was renamed or moved, if its crops followed it in this run.
        small: Its crops that have fewer pixels than their ratio set asks for, in words.
        left_out: Its crops that the run left out, because their ratio cannot hold the heads, in words.
        record: Its sidecar, if that is in an object store; None if it can be read at its path.
        lacks_subject: Whether it shows people, but not whom the run asks for.
        names: The names in its face regions, if the run asks for people by name.
        unapplied: Keys of crops whose box or texts somebody edited, and that `shotcrop apply` would write.
    """

    source: Path
    status: PhotoStatus
    sidecar: Path | None = None
    crops: tuple[Path, ...] = ()
    reason: str = ""
    low_scores: tuple[LowScore, ...] = ()
    content: str = ""
    kept: tuple[Path, ...] = ()
    backups: tuple[Path, ...] = ()
    rejected: tuple[CropKey | ShotType, ...] = ()
    has_no_people: bool = False
    is_own_crop: bool = False
    former: Path | None = None
    small: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    record: Sidecar | None = None
    lacks_subject: bool = False
    names: tuple[str, ...] = ()
    unapplied: tuple[CropKey | ShotType, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Args:
        counts: Number of photos by status.
        failed: The photos that failed. In a strict run also those without people.
        to_review: The photos with a crop whose score is too low.
        kept: The photos with files that the run would have replaced, but somebody changed them.
        rejected: Number of shots that it left out, because a person rejected them or deleted their crops.
        without_people: The photos in which the model found no people, in this run or, if unchanged, in an earlier one.
        left: Number of photos that were due when the time for the run was over.
        beyond_limit: Number of photos that were due when the run had done as many as it may.
        followed: Number of renamed or moved photos whose crops followed them.
        orphans: The photos that are gone and whose crops are still there.
        small: The photos with crops that have fewer pixels than their ratio set asks for.
        left_out: The photos with crops that the run left out, because their ratio cannot hold the heads.
        without_subject: Number of photos that show people, but not whom the run asks for.
        names: The names in all photos with the number of photos of each, if the run asks for people by name.
        changes: The options that changed since earlier runs made crops, in words, with the number of photos.
        unapplied: Number of photos with edited boxes or texts that are not applied yet.
        photos: Every photo, if the options ask to keep all results; otherwise empty.
        seconds: Duration of the run.
        provider: Where the model ran; empty if no photo needed it.
        dry_run: Whether nothing was written.
    """

    counts: Mapping[PhotoStatus, int]
    failed: tuple[PhotoResult, ...] = ()
    to_review: tuple[PhotoResult, ...] = ()
    kept: tuple[PhotoResult, ...] = ()
    rejected: int = 0
    without_people: tuple[PhotoResult, ...] = ()
    left: int = 0
    beyond_limit: int = 0
    followed: int = 0
    orphans: tuple[PhotoResult, ...] = ()
    small: tuple[PhotoResult, ...] = ()
    left_out: tuple[PhotoResult, ...] = ()
    without_subject: int = 0
    names: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, int] = field(default_factory=dict)
    unapplied: int = 0
    photos: tuple[PhotoResult, ...] = ()
    seconds: float = 0.0
    provider: str = ""
    dry_run: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What the command returns to the shell."""
        if self.left:
            return ExitCode.UNFINISHED
        return ExitCode.SOME_FAILED if self.failed else ExitCode.OK

    @property
    def photos_per_second(self) -> float:
        """How many photos the run cropped, or found to show no people, per second."""
        seen = self.counts.get(PhotoStatus.DONE, 0) + self.counts.get(PhotoStatus.NO_SUBJECT, 0)
        return seen / self.seconds if self.seconds > 0 else 0.0


class Results:
    """Collects the results of a run.

    Args:
        strict: Whether a photo without people counts as failed.
        keep_all: Whether to keep the result of every photo, not only of those that failed or need a review.
    """

    def __init__(self, *, strict: bool = False, keep_all: bool = False) -> None:
        self.counts: Counter[PhotoStatus] = Counter()
        self.changes: Counter[str] = Counter()
        self._failed: list[PhotoResult] = []
        self._to_review: list[PhotoResult] = []
        self._kept: list[PhotoResult] = []
        self._without_people: list[PhotoResult] = []
        self._rejected = self._followed = 0
        self._orphans: list[PhotoResult] = []
        self._small: list[PhotoResult] = []
        self._left_out: list[PhotoResult] = []
        self._without_subject = self._unapplied = 0
        self._names: Counter[str] = Counter()
        self._photos: list[PhotoResult] = []
        self._keep_all = keep_all
        self._failures = (PhotoStatus.FAILED, PhotoStatus.NO_SUBJECT) if strict else (PhotoStatus.FAILED,)

    def add(self, photo: PhotoResult) -> bool:
        """Add the result of one photo and return whether it is a failure."""
        self.counts[photo.status] += 1
        is_failure = photo.status in self._failures
        if is_failure:
            self._failed.append(photo)
        if photo.low_scores:
            self._to_review.append(photo)
        if photo.kept:
            self._kept.append(photo)
        self._rejected += len(photo.rejected)
        if photo.status is PhotoStatus.NO_SUBJECT or photo.has_no_people:
            self._without_people.append(photo)
        self._followed += photo.former is not None
        if photo.status is PhotoStatus.ORPHAN:
            self._orphans.append(photo)
        self._without_subject += photo.lacks_subject
        self._unapplied += bool(photo.unapplied)
        self._names.update(photo.names)
        if photo.small:
            self._small.append(photo)
        if photo.left_out:
            self._left_out.append(photo)
        if self._keep_all:
            self._photos.append(photo)
        return is_failure

    def finish(
        self, seconds: float, provider: str = "", *, left: int = 0, beyond_limit: int = 0, dry_run: bool = False
    ) -> RunResult:
        """Return the result of the run; see `RunResult`."""
        return RunResult(
            counts=dict(self.counts),
            failed=tuple(self._failed),
            to_review=tuple(self._to_review),
            kept=tuple(self._kept),
            rejected=self._rejected,
            without_people=tuple(self._without_people),
            left=left,
            beyond_limit=beyond_limit,
            followed=self._followed,
            orphans=tuple(self._orphans),
            small=tuple(self._small),
            left_out=tuple(self._left_out),
            without_subject=self._without_subject,
            names=dict(self._names.most_common()),
            changes=dict(self.changes.most_common()),
            unapplied=self._unapplied,
            photos=tuple(self._photos),
            seconds=seconds,
            provider=provider,
            dry_run=dry_run,
        )


class Reporter:
    """Receives what happens in a run. This one ignores everything; override the methods you need.

    All methods are called in the thread that called `crop_photos`, except `info` and `warn`, which the model may call
    in others. An exception that a method raises ends the run.

    Attributes:
        wants_unchanged: Whether `photo` is called for every unchanged photo, too. Without it, large libraries that are
            up to date take less time.
    """

    wants_unchanged: bool = False

    def start(self) -> None:
        """The output folder is locked, and the run is about to begin. Not called in a dry run."""

    def info(self, text: str) -> None:
        """Take a line that everybody should read."""

    def warn(self, text: str) -> None:
        """Take a warning."""

    def detail(self, text: str) -> None:
        """Take a line for users who want to know everything."""

    def progress(self, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Return a context for the time that photos are cropped; call its value once per photo.

        Args:
            total: Number of photos to crop.
        """
        return nullcontext(lambda: None)

    def photo(self, photo: PhotoResult) -> None:
        """Take the result of a photo."""

    def finish(self, result: RunResult) -> None:
        """Take the result of the run, even if an exception ends it."""


def low_scores(shots: Iterable[ShotRecord], min_score: float | None) -> tuple[LowScore, ...]:
    """Return the crops of a photo that need a review, widest shot first.

    Shots without a crop, boxes that a person set, and crops without a score need none.

    Args:
        shots: The shots of the photo.
        min_score: The lowest score that needs no review, 0 to 1; None to review nothing.
    """
    if min_score is None:
        return ()
    return _below(((shot.key, shot.score) for shot in shots if shot.file is not None and not shot.edited), min_score)


def recorded_low_scores(path: Path, min_score: float | None) -> tuple[LowScore, ...]:
    """Return the crops of an up-to-date photo that need a review; see `low_scores`.

    This reads only what it needs from the sidecar, because large libraries have 100,000 of them. A sidecar that cannot
    be read has none.

    Args:
        path: The sidecar.
        min_score: The lowest score that needs no review, 0 to 1; None to review nothing.
    """
    if min_score is None:
        return ()
    try:
        shots = json.loads(path.read_bytes())["shots"]
        found = [(ShotType(s["shot"]), s["score"]) for s in shots if s["file"] is not None and not s["edited"]]
        scores = [(shot, None if score is None else score + 0.0) for shot, score in found]
        return _below(scores, min_score)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return ()


def _below(scores: Iterable[tuple[CropKey | ShotType, float | None]], min_score: float) -> tuple[LowScore, ...]:
    # Rounded as in the sidecar, so that the first run and later ones agree.
    rounded = ((shot, round(score, SCORE_DIGITS)) for shot, score in scores if score is not None)
    return tuple(LowScore(shot, score) for shot, score in rounded if score < min_score)


def duration(seconds: float) -> str:
    """Write a duration with its two largest units, such as `3.2 s`, `4 m 12 s` or `1 h 04 m`."""
    if seconds < 59.95:  # 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m"
