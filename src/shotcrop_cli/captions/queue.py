"""Write captions in threads of their own while the run goes on, and report each photo once its captions have ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.captions.outcome import CaptionOutcome, CaptionStatus, CaptionWriter
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter

_LOOK_EVERY = 1.0
"""Seconds after which a run looks whether its time is over."""
_NAMED_FAILURES = 3
"""How many failures a run names on stderr; `--verbose` lists all (our choice)."""


class CaptionQueue:
    """Takes photos whose crops are written.

    Args:
        service: Writes the captions of a photo.
        root: The output folder, resolved.
        threads: Requests at the same time.
        reporter: Receives warnings.
        add: Called in the caller's thread with the result of each photo. It may raise an error.
        strict: Whether a photo without captions counts as failed.
        captions_only: Whether the crops are not of this run, so that a photo is unchanged unless it gets captions.
    """

    def __init__(
        self,
        service: CaptionWriter,
        root: Path,
        threads: int,
        reporter: Reporter,
        add: Callable[[PhotoResult], None],
        *,
        strict: bool,
        captions_only: bool = False,
    ) -> None:
        self._service, self._root, self._reporter = service, root, reporter
        self._add, self._strict, self._captions_only = add, strict, captions_only
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="caption")
        self._waiting: dict[Future[CaptionOutcome], PhotoResult] = {}
        self._counts = dict.fromkeys(CaptionStatus, 0)

    def put(self, photo: PhotoResult) -> None:
        """Take a photo and report those that are finished. Only photos with crops wait for captions."""
        if photo.status is PhotoStatus.DONE and photo.sidecar is not None:
            future = self._threads.submit(self._service.write_captions, photo.sidecar, self._root)
            self._waiting[future] = photo
            self._collect(seconds=0.0)
        else:
            self._add(photo)

    def finish(self, is_time_over: Callable[[], bool]) -> None:
        """Wait for all captions, and report their photos.

        Args:
            is_time_over: Says when to begin no more captions.
        """
        if self._waiting:
            self._reporter.detail(f"{len(self._waiting)} photos wait for captions")
        while self._waiting and not is_time_over():
            self._collect(seconds=_LOOK_EVERY)

    def close(self) -> None:
        """End without waiting for captions that no one asked for yet, and report their photos, whose crops are done."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        waiting, self._waiting = self._waiting, {}
        for future, photo in waiting.items():
            try:
                outcome = CaptionOutcome(CaptionStatus.LEFT) if future.cancelled() else future.result()
                self._report(photo, outcome)
            except Exception:
                continue  # the error that ended the run is being raised already, and must not be replaced
        if more := max(0, self._counts[CaptionStatus.FAILED] - _NAMED_FAILURES):
            self._reporter.warn(f"captions of {more} more photos failed; --verbose lists them")
        if any(self._counts.values()):
            self._reporter.info(self._summary())

    def _collect(self, seconds: float) -> None:
        done, _ = wait(self._waiting, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            self._report(self._waiting.pop(future), future.result())

    def _report(self, photo: PhotoResult, outcome: CaptionOutcome) -> None:
        self._counts[outcome.status] += 1
        for note in outcome.notes:
            self._reporter.info(note)
        if outcome.status is CaptionStatus.FAILED:
            if self._strict:
                photo = replace(photo, status=PhotoStatus.FAILED, reason=f"captions: {outcome.reason}")
            elif self._counts[CaptionStatus.FAILED] <= _NAMED_FAILURES:
                self._reporter.warn(f"{photo.source}: keeps its captions: {outcome.reason}")
            else:
                self._reporter.detail(f"{photo.source}: keeps its captions: {outcome.reason}")
        if self._captions_only and photo.status is PhotoStatus.DONE and outcome.status is not CaptionStatus.WRITTEN:
            photo = replace(photo, status=PhotoStatus.UNCHANGED)
        self._add(photo)

    def _summary(self) -> str:
        written, failed, left = (
            self._counts[status] for status in (CaptionStatus.WRITTEN, CaptionStatus.FAILED, CaptionStatus.LEFT)
        )
        line = f"captions: {written} written, {failed} failed, {left} left"
        return f"{line}; to write the rest, run `shotcrop caption`" if failed or left else line
