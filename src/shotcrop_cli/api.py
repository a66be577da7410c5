"""Crop whole photo libraries: `crop_photos` and `apply_sidecars`. The commands `crop` and `apply` call these functions.

    options -> discover -> plan -> decide what is due -> pipeline.runner -> RunResult

To crop single photos in memory, use `shotcrop_cli.Cropper`.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from shotcrop_cli import __version__
from shotcrop_cli.caption_run import find_captions, queue_captions
from shotcrop_cli.errors import EmptyError, InputError, ShotcropError
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.edits import save_edit, sidecar_of
from shotcrop_cli.library.hand_work import KEEP_ALL
from shotcrop_cli.library.orphans import Orphan
from shotcrop_cli.library.output_folder import add_roots, list_of_all_runs, open_output, read_roots
from shotcrop_cli.library.output_names import plan
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.own_crops import OWN_CROP_REASON, looks_like_own_crop
from shotcrop_cli.library.placement import kept_crops
from shotcrop_cli.library.plan import NOT_SHOWN, REJECTED, Action, Target, Task, Wanted
from shotcrop_cli.library.recrop import is_pending, output_root, recrop_task, sidecars_in
from shotcrop_cli.library.remote import refuse_remote
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, Results, RunResult, recorded_low_scores
from shotcrop_cli.library.source import Ignored, Source
from shotcrop_cli.library.tracking import PhotoTracker
from shotcrop_cli.library.up_to_date import Index
from shotcrop_cli.model.lazy import LazyComposer
from shotcrop_cli.resources import usable_memory, usable_processors
from shotcrop_cli.run_options import ApplyOptions, CropOptions, ModelOptions, RecaptionOptions
from shotcrop_cli.sidecar import read
from shotcrop_cli.storage.location import UrlPath, is_url, place

if TYPE_CHECKING:
    from shotcrop_cli.captions.service import CaptionService
    from shotcrop_cli.imaging.formats import Format
    from shotcrop_cli.library.edits import EditsFile
    from shotcrop_cli.model.multi_device import MultiDeviceComposer
    from shotcrop_cli.pipeline.batch_size import BatchSize
    from shotcrop_cli.pipeline.loaded_photo import RunContext
    from shotcrop_cli.pipeline.steps import Steps
    from shotcrop_cli.ray_engine.driver import RayPool
    from shotcrop_cli.remote.staging import Staging

_MEMORY_SHARE = 4
"""Decoded photos may take one part in this many of the memory. That is enough for the large batches of a GPU."""
_NAMED_IGNORED = 3
"""How many named paths a run says it ignores (our choice)."""
_APPLY_IN_FLIGHT = 8
"""Photos that may wait to be written while `apply_sidecars` decodes others."""


@dataclass(frozen=True, slots=True)
class CropModel:
    """A model for several calls of `crop_photos`: it is loaded once, when the first photo needs it.

    Args:
        composer: Loads the model.
        sha256: Content hash of the model.
    """

    composer: LazyComposer[MultiDeviceComposer]
    sha256: str

    @classmethod
    def find(cls, options: ModelOptions, reporter: Reporter) -> CropModel:
        """Find a model without loading it.

        Raises:
            ModelError: There is no such model, or it cannot be read.
        """
        from shotcrop_cli.model.load import find_model
        from shotcrop_cli.model.multi_device import load_on_devices

        bundle = find_model(options.name, offline=options.offline)

        def load() -> MultiDeviceComposer:
            model = load_on_devices(bundle, options.device, options.providers, reporter)
            reporter.detail(f"model {model}")
            return model

        return cls(LazyComposer(load), bundle.sha256)


def crop_photos(
    options: CropOptions,
    reporter: Reporter | None = None,
    *,
    model: CropModel | None = None,
    is_ready: Callable[[Source], bool] | None = None,
) -> RunResult:
    """Crop the photos of a library that are not up to date.

    A photo that fails does not end the run; its result says why. While this runs, Pillow's warnings are off in the
    whole process.

    Args:
        options: What to do.
        reporter: Receives the result of every photo while the run works; None to report nothing.
        model: The model that the options name, if several runs share it; None to find it.
        is_ready: Says of a photo that is due whether it may be cropped now; the others are left out. None for all.

    Returns:
        How the photos ended. A dry run counts what it would do.

    Raises:
        ShotcropError: The run cannot begin or go on; subclasses say why.
    """
    with _process_settings():
        run = _CropRun(options, reporter or Reporter(), model, is_ready)
        try:
            return run.run()
        finally:
            run.close()


def apply_sidecars(options: ApplyOptions, reporter: Reporter | None = None) -> RunResult:
    """Write crops again as their sidecars, perhaps edited by hand, say. This needs no model.

    Args:
        options: What to do.
        reporter: Receives the result of every photo while the run works; None to report nothing.

    Returns:
        How the photos ended. A dry run counts those it would crop and those that cannot be cropped.

    Raises:
        ShotcropError: The run cannot begin or go on; subclasses say why.
    """
    with _process_settings():
        return _ApplyRun(options, reporter or Reporter()).run()


def caption_sidecars(options: RecaptionOptions, reporter: Reporter | None = None) -> RunResult:
    """Let a captioner write the captions of finished crops. This needs no model and makes no crops.

    Captions that a person edited stay.

    Args:
        options: What to do.
        reporter: Receives the result of every photo while the run works; None to report nothing.

    Returns:
        How the photos ended: `DONE` if they got captions. A dry run counts those that would.

    Raises:
        InputError: The options name no endpoint.
        ShotcropError: The run cannot begin or go on; subclasses say why.
    """
    with _process_settings():
        return _CaptionRun(options, reporter or Reporter()).run()


@contextmanager
def _process_settings() -> Iterator[None]:
    with warnings.catch_warnings():
        # Pillow warns about large pictures and odd metadata. Results report what matters of it.
        warnings.filterwarnings("ignore", module=r"PIL\..*")
        yield


class _FirstFailure(Exception):
    """Ends a run at its first failure, which is reported already."""


class _Run:
    """Collects results and passes them to the reporter."""

    def __init__(
        self, options: CropOptions | ApplyOptions | RecaptionOptions, reporter: Reporter, min_score: float | None = None
    ) -> None:
        self.reporter = reporter
        self._fail_fast, self._keep_results, self._dry_run = options.fail_fast, options.keep_results, options.dry_run
        crops = None if isinstance(options, RecaptionOptions) else options
        self._strict = crops is not None and crops.strict
        self._min_score, self._allowed = min_score, KEEP_ALL if crops is None else crops.allowed
        self._results = Results(strict=self._strict, keep_all=options.keep_results)
        self._start = time.monotonic()
        self._left = 0
        self._stopping = False
        self._former: dict[Path, Orphan] = {}
        self.show: Callable[[PhotoResult], PhotoResult] = lambda photo: photo

    def add(self, photo: PhotoResult) -> None:
        photo = self.show(photo)
        if (orphan := self._former.get(photo.source)) is not None:
            photo = replace(photo, former=orphan.photo)
        is_failure = self._results.add(photo)
        self.reporter.photo(photo)
        if is_failure and self._fail_fast and not self._stopping:
            self._stopping = True  # photos that are being written may fail, too
            raise _FirstFailure

    def add_unchanged(self, task: Task) -> None:
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
                )
            )
        else:
            self._results.counts[PhotoStatus.UNCHANGED] += 1  # costs next to nothing for 100,000 photos

    def _is_notable(self, task: Task) -> bool:
        """Say whether the summary mentions an unchanged photo."""
        lacks_subject = task.reason == NOT_SHOWN
        is_former = bool(self._former) and task.target.source.path in self._former
        return bool(task.no_subject or task.retouched or task.rejected or is_former or task.names or lacks_subject)

    def add_planned(self, task: Task) -> None:
        target, reason = task.target, task.reason
        crops, edited = target.crops(task.shots), kept_crops(task, KEEP_ALL)
        kept = kept_crops(task, self._allowed)
        if replaced := [path.name for path in edited if path not in kept]:
            reason += f"; keeps {', '.join(replaced)} as backup"
        if deleted := [name for name in task.former_names if target.folder / name not in edited]:
            reason += f"; deletes {', '.join(deleted)}"
        self.add(PhotoResult(target.source.path, PhotoStatus.PLANNED, target.sidecar, crops, reason, kept=kept))

    def add_refused(self, task: Task) -> None:
        self.add(PhotoResult(task.target.source.path, PhotoStatus.FAILED, reason=task.reason))

    def result(self, provider: str = "") -> RunResult:
        seconds = time.monotonic() - self._start
        return self._results.finish(seconds, provider, left=self._left, dry_run=self._dry_run)


class _CropRun(_Run):
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
        self._captions: CaptionService | None = None
        self._limit = options.limit
        self._steps: Steps | None = None
        self._staging: Staging | None = None
        self._pool: RayPool | None = None

    def run(self) -> RunResult:
        options, output = self._options, self._output
        selection = options.selection
        if options.ray is not None:
            from shotcrop_cli.ray_engine.driver import import_ray

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
        model = self._model = self._model or CropModel.find(options.model, self.reporter)
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
            self._former = tracker.former
            if options.dry_run:
                tracker.search(whole.targets, targets, found.roots)
                return self._plan_only(targets, refused, tracker)
            with open_output(output, self._wait(), lambda: _tell_waiting(output, self.reporter), options.shard):
                with list_of_all_runs(output, options.shard):
                    add_roots(output, found.roots)
                self.reporter.start()
                tracker.search(whole.targets, targets, found.roots)
                self._captions = captions
                return self._crop(targets, found.skipped, refused, tracker, state, model.composer)
        finally:
            gc.unfreeze()

    def _run_remote(self) -> RunResult:
        """Crop photos of an object store, or into one."""
        from shotcrop_cli.remote.crop_run import RemoteCrop

        if self._is_ready is not None:
            raise ShotcropError("--watch: only folders of this machine can be watched", hint="run again and again")
        model = self._model = self._model or CropModel.find(self._options.model, self.reporter)
        options = self._options
        wanted = Wanted(model.sha256, options.settings, options.shots, options.subjects, options.sets)
        remote = RemoteCrop(options, self, self.reporter, wanted)

        def show(photo: PhotoResult) -> PhotoResult:
            return photo if remote.staging is None else remote.staging.shown(photo)

        self.show = show
        try:
            with suppress(_FirstFailure):
                remote.work(self._wait())
        finally:
            result = self.result(self._provider())
            self.reporter.finish(result)
        return result

    def crop_part(self, due: Sequence[Task], state: OutputState, staging: Staging) -> bool:
        """Crop some photos whose files are copies below a folder, and say whether to go on."""
        from shotcrop_cli.remote.steps import RemoteSteps

        assert self._model is not None
        self._output, self._staging, self._steps = staging.root, staging, RemoteSteps(staging).steps
        if self._is_time_over():
            self._left += len(due)
        else:
            self._carry_out(due, state, self._model.composer)
        return not self._is_time_over() and (self._limit is None or self._limit > 0)

    def _ray(self, context: RunContext) -> RayPool:
        """Return the Ray workers, which start with the first photo."""
        from shotcrop_cli.ray_engine.driver import RayPool
        from shotcrop_cli.ray_engine.worker import Assignment

        options = self._options
        assert options.ray is not None and self._model is not None
        if self._pool is None:
            assignment = Assignment(
                __version__,
                replace(options.model, device="cpu" if not options.ray.gpus_per_worker else options.model.device),
                options.workers or options.ray.cpus_per_worker,
                Wanted(self._model.sha256, options.settings, options.shots, options.subjects, options.sets),
                context,
                "" if self._staging is None else self._staging.output.url,
                options.overwrite,
                self.reporter.wants_unchanged,
            )
            self._pool = RayPool(options.ray, assignment, self.reporter)
        return self._pool

    def close(self) -> None:
        """End the Ray workers, if there are any."""
        if self._pool is not None:
            self._pool.close()

    def _provider(self) -> str:
        """Say where the model ran; empty if no photo needed it."""
        if self._pool is not None:
            return self._pool.provider
        composer = None if self._model is None else self._model.composer
        return composer.identity.provider if composer is not None and composer.loaded else ""

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
        with suppress(_FirstFailure):
            self._add_refused(refused)
            self._plan_tasks(tracker.decide(targets))
            self._add_orphans(tracker)
        result = self.result()
        self.reporter.finish(result)
        return result

    def _plan_tasks(self, tasks: Iterable[Task]) -> None:
        planned = 0
        for task in tasks:
            if (orphan := self._former.get(task.target.source.path)) is not None:
                self.add_planned(replace(task, reason=f"renamed from {orphan.photo}, its crops would follow"))
            elif task.action is Action.REFUSE:
                self.add_refused(task)
            elif not task.is_due and (task.retouched or task.rejected):
                self.add_unchanged(task)
            elif not task.is_due:
                self._results.counts[PhotoStatus.UNCHANGED] += 1
            elif task.is_first and not self._options.include_crops and looks_like_own_crop(task.target.source.path):
                path = task.target.source.path
                self.add(PhotoResult(path, PhotoStatus.SKIPPED, reason=OWN_CROP_REASON, is_own_crop=True))
            elif self._options.limit is None or planned < self._options.limit:
                planned += 1
                target = task.target.for_format(_read_format(task.target.source), self._options.settings.format)
                self.add_planned(replace(task, target=target))

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
        composer: LazyComposer[MultiDeviceComposer],
    ) -> RunResult:
        try:
            with suppress(_FirstFailure):
                for ignored in skipped:
                    self.add(PhotoResult(ignored.path, PhotoStatus.SKIPPED, reason=ignored.reason))
                self._add_refused(refused)
                due = self._due_tasks(tracker.decide(targets), state)
                self._add_orphans(tracker)
                if due and self._is_time_over():
                    self._left = len(due)
                elif due:
                    self._carry_out(due, state, composer)
        finally:  # an interrupted run reports how far it got, too
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
                self.reporter.detail(f"{task.target.source.path}: to do, {task.reason}")
        with list_of_all_runs(self._output, self._options.shard):
            state.save(merge=self._options.shard is not None)
        return due

    def _carry_out(self, due: Sequence[Task], state: OutputState, composer: LazyComposer[MultiDeviceComposer]) -> None:
        # These load everything that reads and writes pictures, which a run without work does not need.
        from shotcrop_cli.imaging.lossless import MISSING, is_installed
        from shotcrop_cli.pipeline.batch_size import BatchSize, choose_batch_size
        from shotcrop_cli.pipeline.loaded_photo import RunContext
        from shotcrop_cli.pipeline.runner import BYTES_PER_WORKER

        options = self._options
        if options.settings.lossless and not is_installed():
            self.reporter.warn(MISSING)
        needs_model = options.ray is None and any(task.needs_model for task in due[: self._limit])
        model = composer.composer if needs_model else None
        per_device = options.model.batch_size
        if per_device is None and model is not None:
            per_device = model.recall_batch_size()
        # The last digits of the model's sums depend on the other photos of a batch.
        batch_size = BatchSize(1) if options.reproducible else choose_batch_size(model, per_device)
        workers = options.workers or usable_processors()
        byte_budget = usable_memory() // _MEMORY_SHARE
        if model is None or model.on_cpu:
            byte_budget = min(byte_budget, workers * BYTES_PER_WORKER)
        context = RunContext(
            self._output,
            reproducible=options.reproducible,
            min_score=options.min_score,
            max_pixels=options.max_pixels,
            include_crops=options.include_crops,
            allowed=options.allowed,
            captions=options.captions.writes,
        )
        with queue_captions(
            self._captions,
            options.captions,
            self._output,
            self.reporter,
            self.add,
            is_time_over=self._is_time_over,
        ) as add:
            self._crop_in_batches(due, state, composer, context, workers, batch_size, byte_budget, add)
        if model is not None and batch_size.is_automatic and batch_size.is_final:
            model.remember_batch_size(batch_size.size // len(model.devices))

    def _crop_in_batches(
        self,
        due: Sequence[Task],
        state: OutputState,
        composer: LazyComposer[MultiDeviceComposer],
        context: RunContext,
        workers: int,
        batch_size: BatchSize,
        byte_budget: int,
        add: Callable[[PhotoResult], None],
    ) -> None:
        from shotcrop_cli.pipeline.runner import run
        from shotcrop_cli.pipeline.steps import LOCAL_STEPS

        limit = self._limit
        waiting, share = iter(due), len(due) if limit is None else limit
        with self.reporter.progress(min(share, len(due))) as advance:

            def report(photo: PhotoResult) -> None:
                nonlocal share
                if photo.status in (PhotoStatus.FAILED, PhotoStatus.SKIPPED) and limit is not None:
                    share += 1
                else:
                    advance()
                    self._limit = None if self._limit is None else self._limit - 1
                add(photo)

            # As many photos again as have failed or were skipped: otherwise the same ones could use up the limit every
            # night.
            while tasks := tuple(islice(waiting, share)):
                share = 0
                still_due = self._still_due(tasks, state)
                if self._options.ray is not None:
                    self._ray(context).run(still_due, report, self._staging)
                    continue
                run(
                    still_due,
                    composer,
                    context,
                    workers=workers,
                    batch_size=batch_size,
                    report=report,
                    byte_budget=byte_budget,
                    steps=self._steps or LOCAL_STEPS,
                )

    def _still_due(self, tasks: Iterable[Task], state: OutputState) -> Iterator[Task]:
        """Yield tasks until the time is over.

        This respects sidecars that somebody edited while the tasks waited for their turn.
        """
        remaining = iter(tasks)
        for waiting in remaining:
            if self._is_time_over():
                self._left += 1 + sum(1 for _ in remaining)
                return
            task = state.resume(waiting)
            if task.is_due:
                yield task
            elif task.action is Action.REFUSE:
                self.add_refused(task)
            else:
                self.add_unchanged(task)

    def _wait(self) -> float:
        """Return how long to wait for another run, which must not take longer than this run may."""
        wait, max_time = self._options.wait, self._options.max_time
        return wait if max_time is None else min(wait, max(0.0, max_time - (time.monotonic() - self._start)))

    def _is_time_over(self) -> bool:
        max_time = self._options.max_time
        return max_time is not None and time.monotonic() - self._start >= max_time


class _ApplyRun(_Run):
    def __init__(self, options: ApplyOptions, reporter: Reporter) -> None:
        super().__init__(options, reporter)
        self._options = options

    def run(self) -> RunResult:
        urls = [path for path in self._options.sidecars if is_url(path)]
        if not urls:
            for named in self._options.photos:
                refuse_remote(named)
        roots: dict[Path, list[Path]] = {}
        for path in self._options.sidecars:
            if path not in urls:
                roots.setdefault(output_root(path), []).append(path)
        self.reporter.start()
        try:
            with suppress(_FirstFailure):
                for url in urls:
                    self._apply_to_objects(url)
                for root, paths in roots.items():
                    if self._options.dry_run:
                        for task in self._tasks(root, paths):
                            self.add_planned(task)
                    else:
                        self._apply_below(root, paths)
        finally:
            result = self.result()
            self.reporter.finish(result)
        return result

    def _apply_to_objects(self, named: Path) -> None:
        """Apply a sidecar, or those of a folder, in an object store."""
        from shotcrop_cli.remote.apply_run import RemoteApply, output_of
        from shotcrop_cli.remote.steps import RemoteSteps

        options = self._options
        if options.edits is not None:
            raise ShotcropError("--edits: it needs a folder of this machine", hint="download the output first")
        output, name = output_of(named)
        remote = RemoteApply(output, options.photos, self, self._allowed)
        tell = partial(_tell_waiting, UrlPath(output.url), self.reporter)
        with remote.opened(options.wait, tell, writes=not options.dry_run) as staging:
            self.show = staging.shown
            if not options.dry_run:
                self._write(remote.tasks(staging, name), staging.root, RemoteSteps(staging).steps)
                return
            for task in remote.tasks(staging, name):
                self.add_planned(task)
                staging.release(task.target)

    def _apply_below(self, root: Path, paths: Iterable[Path]) -> None:
        from shotcrop_cli.pipeline.steps import LOCAL_STEPS

        with open_output(root, self._options.wait, lambda: _tell_waiting(root, self.reporter)):
            self._write(self._tasks(root, paths), root, LOCAL_STEPS)

    def _write(self, due: Iterable[Task], root: Path, steps: Steps) -> None:
        from shotcrop_cli.imaging.lossless import MISSING, is_installed
        from shotcrop_cli.pipeline.loaded_photo import RunContext
        from shotcrop_cli.pipeline.runner import run

        def tasks() -> Iterator[Task]:
            warned = is_installed()
            for task in due:
                if task.settings.lossless and not warned:
                    self.reporter.warn(MISSING)
                    warned = True
                yield task

        run(
            tasks(),
            LazyComposer(_no_model),
            RunContext(
                root,
                reproducible=self._options.reproducible,
                max_pixels=self._options.max_pixels,
                allowed=self._options.allowed,
            ),
            workers=self._options.workers or usable_processors(),
            batch_size=_APPLY_IN_FLIGHT,
            report=self.add,
            steps=steps,
        )

    def _tasks(self, root: Path, paths: Iterable[Path]) -> Iterator[Task]:
        """Yield what to crop, each sidecar once, and report what cannot be cropped."""
        photo_roots = self._options.photos or read_roots(root)
        if self._options.edits is not None:
            yield from self._edited_tasks(root, photo_roots, self._options.edits)
            return
        seen: set[Path] = set()
        for named in paths:
            for path in sidecars_in(named) if named.is_dir() else (named,):
                if (real := path.resolve()) in seen:
                    continue
                seen.add(real)
                try:
                    task = recrop_task(path, root, photo_roots)
                except (ShotcropError, FileNotFoundError) as error:
                    self.add(PhotoResult(path, PhotoStatus.FAILED, reason=str(error).removeprefix(f"{path}: ")))
                    continue
                if task.shots and (not named.is_dir() or is_pending(task, self._allowed)):
                    yield task

    def _edited_tasks(self, root: Path, photo_roots: Sequence[Path], edits: EditsFile) -> Iterator[Task]:
        """Save the edits of a file, yield what to crop then, and report what cannot be saved or cropped."""
        for edit in edits.photos:
            try:
                path = sidecar_of(root, edit.photo)
                save_edit(path, root, edit, dry_run=self._dry_run)
                task = recrop_task(path, root, photo_roots)
            except FileNotFoundError:
                self.add(PhotoResult(root / edit.photo, PhotoStatus.FAILED, reason=f"it has no sidecar in {root}"))
            except ShotcropError as error:
                self.add(PhotoResult(root / edit.photo, PhotoStatus.FAILED, reason=str(error)))
            else:
                if task.shots and (is_pending(task, self._allowed) or self._dry_run):
                    yield task
                else:
                    self.add(PhotoResult(task.target.source.path, PhotoStatus.DONE, path, rejected=task.rejected))


class _CaptionRun(_Run):
    def __init__(self, options: RecaptionOptions, reporter: Reporter) -> None:
        super().__init__(options, reporter)
        self._options = options

    def run(self) -> RunResult:
        options = self._options
        for named in options.sidecars:
            refuse_remote(named)
        # A dry run sends nothing, so it does not say where to.
        service = find_captions(options.captions, Reporter() if options.dry_run else self.reporter)
        if service is None:
            raise InputError("captions: no server to ask", hint="name an endpoint in CaptionOptions")
        roots: dict[Path, list[Path]] = {}
        for path in options.sidecars:
            roots.setdefault(output_root(path), []).append(path)
        self.reporter.start()
        try:
            with suppress(_FirstFailure):
                for root, paths in roots.items():
                    found = list(dict.fromkeys(path for named in paths for path in _sidecars_of(named)))
                    if options.dry_run:
                        for path in found:
                            self._plan(service, path, root)
                        continue
                    with open_output(root, options.wait, partial(_tell_waiting, root, self.reporter)):
                        self._write(service, found, root)
        finally:
            result = self.result()
            self.reporter.finish(result)
        return result

    def _write(self, service: CaptionService, paths: Sequence[Path], root: Path) -> None:
        options = self._options.captions
        with self.reporter.progress(len(paths)) as advance:

            def report(photo: PhotoResult) -> None:
                advance()
                self.add(photo)

            with queue_captions(service, options, root, self.reporter, report, captions_only=True) as put:
                for path in paths:
                    put(PhotoResult(_photo_of(path), PhotoStatus.DONE, path))

    def _plan(self, service: CaptionService, path: Path, root: Path) -> None:
        try:
            is_due = service.would_write(path, root)
        except (ShotcropError, OSError) as error:
            reason = str(error).removeprefix(f"{path}: ")
            self.add(PhotoResult(path, PhotoStatus.FAILED, reason=reason))
            return
        if is_due:
            self.add(PhotoResult(_photo_of(path), PhotoStatus.PLANNED, path, (path,), "captions are missing or old"))
        else:
            self._results.counts[PhotoStatus.UNCHANGED] += 1


def _sidecars_of(named: Path) -> Iterator[Path]:
    yield from (path.resolve() for path in (sidecars_in(named) if named.is_dir() else (named,)))


def _photo_of(path: Path) -> Path:
    """Return the photo that a sidecar names; the sidecar itself if it cannot be read, which is reported later."""
    try:
        return Path(read(path).source.path)
    except (ShotcropError, FileNotFoundError):
        return path


def _read_format(source: Source) -> Format | None:
    from shotcrop_cli.imaging.content_format import read_format

    return read_format(source.path)


def _tell_waiting(root: Path, reporter: Reporter) -> None:
    reporter.info(f"waiting for another run on {root} to end")


def _no_model() -> NoReturn:
    raise AssertionError("sidecars are applied without a model")
