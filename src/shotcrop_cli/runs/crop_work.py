"""Crop the photos of a run that are due: in batches, in this process or by Ray workers, up to a limit or a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import Action, Task, Wanted
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.resources import usable_memory, usable_processors
from shotcrop_cli.run_options import CropOptions
from shotcrop_cli.runs.captioner import queue_captions
from shotcrop_cli.runs.crop_model import CropModel
from shotcrop_cli.runs.run import Run

if TYPE_CHECKING:
    from shotcrop_cli.captions.service import CaptionService
    from shotcrop_cli.model.multi_device import MultiDeviceComposer
    from shotcrop_cli.pipeline.batch_size import BatchSize
    from shotcrop_cli.pipeline.loaded_photo import RunContext
    from shotcrop_cli.ray_engine.driver import RayPool
    from shotcrop_cli.remote.staging import Staging

_Report: TypeAlias = Callable[[PhotoResult], None]
_Crop: TypeAlias = Callable[[Iterable[Task], _Report], None]
"""Crops photos and reports each of them."""

_MEMORY_SHARE = 4
"""Decoded photos may take one part in this many of the memory. That is enough for the large batches of a GPU."""


class CropWork:
    """Crops what is due, and loads the model when the first photo needs it.

    Args:
        options: What the run does.
        model: Its model.
        run: Takes the results.
        captions: Writes captions; None if the run asks no captioner.
    """

    def __init__(self, options: CropOptions, model: CropModel, run: Run, captions: CaptionService | None) -> None:
        self._options, self._model, self._run, self._captions = options, model, run, captions
        self._limit = options.limit
        self._pool: RayPool | None = None

    @property
    def provider(self) -> str:
        """Where the model ran; empty if no photo needed it."""
        if self._pool is not None:
            return self._pool.provider
        composer = self._model.composer
        return composer.identity.provider if composer.loaded else ""

    @property
    def is_time_over(self) -> bool:
        """Whether the run must begin no more photos."""
        max_time = self._options.max_time
        return max_time is not None and self._run.seconds >= max_time

    @property
    def is_over(self) -> bool:
        """Whether the time is over or the limit is reached."""
        return self.is_time_over or (self._limit is not None and self._limit <= 0)

    def close(self) -> None:
        """End the Ray workers, if there are any."""
        if self._pool is not None:
            self._pool.close()

    def carry_out(self, due: Sequence[Task], state: OutputState, output: Path, staging: Staging | None = None) -> None:
        """Crop photos until the limit is reached or the time is over.

        Args:
            due: The photos.
            state: What the output has of them.
            output: The output folder.
            staging: Copies the files from and to an object store; None for local files.
        """
        if not due:
            return
        if self.is_time_over:
            self._run.left += len(due)
            return
        # These load everything that reads and writes pictures, which a run without work does not need.
        from shotcrop_cli.imaging.lossless import MISSING, is_installed
        from shotcrop_cli.pipeline.batch_size import BatchSize, choose_batch_size
        from shotcrop_cli.pipeline.loaded_photo import RunContext

        options, reporter = self._options, self._run.reporter
        if options.settings.lossless and not is_installed():
            reporter.warn(MISSING)
        needs_model = options.ray is None and any(task.needs_model for task in due[: self._limit])
        model = self._model.composer.composer if needs_model else None
        per_device = options.model.batch_size
        if per_device is None and model is not None:
            per_device = model.recall_batch_size()
        # The last digits of the model's sums depend on the other photos of a batch.
        batch_size = BatchSize(1) if options.reproducible else choose_batch_size(model, per_device)
        context = RunContext(
            output,
            reproducible=options.reproducible,
            min_score=options.min_score,
            max_pixels=options.max_pixels,
            include_crops=options.include_crops,
            allowed=options.allowed,
        )
        if options.ray is None:
            crop = self._here(model, context, batch_size, staging)
        else:
            crop = partial(self._ray(context, staging).run, staging=staging)
        with queue_captions(
            self._captions, options.captions, output, reporter, self._run.add, is_time_over=lambda: self.is_time_over
        ) as add:
            self._crop_in_shares(due, state, crop, add)
        if model is not None and batch_size.is_automatic and batch_size.is_final:
            model.remember_batch_size(batch_size.size // len(model.devices))

    def _here(
        self,
        model: MultiDeviceComposer | None,
        context: RunContext,
        batch_size: BatchSize,
        staging: Staging | None,
    ) -> _Crop:
        """Return what crops photos in this process."""
        from shotcrop_cli.pipeline.runner import BYTES_PER_WORKER, run
        from shotcrop_cli.pipeline.steps import LOCAL_STEPS

        steps = LOCAL_STEPS
        if staging is not None:
            from shotcrop_cli.remote.steps import RemoteSteps

            steps = RemoteSteps(staging).steps
        workers = self._options.workers or usable_processors()
        byte_budget = usable_memory() // _MEMORY_SHARE
        if model is None or model.on_cpu:
            byte_budget = min(byte_budget, workers * BYTES_PER_WORKER)

        def crop(tasks: Iterable[Task], report: _Report) -> None:
            run(
                tasks,
                self._model.composer,
                context,
                workers=workers,
                batch_size=batch_size,
                report=report,
                byte_budget=byte_budget,
                steps=steps,
            )

        return crop

    def _ray(self, context: RunContext, staging: Staging | None) -> RayPool:
        """Return the Ray workers, which start with the first photo."""
        from shotcrop_cli.ray_engine.driver import RayPool
        from shotcrop_cli.ray_engine.worker import Assignment

        options, reporter = self._options, self._run.reporter
        assert options.ray is not None
        if self._pool is None:
            assignment = Assignment(
                replace(options.model, device="cpu" if not options.ray.gpus_per_worker else options.model.device),
                options.workers or options.ray.cpus_per_worker,
                Wanted(self._model.sha256, options.settings, options.shots, options.subjects, options.sets),
                context,
                "" if staging is None else staging.output.url,
                options.overwrite,
                reporter.wants_unchanged,
            )
            self._pool = RayPool(options.ray, assignment, reporter)
        return self._pool

    def _crop_in_shares(self, due: Sequence[Task], state: OutputState, crop: _Crop, add: _Report) -> None:
        """Crop as many photos as the limit allows, and report each of them."""
        limit = self._limit
        waiting, share = iter(due), len(due) if limit is None else limit
        with self._run.reporter.progress(min(share, len(due))) as advance:

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
                crop(self._still_due(tasks, state), report)
        self._run.beyond_limit += sum(1 for _ in waiting)

    def _still_due(self, tasks: Iterable[Task], state: OutputState) -> Iterator[Task]:
        """Yield tasks until the time is over.

        This respects sidecars that somebody edited while the tasks waited for their turn.
        """
        remaining = iter(tasks)
        for waiting in remaining:
            if self.is_time_over:
                self._run.left += 1 + sum(1 for _ in remaining)
                return
            task = state.resume(waiting)
            if task.is_due:
                yield task
            elif task.action is Action.REFUSE:
                self._run.add_refused(task)
            else:
                self._run.add_unchanged(task)
