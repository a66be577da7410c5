"""The run of `shotcrop crop`: discover photos, plan their crops, and decide which are due."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from shotcrop_cli.captions.messages import check_language
from shotcrop_cli.errors import EmptyError, ShotcropError
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.orphans import Orphan
from shotcrop_cli.library.output_folder import add_roots, list_of_all_runs, open_output
from shotcrop_cli.library.output_names import plan
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.own_crops import OWN_CROP_REASON, looks_like_own_crop
from shotcrop_cli.library.plan import Action, Target, Task, Wanted
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult
from shotcrop_cli.library.source import Ignored, Source
from shotcrop_cli.library.tracking import PhotoTracker
from shotcrop_cli.library.up_to_date import Index
from shotcrop_cli.run_options import CropOptions
from shotcrop_cli.runs.captioner import find_captions
from shotcrop_cli.runs.crop_model import CropModel
from shotcrop_cli.runs.crop_work import CropWork
from shotcrop_cli.runs.run import FirstFailure, Run, tell_waiting
from shotcrop_cli.storage.location import is_url, place

if TYPE_CHECKING:
    from shotcrop_cli.imaging.formats import Format
    from shotcrop_cli.remote.staging import Staging

_NAMED_IGNORED = 3
"""How many named paths a run says it ignores (our choice)."""


class CropRun(Run):
    """Finds photos, decides which are due, and lets `CropWork` crop them.

    Args:
        options: What to do.
        reporter: Receives the result of every photo.
        model: The model that the options name, if several runs share it; None to find it.
        is_ready: Says of a photo that is due whether it may be cropped now; None for all.
    """

    def __init__(
        self,
        options: CropOptions,
        reporter: Reporter,
        model: CropModel | None,
        is_ready: Callable[[Source], bool] | None,
    ) -> None:
        super().__init__(options, reporter, options.min_score)
        paths = tuple(map(place, options.selection.paths))
        self._options = options = replace(options, photos=replace(options.selection, paths=paths))
        self._model, self._is_ready = model, is_ready
        self._output = place(options.output)
        self._work: CropWork | None = None

    def run(self) -> RunResult:
        """Crop all photos that are due."""
        options, output = self._options, self._output
        selection = options.selection
        check_language(options.settings.language)
        if options.ray is not None:
            from shotcrop_cli.ray_engine.actors import import_ray

            import_ray()  # what is missing shows before the work
        if any([is_url(path) for path in (options.output, *selection.paths, *(selection.listed or ()))]):
            return self._run_remote()
        captions = None if options.dry_run else find_captions(options.captions, self.reporter)
        found = discover(options.selection, output)
        wanted = Wanted("", options.settings, options.shots, options.subjects, options.sets)
        keys = wanted.possible_crops()
        whole = plan(found.sources, output, options.template, options.settings.format, _read_format, keys)
        planned = whole.part(options.shard)
        targets = planned.targets
        # What cannot be read may be of any shard, so every run reports it.
        refused = (*found.unreadable, *(Ignored(other.source.path, other.reason) for other in planned.refused))
        self._warn_of_named([ignored for ignored in found.skipped if ignored.named])
        if not found.sources and not found.unreadable:
            if options.fail_if_empty:
                raise EmptyError("no photos found", hint="check that the disk with the photos is mounted")
            if self._is_ready is None:  # a folder that is watched is often empty
                self.reporter.warn("no photos found")
        model = self._model or CropModel.find(options.model, self.reporter)
        wanted = replace(wanted, model_sha256=model.sha256)
        index = Index(output, wanted, options.template.text)
        state = OutputState(
            output,
            wanted,
            overwrite=options.overwrite,
            read_only=options.dry_run,
            index=index,
            check_content=options.check_content,
            allowed=options.allowed,
        )
        gc.freeze()  # the targets of a large library are not garbage, and searching them for some takes long
        try:
            tracker = PhotoTracker(output, state, read_only=options.dry_run)
            self.former = tracker.former
            if options.dry_run:
                tracker.search(whole.targets, targets, found.roots)
                return self._plan_only(targets, refused, tracker)
            with open_output(output, self._wait(), lambda: tell_waiting(output, self.reporter), options.shard):
                with list_of_all_runs(output, options.shard):
                    add_roots(output, found.roots)
                self.reporter.start()
                tracker.search(whole.targets, targets, found.roots)
                self._work = CropWork(options, model, self, captions)
                return self._crop(targets, found.skipped, refused, tracker, state, self._work)
        finally:
            gc.unfreeze()

    def _run_remote(self) -> RunResult:
        """Crop photos of an object store, or into one."""
        from shotcrop_cli.remote.crop_run import RemoteCrop

        if self._is_ready is not None:
            raise ShotcropError("--watch: only folders of this machine can be watched", hint="run again and again")
        options = self._options
        model = self._model or CropModel.find(options.model, self.reporter)
        self._work = CropWork(options, model, self, captions=None)
        wanted = Wanted(model.sha256, options.settings, options.shots, options.subjects, options.sets)
        remote = RemoteCrop(options, self, self.reporter, wanted)

        def show(photo: PhotoResult) -> PhotoResult:
            return photo if remote.staging is None else remote.staging.shown(photo)

        self.show = show
        with self.summed_up(self._provider):
            remote.work(self._wait())
        return self.final

    def crop_part(self, due: Sequence[Task], state: OutputState, staging: Staging) -> bool:
        """Crop some photos whose files are copies below a folder, and say whether to go on."""
        assert self._work is not None
        self._output = staging.root
        self._work.carry_out(due, state, staging.root, staging)
        return not self._work.is_over

    def close(self) -> None:
        """End what the run started."""
        if self._work is not None:
            self._work.close()

    def _provider(self) -> str:
        return "" if self._work is None else self._work.provider

    def _warn_of_named(self, ignored: Sequence[Ignored]) -> None:
        """Say that paths which the user named are ignored, in few lines: a shell may have named thousands."""
        for one in ignored[:_NAMED_IGNORED]:
            self.reporter.warn(f"{one.path}: {one.reason}")
        if (more := len(ignored) - _NAMED_IGNORED) > 0:
            self.reporter.warn(f"{more} more of the files and folders you named are ignored, too; --verbose lists them")

    def _owns_orphan(self, orphan: Orphan) -> bool:
        """Say whether this run reports an orphan, and not that of another shard."""
        shard = self._options.shard
        return shard is None or shard.owns(orphan.sidecar.relative_to(self._output).with_suffix(""))

    def _add_orphans(self, tracker: PhotoTracker) -> None:
        for orphan in filter(self._owns_orphan, tracker.orphans):
            crops = tuple(orphan.crops.values())
            left = f"{len(crops)} of its crops are" if crops else "its sidecar is"
            reason = f"it is gone, but {left} still there"
            self.add(PhotoResult(orphan.photo, PhotoStatus.ORPHAN, orphan.sidecar, crops, reason))

    def _plan_only(self, targets: Sequence[Target], refused: Sequence[Ignored], tracker: PhotoTracker) -> RunResult:
        with suppress(FirstFailure):
            self._add_refused(refused)
            self._plan_tasks(tracker.decide(targets))
            self._add_orphans(tracker)
        result = self.result()
        self.reporter.finish(result)
        return result

    def _plan_tasks(self, tasks: Iterable[Task]) -> None:
        planned = 0
        for task in tasks:
            if (orphan := self.former.get(task.target.source.path)) is not None:
                self.add_planned(replace(task, reason=f"renamed from {orphan.photo}, its crops would follow"))
            elif task.action is Action.REFUSE:
                self.add_refused(task)
            elif not task.is_due and (task.retouched or task.rejected or task.unapplied):
                self.add_unchanged(task)
            elif not task.is_due:
                self.results.counts[PhotoStatus.UNCHANGED] += 1
            elif task.is_first and not self._options.include_crops and looks_like_own_crop(task.target.source.path):
                path = task.target.source.path
                self.add(PhotoResult(path, PhotoStatus.SKIPPED, reason=OWN_CROP_REASON, is_own_crop=True))
            elif self._options.limit is None or planned < self._options.limit:
                planned += 1
                target = task.target.for_format(_read_format(task.target.source), self._options.settings.format)
                self.add_planned(replace(task, target=target))
            else:
                self.beyond_limit += 1

    def _add_refused(self, refused: Iterable[Ignored]) -> None:
        for ignored in refused:
            self.add(PhotoResult(ignored.path, PhotoStatus.FAILED, reason=ignored.reason))

    def _crop(
        self,
        targets: Sequence[Target],
        skipped: Iterable[Ignored],
        refused: Iterable[Ignored],
        tracker: PhotoTracker,
        state: OutputState,
        work: CropWork,
    ) -> RunResult:
        try:
            with suppress(FirstFailure):
                for ignored in skipped:
                    self.add(PhotoResult(ignored.path, PhotoStatus.SKIPPED, reason=ignored.reason))
                self._add_refused(refused)
                due = self._due_tasks(tracker.decide(targets), state)
                self._add_orphans(tracker)
                work.carry_out(due, state, self._output)
        finally:  # an interrupted run reports how far it got, too
            work.close()  # while the output is locked, so that its Ray workers never meet another run
            result = self.result(self._provider())
            self.reporter.finish(result)
        return result

    def _due_tasks(self, tasks: Iterable[Task], state: OutputState) -> list[Task]:
        due: list[Task] = []
        for task in tasks:
            if task.action is Action.REFUSE:
                self.add_refused(task)
                continue
            if not task.is_due:
                self.add_unchanged(task)
                continue
            if self._is_ready is not None and not self._is_ready(task.target.source):
                continue
            due.append(state.suspend(task))
            if self._options.limit is None or len(due) <= self._options.limit:
                self.note_changes(task)
                self.reporter.detail(f"{task.target.source.path}: to do, {task.why}")
        with list_of_all_runs(self._output, self._options.shard):
            state.save(merge=self._options.shard is not None)
        return due

    def _wait(self) -> float:
        """Return how long to wait for another run, which must not take longer than this run may."""
        wait, max_time = self._options.wait, self._options.max_time
        return wait if max_time is None else min(wait, max(0.0, max_time - self.seconds))


def _read_format(source: Source) -> Format | None:
    from shotcrop_cli.imaging.content_format import read_format

    return read_format(source.path)
