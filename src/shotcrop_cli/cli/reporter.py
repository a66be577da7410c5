"""Tells how each photo ended: to people, to programs on stdout, and in the lists of what failed and is doubtful."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.cli.console import Console, result
from shotcrop_cli.cli.photo_list import PhotoList
from shotcrop_cli.library.plan import Decision, Job
from shotcrop_cli.library.results import Doubt, PhotoResult, PhotoStatus, Tally, doubts_on_record


class FirstFailure(Exception):
    """Ends a run at its first failure; the failure itself has been told."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the user wants to be told.

    Args:
        as_json: Whether results are printed as JSON Lines.
        strict: Whether a photo without a person is a failure.
        fail_fast: Whether the run ends at the first failure.
        failed_list: File to write the paths of failed photos to, None for none.
        null: Whether names in lists end with NUL instead of a newline.
        min_score: Photos with a crop that scores less are doubtful; None when none is.
        review_list: File to write the paths of doubtful photos to, None for none.
    """

    as_json: bool = False
    strict: bool = False
    fail_fast: bool = False
    failed_list: Path | None = None
    null: bool = False
    min_score: float | None = None
    review_list: Path | None = None


class Reporter:
    """Counts results and tells of each.

    Args:
        options: What the user wants to be told.
        console: Where people are told.

    Raises:
        OutputError: A list cannot be written, which is better known before the work than after.
    """

    def __init__(self, options: ReportOptions, console: Console) -> None:
        self.tally = Tally(strict=options.strict, reviews=options.min_score is not None)
        self._options, self._console = options, console
        self._stopping = False
        failed, review = options.failed_list, options.review_list
        self._failed = None if failed is None else PhotoList(failed, "--failed-list", null=options.null)
        self._review = None if review is None else PhotoList(review, "--review-list", null=options.null)

    def add(self, photo: PhotoResult) -> None:
        """Tell of one photo.

        Raises:
            FirstFailure: It failed, and no other is wanted after that.
            OutputError: Nobody can be told any more.
        """
        failure = self.tally.add(photo)
        if photo.put_aside is not None:
            self._console.warn(f"{photo.put_aside}: the sidecar could not be read; it is kept under this name")
        self._console.photo(photo.source, str(photo.status), photo.reason or _in_words(photo.doubts))
        if self._options.as_json:
            result(_json_line(photo))
        if failure and self._options.fail_fast and not self._stopping:
            self._stopping = True  # photos in flight may fail, too
            raise FirstFailure

    def add_unchanged(self, job: Job, decision: Decision) -> None:
        """Tell of a photo that needs nothing, which in a large library should cost nothing.

        Raises:
            OutputError: Nobody can be told any more.
        """
        status = PhotoStatus.UNCHANGED
        found = doubts_on_record(job.sidecar, self._options.min_score)
        if decision.no_subject and self._options.strict:
            self.add(PhotoResult(job.source.path, PhotoStatus.NO_SUBJECT, job.sidecar))
        elif found or self._options.as_json or self._console.tells_details:
            self.add(PhotoResult(job.source.path, status, job.sidecar, job.crops(decision.shots), doubts=found))
        else:
            self.tally.counts[status] += 1

    def close(self, seconds: float, provider: str) -> None:
        """Sum up, and write the lists.

        Args:
            seconds: How long the run took.
            provider: Where the model ran.

        Raises:
            OutputError: A list cannot be written.
        """
        summary, failures, doubtful = self.tally.summary(seconds, provider), self.tally.failures, self.tally.doubtful
        if failures:
            self._console.always(summary)
        else:
            self._console.info(summary)
        for failure in failures:
            self._console.always(f"failed: {failure.source}: {failure.reason or 'no person found'}")
        for photo in doubtful:
            self._console.info(f"review: {photo.source}: {_in_words(photo.doubts)}")
        for written, photos in ((self._failed, failures), (self._review, doubtful)):
            if written is not None:
                written.write(photo.source for photo in photos)


def _in_words(doubts: Sequence[Doubt]) -> str:
    return ", ".join(map(str, doubts))


def tell_planned(job: Job, decision: Decision, *, as_json: bool) -> None:
    """Print what a dry run would do with a photo.

    Args:
        job: The photo and its files.
        decision: What there is to do.
        as_json: Whether to print JSON.
    """
    if as_json:
        crops = job.crops(decision.shots)
        result(_json_line(PhotoResult(job.source.path, PhotoStatus.PLANNED, job.sidecar, crops, decision.reason)))
    else:
        result(f"{job.source.path} -> {job.target(decision.shots)} ({decision.reason})")


def _json_line(photo: PhotoResult) -> str:
    return json.dumps(
        {
            "source": str(photo.source),
            "status": str(photo.status),
            "sidecar": None if photo.sidecar is None else str(photo.sidecar),
            "crops": [str(crop) for crop in photo.crops],
            "reason": photo.reason or None,
            "review": [{"shot": str(doubt.shot), "score": doubt.score} for doubt in photo.doubts],
        },
        ensure_ascii=False,
    )
