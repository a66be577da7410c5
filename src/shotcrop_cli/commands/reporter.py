"""Tells how each photo ended: to people, to programs on stdout, and in the list of what failed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.archive.plan import Decision, Job
from shotcrop_cli.archive.store import NewFile, put_in_place
from shotcrop_cli.archive.tally import PhotoResult, PhotoStatus, Tally
from shotcrop_cli.console import Console, result
from shotcrop_cli.errors import OutputError


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
        null: Whether its names end with NUL instead of a newline.
    """

    as_json: bool = False
    strict: bool = False
    fail_fast: bool = False
    failed_list: Path | None = None
    null: bool = False


class Reporter:
    """Counts results and tells of each.

    Args:
        options: What the user wants to be told.
        console: Where people are told.

    Raises:
        OutputError: The list of failed photos cannot be written, which is better known before the work than after.
    """

    def __init__(self, options: ReportOptions, console: Console) -> None:
        self.tally = Tally(strict=options.strict)
        self._options, self._console = options, console
        self._stopping = False
        if options.failed_list is not None:
            _check_writable(options.failed_list)

    def add(self, photo: PhotoResult) -> None:
        """Tell of one photo.

        Raises:
            FirstFailure: It failed, and no other is wanted after that.
            OutputError: Nobody can be told any more.
        """
        failure = self.tally.add(photo)
        self._console.photo(photo.source, str(photo.status), photo.reason)
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
        if decision.no_subject and self._options.strict:
            self.add(PhotoResult(job.source.path, PhotoStatus.NO_SUBJECT, job.sidecar))
        elif self._options.as_json or self._console.tells_details:
            self.add(PhotoResult(job.source.path, status, job.sidecar, job.crops(decision.shots)))
        else:
            self.tally.counts[status] += 1

    def close(self, seconds: float, provider: str) -> None:
        """Sum up, and write the list of failed photos.

        Args:
            seconds: How long the run took.
            provider: Where the model ran.

        Raises:
            OutputError: The list cannot be written.
        """
        summary, failures = self.tally.summary(seconds, provider), self.tally.failures
        if failures:
            self._console.always(summary)
        else:
            self._console.info(summary)
        for failure in failures:
            self._console.always(f"failed: {failure.source}: {failure.reason or 'no person found'}")
        if self._options.failed_list is not None:
            end = b"\0" if self._options.null else b"\n"
            names = b"".join(os.fsencode(failure.source) + end for failure in failures)
            path = self._options.failed_list
            put_in_place([NewFile(path, names)], root=path.parent)


def _check_writable(path: Path) -> None:
    try:
        path.open("ab").close()
    except OSError as error:
        raise OutputError(
            f"{path}: the list of failed photos cannot be written: {error.strerror}",
            hint="choose another --failed-list",
        ) from error


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
        },
        ensure_ascii=False,
    )
