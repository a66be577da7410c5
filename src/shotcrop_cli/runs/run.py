"""What all runs share: collect the results of photos, and pass them to the reporter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.hand_work import KEEP_ALL
from shotcrop_cli.library.orphans import Orphan
from shotcrop_cli.library.placement import kept_crops
from shotcrop_cli.library.plan import NOT_SHOWN, REJECTED, Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, Results, RunResult, recorded_low_scores
from shotcrop_cli.run_options import ApplyOptions, CropOptions, RecaptionOptions


class FirstFailure(Exception):
    """Ends a run at its first failure, which is reported already."""


class Run:
    """Collects the results of photos and passes them to the reporter.

    Args:
        options: What the run does.
        reporter: Receives the results.
        min_score: Crops with a lower score need a review; None if none does.

    Attributes:
        results: The results so far.
        left: Photos that were not begun, because the time was over.
        beyond_limit: Photos that were not begun, because the run had done as many as it may.
        final: How the run ended; see `summed_up`.
        former: By the path of a photo, what is recorded under its former name.
        show: Changes a result before it is reported, such as paths of copies to URLs.
    """

    def __init__(
        self, options: CropOptions | ApplyOptions | RecaptionOptions, reporter: Reporter, min_score: float | None = None
    ) -> None:
        self.reporter = reporter
        self._fail_fast, self._keep_results, self.dry_run = options.fail_fast, options.keep_results, options.dry_run
        crops = None if isinstance(options, RecaptionOptions) else options
        self._strict = crops is not None and crops.strict
        self._min_score, self.allowed = min_score, KEEP_ALL if crops is None else crops.allowed
        self.results = Results(strict=self._strict, keep_all=options.keep_results)
        self._start = time.monotonic()
        self.left = self.beyond_limit = 0
        self._stopping = False
        self.final = RunResult({})
        self.former: dict[Path, Orphan] = {}
        self.show: Callable[[PhotoResult], PhotoResult] = lambda photo: photo

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self._start

    def add(self, photo: PhotoResult) -> None:
        """Take the result of a photo.

        Raises:
            FirstFailure: The photo failed, and the run is to end then.
        """
        if (orphan := self.former.get(photo.source)) is not None:
            photo = replace(photo, former=orphan.photo)
        photo = self.show(photo)
        is_failure = self.results.add(photo)
        self.reporter.photo(photo)
        if is_failure and self._fail_fast and not self._stopping:
            self._stopping = True  # photos that are being written may fail, too
            raise FirstFailure

    def add_unchanged(self, task: Task) -> None:
        """Take a photo that is up to date."""
        target = task.target
        low = recorded_low_scores(target.sidecar, self._min_score)
        if task.no_subject and self._strict:
            self.add(PhotoResult(target.source.path, PhotoStatus.NO_SUBJECT, target.sidecar))
        elif low or self._is_notable(task) or self._keep_results or self.reporter.wants_unchanged:
            reason = "without people" if task.no_subject else REJECTED if task.reason == REJECTED else ""
            self.add(
                PhotoResult(
                    target.source.path,
                    PhotoStatus.UNCHANGED,
                    target.sidecar,
                    target.crops(task.shots),
                    reason,
                    low,
                    kept=task.retouched,
                    rejected=task.rejected,
                    has_no_people=task.no_subject,
                    lacks_subject=task.reason == NOT_SHOWN,
                    names=task.names,
                    unapplied=task.unapplied,
                )
            )
        else:
            self.results.counts[PhotoStatus.UNCHANGED] += 1  # costs next to nothing for 100,000 photos

    def _is_notable(self, task: Task) -> bool:
        """Say whether the summary mentions an unchanged photo."""
        lacks_subject = task.reason == NOT_SHOWN
        is_former = bool(self.former) and task.target.source.path in self.former
        has_hand_work = task.retouched or task.rejected or task.unapplied
        return bool(task.no_subject or has_hand_work or is_former or task.names or lacks_subject)

    def add_planned(self, task: Task) -> None:
        """Take a photo that a dry run would crop."""
        self.note_changes(task)
        target, reason = task.target, task.why
        crops, edited = target.crops(task.shots), kept_crops(task, KEEP_ALL)
        kept = kept_crops(task, self.allowed)
        if replaced := [path.name for path in edited if path not in kept]:
            reason += f"; keeps {', '.join(replaced)} as backup"
        if deleted := [name for name in task.former_names if target.folder / name not in edited]:
            reason += f"; deletes {', '.join(deleted)}"
        planned = PhotoResult(target.source.path, PhotoStatus.PLANNED, target.sidecar, crops, reason, kept=kept)
        self.add(replace(planned, unapplied=task.unapplied))

    def note_changes(self, task: Task) -> None:
        """Count the options that changed since an earlier run made the crops of a photo."""
        if task.changes:
            self.results.changes[", ".join(task.changes)] += 1

    def add_refused(self, task: Task) -> None:
        """Take a photo that must not be cropped."""
        self.add(PhotoResult(task.target.source.path, PhotoStatus.FAILED, reason=task.reason))

    @contextmanager
    def summed_up(self, provider: Callable[[], str] = lambda: "") -> Iterator[None]:
        """Set `final` at the end and report it, also if an error ends the run, unless that was before the first photo.

        Args:
            provider: Returns where the model ran.
        """
        begun = True
        try:
            with suppress(FirstFailure):
                yield
        except ShotcropError:
            begun = any(self.results.counts.values())
            raise
        finally:
            self.final = self.result(provider())
            if begun:
                self.reporter.finish(self.final)

    def result(self, provider: str = "") -> RunResult:
        """Return how the run ended, with the provider that the model ran on."""
        return self.results.finish(
            self.seconds, provider, left=self.left, beyond_limit=self.beyond_limit, dry_run=self.dry_run
        )


def tell_waiting(root: Path, reporter: Reporter) -> None:
    """Say that another run has the output."""
    reporter.info(f"waiting for another run on {root} to end")
