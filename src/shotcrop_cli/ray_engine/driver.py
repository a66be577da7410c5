"""Hand photos to Ray workers, and take each result once, whatever happens to the workers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.install_hint import add_extras
from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter
from shotcrop_cli.ray_engine.worker import Assignment, Job, Outcome, Worker
from shotcrop_cli.remote.staging import Staging
from shotcrop_cli.resources import usable_processors
from shotcrop_cli.run_options import RayOptions

CHUNK = 8
"""Photos that a worker gets at once (our choice: about a second of work)."""
_AHEAD = 2
"""Chunks that a worker may have, so that it never waits. More would only take memory."""
_ATTEMPTS = 3
"""Workers that may end while they crop a photo alone before it counts as failed (our choice)."""
_OBJECT_STORE_BYTES = 100 << 20
"""Memory for Ray's object store on this machine. Only results travel, so little is enough."""
_STARTS = 3
"""How often to start a cluster on this machine. Ray gives a node 30 seconds, which a busy machine may miss."""
_STOP_SECONDS = 60.0
_CLOSE_SECONDS = 5.0


@dataclass(slots=True)
class _Chunk:
    """Photos that one worker crops.

    Args:
        jobs: The photos.
        attempt: How many workers ended while they cropped them.
    """

    jobs: list[Job]
    attempt: int = 0


class RayPool:
    """Workers of a Ray cluster, which is started on this machine unless the options name another one.

    Args:
        options: Which cluster, and how many workers.
        assignment: What the workers do.
        reporter: Receives messages.

    Raises:
        ShotcropError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, options: RayOptions, assignment: Assignment, reporter: Reporter) -> None:
        self._ray = ray = import_ray()
        self._options, self._assignment, self._reporter = options, assignment, reporter
        self._starts_cluster = not ray.is_initialized()
        if self._starts_cluster:
            _connect(ray, options)
        self._class = ray.remote(concurrency_groups={"control": 1})(Worker)
        total = int(ray.cluster_resources().get("CPU", 1))
        self.size = options.workers or max(1, total // max(1, options.cpus_per_worker))
        self._actors: list[Any] = [self._start() for _ in range(self.size)]
        self.provider = ""
        self.lost = 0
        reporter.detail(f"{self.size} Ray workers on {len(ray.nodes())} machines")

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
        waiting = _chunks(tasks, staging)
        again: deque[_Chunk] = deque()
        flying: dict[Any, tuple[int, _Chunk]] = {}
        try:
            while True:
                self._fill(waiting, again, flying)
                if not flying:
                    return
                done, _ = self._ray.wait(list(flying), num_returns=1)
                for reference in done:
                    at, chunk = flying.pop(reference)
                    self._take(reference, at, chunk, again, report, staging)
        except BaseException:
            self._stop(flying, report)
            raise

    def close(self) -> None:
        """End the workers, and the cluster if it was started for this run."""
        with suppress(Exception):
            closing = [actor.close.options(concurrency_group="control").remote() for actor in self._actors]
            self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for actor in self._actors:
            with suppress(Exception):
                self._ray.kill(actor)
        if self._starts_cluster:
            self._ray.shutdown()

    def _fill(self, waiting: Iterator[_Chunk], again: deque[_Chunk], flying: dict[Any, tuple[int, _Chunk]]) -> None:
        """Give chunks to the workers that have the fewest."""
        busy = [0] * len(self._actors)
        for at, _ in flying.values():
            busy[at] += 1
        while (at := min(range(len(busy)), key=busy.__getitem__)) is not None and busy[at] < _AHEAD:
            chunk = again.popleft() if again else next(waiting, None)
            if chunk is None:
                return
            flying[self._actors[at].crop.remote(chunk.jobs, chunk.attempt)] = (at, chunk)
            busy[at] += 1

    def _take(
        self,
        reference: Any,
        at: int,
        chunk: _Chunk,
        again: deque[_Chunk],
        report: Callable[[PhotoResult], None],
        staging: Staging | None,
    ) -> None:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ShotcropError):
                raise error.cause from None
            raise ShotcropError(
                f"a Ray worker failed: {str(error).strip().splitlines()[-1]}",
                hint="see Ray's logs, and check that each machine has the same version of shotcrop",
                exit_code=ExitCode.BUG,
            ) from error
        except self._ray.exceptions.RayError:
            self._replace(at)
            again.extend(self._retries(chunk, report, staging))
            return
        self.provider = outcome.provider or self.provider
        if staging is not None:
            staging.not_deleted += outcome.not_deleted
            for task, _ in chunk.jobs:
                staging.release(task.target)
        for result in outcome.results:
            report(result)
        if outcome.error is not None:
            message, hint, code = outcome.error
            raise ShotcropError(message, hint=hint, exit_code=ExitCode(code))

    def _retries(
        self, chunk: _Chunk, report: Callable[[PhotoResult], None], staging: Staging | None
    ) -> Iterator[_Chunk]:
        """Yield the photos of a worker that ended, each alone, because one of them may be the reason."""
        if chunk.attempt + 1 < _ATTEMPTS or len(chunk.jobs) > 1:
            yield from (_Chunk([job], chunk.attempt + 1) for job in chunk.jobs)
            return
        task, package = chunk.jobs[0]
        if staging is not None:
            staging.release(task.target)
        path = task.target.source.path if package is None else package.shown
        reason = f"{_ATTEMPTS} workers ended while they cropped it. Fix: give them more memory, or exclude the photo"
        report(PhotoResult(path, PhotoStatus.FAILED, reason=reason))

    def _replace(self, at: int) -> None:
        """Start another worker in place of one that ended."""
        self.lost += 1
        self._reporter.detail("a Ray worker ended; its photos go to another one")
        with suppress(Exception):
            self._ray.kill(self._actors[at])
        self._actors[at] = self._start()

    def _start(self) -> Any:
        options = self._options
        resources = {"num_cpus": options.cpus_per_worker, "num_gpus": options.gpus_per_worker}
        return self._class.options(**resources, max_restarts=0, max_task_retries=0).remote(self._assignment)

    def _stop(self, flying: dict[Any, tuple[int, _Chunk]], report: Callable[[PhotoResult], None]) -> None:
        """Let the workers finish the photos that they have begun, and report them."""
        with suppress(Exception):
            for actor in self._actors:
                actor.stop.options(concurrency_group="control").remote()
            done, _ = self._ray.wait(list(flying), num_returns=len(flying), timeout=_STOP_SECONDS)
            for reference in done:
                with suppress(Exception):
                    for result in self._ray.get(reference).results:
                        report(result)


def _chunks(tasks: Iterable[Task], staging: Staging | None) -> Iterator[_Chunk]:
    remaining = iter(tasks)
    while chunk := list(islice(remaining, CHUNK)):
        yield _Chunk([(task, None if staging is None else staging.pack(task)) for task in chunk])


def import_ray() -> Any:
    """Return the module of Ray.

    Raises:
        ShotcropError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine takes longer than Ray's 30
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ShotcropError("--engine ray: Ray is not installed", hint=add_extras("ray")) from error
    return ray


def _connect(ray: Any, options: RayOptions) -> None:
    """Connect to a cluster, or start one on this machine."""
    arguments: dict[str, Any] = {"address": options.address, "log_to_driver": False, "configure_logging": False}
    if options.address is None:
        cpus = max(usable_processors(), (options.workers or 1) * options.cpus_per_worker)
        arguments |= {
            "address": "local",
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    for attempt in range(_STARTS):
        try:
            ray.init(**arguments)
            return
        except Exception as error:  # Ray raises Exception itself if a busy machine starts too slowly
            ray.shutdown()
            if options.address is None and attempt < _STARTS - 1:
                continue
            raise ShotcropError(
                f"--engine ray: {options.address or 'a cluster on this machine'} cannot be used: "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}",
                hint="check --ray-address, or start a cluster with `ray start --head`",
            ) from error
