"""What runs in each Ray worker: the pipeline of a local run, with a model that is loaded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.atomic_write import written_elsewhere
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import Action, Task, Wanted
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.model.lazy import LazyComposer
from shotcrop_cli.model.multi_device import MultiDeviceComposer
from shotcrop_cli.pipeline.batch_size import BatchSize, choose_batch_size
from shotcrop_cli.pipeline.loaded_photo import RunContext
from shotcrop_cli.pipeline.runner import run
from shotcrop_cli.pipeline.steps import LOCAL_STEPS, Steps
from shotcrop_cli.ray_engine.actors import RayWorker
from shotcrop_cli.remote.copies import CopiesFolder
from shotcrop_cli.remote.crop_run import list_names
from shotcrop_cli.remote.staging import Package, Staging
from shotcrop_cli.remote.steps import RemoteSteps
from shotcrop_cli.run_options import ModelOptions
from shotcrop_cli.storage.location import open_storage

Job = tuple[Task, Package | None]
"""A photo to crop; with what the driver knows of its objects if it is in an object store."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker needs to know, the same for all photos.

    Args:
        model: Which model to use.
        threads: Threads of the model and of the pipeline.
        wanted: What the run would make, with the hash of the model.
        context: What is the same for all photos.
        output: URL of the output if it is in an object store or photos are; otherwise empty.
        overwrite: Whether finished photos are cropped again.
        wants_records: Whether results carry their sidecars.
    """

    model: ModelOptions
    threads: int
    wanted: Wanted
    context: RunContext
    output: str = ""
    overwrite: bool = False
    wants_records: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How some photos ended.

    Args:
        results: The photos that ended. Those that are missing were not begun.
        provider: Where the model runs; empty if it was not needed yet.
        error: What ends the run: message, hint and exit code; None if nothing does.
        not_deleted: Objects that could not be deleted.
    """

    results: tuple[PhotoResult, ...]
    provider: str = ""
    error: tuple[str, str, int] | None = None
    not_deleted: tuple[str, ...] = ()


class Worker(RayWorker[list[Job], Outcome]):
    """Crops photos in a process of its own.

    Args:
        assignment: What to do with each of them.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._is_stopping = False
        self._composer = LazyComposer(self._load)
        self._staging: Staging | None = None
        self._folder: CopiesFolder | None = None
        self._context = replace(assignment.context)  # the output folder may have another number on this machine
        if assignment.output:
            self._folder = CopiesFolder()
            output = open_storage(assignment.output)
            self._staging = Staging(self._folder.path, output, wants_records=assignment.wants_records)
            self._context = replace(assignment.context, root=self._staging.root)

    def stop(self) -> None:
        """Begin no more photos."""
        self._is_stopping = True

    def close(self) -> None:
        """Remove the copies of objects."""
        if self._folder is not None:
            self._folder.close()

    def work(self, job: list[Job], again: bool) -> Outcome:
        """Crop photos; see `RayWorker`."""
        results: list[PhotoResult] = []
        error: ShotcropError | None = None
        staging = self._staging
        steps = LOCAL_STEPS if staging is None else RemoteSteps(staging).steps
        try:
            if staging is None:
                self._run(job, again, steps, results)
            else:
                with written_elsewhere(staging.root, staging.carry_out):
                    self._run(job, again, steps, results)
        except ShotcropError as ended:
            error = ended
        not_deleted = () if staging is None else tuple(staging.not_deleted)
        if staging is not None:
            staging.not_deleted.clear()
        provider = self._composer.identity.provider if self._composer.loaded else ""
        said = None if error is None else (error.message, error.hint, int(error.exit_code))
        return Outcome(tuple(results), provider, said, not_deleted)

    def _run(self, jobs: Sequence[Job], again: bool, steps: Steps, results: list[PhotoResult]) -> None:
        model = self._composer.composer if any(task.needs_model for task, _ in jobs) else None
        size = (
            BatchSize(1) if self._context.reproducible else choose_batch_size(model, self._assignment.model.batch_size)
        )
        run(
            self._tasks(jobs, again, results),
            self._composer,
            self._context,
            workers=self._assignment.threads,
            batch_size=size,
            report=results.append,
            steps=steps,
        )

    def _tasks(self, jobs: Sequence[Job], again: bool, results: list[PhotoResult]) -> Iterator[Task]:
        for task, package in jobs:
            if self._is_stopping:
                return
            if package is not None and self._staging is not None:
                task = self._staging.unpack(task, package)
            if again:
                task = self._decide(task)
                if not task.is_due:
                    results.append(self._finished(task))
                    continue
            yield task

    def _decide(self, task: Task) -> Task:
        """Decide again what a photo needs, because a worker that ended may have finished it."""
        assignment, staging = self._assignment, self._staging
        state = OutputState(self._context.root, assignment.wanted, allowed=self._context.allowed)
        if staging is not None:
            staging.look_again(task.target)
            list_names(staging, [task.target], [state])
        again = state.decide(task.target)
        if again.action is Action.REFUSE or (assignment.overwrite and attempted_before(task, again)):
            return replace(again, action=task.action, shots=task.shots, reason=task.reason)
        return again

    def _finished(self, task: Task) -> PhotoResult:
        """Return the result of a photo that a worker finished before it ended."""
        target = task.target
        status = PhotoStatus.NO_SUBJECT if task.no_subject else PhotoStatus.DONE
        result = PhotoResult(target.source.path, status, target.sidecar, target.crops(task.shots))
        if self._staging is not None:
            result = self._staging.shown(result)
            self._staging.release(target)
        return result

    def _load(self) -> MultiDeviceComposer:
        from shotcrop_cli.model.load import find_model, load_composer
        from shotcrop_cli.model.session import parse_devices

        options, wanted = self._assignment.model, self._assignment.wanted
        bundle = find_model(options.name, offline=options.offline)
        if bundle.sha256 != wanted.model_sha256:
            raise ShotcropError(
                f"{options.name or 'the default model'}: a worker has another model of this name",
                hint="install the same version of shotcrop and of the model on every machine",
            )
        devices = parse_devices(options.device)[:1]
        composer = load_composer(bundle, str(devices[0]), providers=options.providers, threads=self._assignment.threads)
        return MultiDeviceComposer([composer], devices)


def attempted_before(task: Task, again: Task) -> bool:
    """Say whether a photo that is to be cropped again is still as it was, as far as its sidecar tells."""
    return again.record is None or (task.record is not None and again.record == task.record)
