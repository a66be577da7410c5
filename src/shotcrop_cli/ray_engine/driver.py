"""Hand photos to Ray workers, and take each result once, whatever happens to the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.library.output_folder import note_kill
from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter
from shotcrop_cli.ray_engine.actors import ATTEMPTS, ActorPool, Chunk
from shotcrop_cli.ray_engine.worker import Assignment, Job, Outcome, Worker
from shotcrop_cli.remote.staging import Staging
from shotcrop_cli.run_options import RayOptions

CHUNK = 8
"""Photos that a worker gets at once (our choice: about a second of work)."""


class RayPool:
    """Ray workers that crop; see `ActorPool`.

    Args:
        options: Which cluster, and how many workers.
        assignment: What the workers do.
        reporter: Receives messages.

    Raises:
        ShotcropError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, options: RayOptions, assignment: Assignment, reporter: Reporter) -> None:
        self._pool: ActorPool[list[Job], Outcome] = ActorPool(options, Worker, assignment, reporter)
        self._output = assignment.context.root
        self.provider = ""

    def run(
        self,
        tasks: Iterable[Task],
        report: Callable[[PhotoResult], None],
        staging: Staging | None = None,
    ) -> None:
        """Crop photos and report each result as it comes; see `pipeline.runner.run`.

        Args:
            tasks: What to do, taken as the workers need it.
            report: Called once per photo.
            staging: Knows the objects of each photo; None if all files are on disks that all machines share.

        Raises:
            ShotcropError: The output cannot be written, or the workers cannot work.
        """

        def lost(chunk: Chunk[list[Job]]) -> Iterator[Chunk[list[Job]]]:
            """Yield the photos of a worker that ended, each alone, because one of them may be the reason."""
            if staging is None:
                note_kill(self._output)
            if len(chunk.job) > 1:
                yield from (Chunk([job], again=True) for job in chunk.job)
                return
            if chunk.attempts < ATTEMPTS:
                yield chunk
                return
            task, package = chunk.job[0]
            if staging is not None:
                staging.release(task.target)
            path = task.target.source.path if package is None else package.shown
            reason = f"{ATTEMPTS} workers ended while they cropped it. Fix: give them more memory, or exclude the photo"
            report(PhotoResult(path, PhotoStatus.FAILED, reason=reason))

        try:
            for chunk, outcome in self._pool.results(_chunks(tasks, staging), lost):
                if staging is not None:
                    staging.not_deleted += outcome.not_deleted
                    for task, _ in chunk.job:
                        staging.release(task.target)
                self._accept(outcome, report)
        except BaseException:
            for outcome in self._pool.stop():
                for result in outcome.results:
                    report(result)
            raise

    def close(self) -> None:
        """End the workers, and the cluster if it was started for this run."""
        self._pool.close()

    def _accept(self, outcome: Outcome, report: Callable[[PhotoResult], None]) -> None:
        self.provider = outcome.provider or self.provider
        ended: BaseException | None = None
        for result in outcome.results:
            try:
                report(result)
            except BaseException as error:  # the others have ended, too, so each needs its record
                ended = ended or error
        if ended is not None:
            raise ended
        if outcome.error is not None:
            message, hint, code = outcome.error
            raise ShotcropError(message, hint=hint, exit_code=ExitCode(code))


def _chunks(tasks: Iterable[Task], staging: Staging | None) -> Iterator[Chunk[list[Job]]]:
    remaining = iter(tasks)
    while some := list(islice(remaining, CHUNK)):
        yield Chunk([(task, None if staging is None else staging.pack(task)) for task in some])
