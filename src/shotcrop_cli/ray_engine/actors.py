"""Workers of a Ray cluster: each takes some jobs at a time, and others take the jobs of one that ends."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Generic, TypeVar

from shotcrop_cli import __version__
from shotcrop_cli.errors import DeviceError, ExitCode, ShotcropError
from shotcrop_cli.install_hint import add_extras
from shotcrop_cli.library.results import Reporter
from shotcrop_cli.resources import usable_processors
from shotcrop_cli.run_options import RayOptions

J = TypeVar("J")
R = TypeVar("R")

ATTEMPTS = 3
"""Workers that may end while they do a job before somebody has to give it up (our choice)."""
_AHEAD = 2
"""Jobs that a worker may have, so that it never waits. More would only take memory."""
_HOPELESS = 20
"""Workers, or three times their number if that is more, that may end in a row without any result (our choice)."""
_OBJECT_STORE_BYTES = 100 << 20
"""Memory for Ray's object store on this machine. Only results travel, so little is enough."""
_STARTS = 3
"""How often to start a cluster on this machine. Ray gives a node 30 seconds, which a busy machine may miss."""
_LIMITS = {
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "120",
    "RAY_gcs_rpc_server_connect_timeout_s": "60",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_raylet_client_num_connect_attempts": "60",
}
"""Ray's own limits at start-up, in which a busy machine may not have started all processes.

The last one counts attempts a second apart. `raylet_client_connect_timeout_milliseconds` is that pause, not a limit:
with 60,000, every other start took a minute longer.
"""
_STOP_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
_CHECK_SECONDS = 2.0
"""How often to see whether the node to which this process is connected is alive. Ray itself notices after 15 seconds,
and then ends this process without a word."""
_TELL_SECONDS = 60.0
"""After how long a run says that it waits for the cluster to start a worker."""


class RayWorker(Generic[J, R]):
    """What an `ActorPool` needs of a worker. It runs in a process of its own, perhaps on another machine."""

    def check(self, version: str) -> None:
        """Return as soon as this worker can work.

        Args:
            version: The version of shotcrop that starts the workers.

        Raises:
            ShotcropError: This machine has another version of shotcrop.
        """
        if version != __version__:
            raise ShotcropError(
                f"a worker has shotcrop {__version__}, and this is {version}",
                hint="install the same version on every machine",
            )

    def work(self, job: J, again: bool) -> R:
        """Do a job.

        Args:
            job: What to do.
            again: Whether a worker that ended may have begun it, and finished some of it.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Begin no more parts of jobs."""

    def close(self) -> None:
        """Remove what this worker keeps on disk."""


@dataclass(slots=True)
class Chunk(Generic[J]):
    """A job that one worker does.

    Args:
        job: What to do.
        attempts: How many workers ended while they did it.
        again: Whether a worker that ended may have begun it.
    """

    job: J
    attempts: int = 0
    again: bool = False


@dataclass(slots=True)
class _Actor(Generic[J]):
    """A worker.

    Args:
        handle: Ray's name of it.
        starting: What is there as soon as it can work; None afterwards.
        chunks: What it has to do, by Ray's names of the results, in the order in which it works.
    """

    handle: Any
    starting: Any
    chunks: dict[Any, Chunk[J]] = field(default_factory=dict)


class ActorPool(Generic[J, R]):
    """Workers of a Ray cluster, which is started on this machine unless the options name another one.

    Args:
        options: Which cluster, and how many workers.
        kind: The class of the workers.
        assignment: What `kind` gets when it starts.
        reporter: Receives messages.

    Raises:
        ShotcropError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self, options: RayOptions, kind: Callable[[Any], RayWorker[J, R]], assignment: object, reporter: Reporter
    ) -> None:
        self._ray = ray = import_ray()
        self._options, self._reporter = options, reporter
        self._starts_cluster = not ray.is_initialized()
        if self._starts_cluster:
            _connect(ray, options)
        self._class = ray.remote(concurrency_groups={"control": 1})(kind)
        self._assignment = ray.put(assignment)
        self._own_node = _own_node(ray, options)
        total = int(ray.cluster_resources().get("CPU", 1))
        self.size = options.workers or max(1, total // max(1, options.cpus_per_worker))
        self._actors: list[_Actor[J]] = [self._start() for _ in range(self.size)]
        self._again: deque[Chunk[J]] = deque()
        self._lost_in_a_row = 0
        reporter.detail(f"{self.size} Ray workers on {len(ray.nodes())} machines")

    def results(
        self, chunks: Iterable[Chunk[J]], lost: Callable[[Chunk[J]], Iterable[Chunk[J]]]
    ) -> Iterator[tuple[Chunk[J], R]]:
        """Let the workers do jobs, and yield each with its result as it comes.

        Args:
            chunks: The jobs, taken as the workers need them.
            lost: Gets a job whose worker ended, and returns what to do in its place.

        Raises:
            ShotcropError: The workers cannot work.
        """
        waiting = iter(chunks)
        checked = told = time.monotonic()
        while self._fill(waiting):
            references = [
                *chain.from_iterable(actor.chunks for actor in self._actors),
                *(actor.starting for actor in self._actors if actor.starting is not None),
            ]
            done, _ = self._ray.wait(references, num_returns=1, timeout=_CHECK_SECONDS)
            if done:
                yield from self._take(done[0], lost)
            now = time.monotonic()
            if now - checked >= _CHECK_SECONDS:
                checked = now
                self._check_own_node()
            if any(actor.chunks for actor in self._actors):
                told = now
            elif now - told >= _TELL_SECONDS:
                told = now
                self._reporter.info("waiting for the Ray cluster to start a worker; `ray status` shows what it has")

    def stop(self) -> Iterator[R]:
        """Let the workers finish what they have begun, and yield the results."""
        self._again.clear()
        with suppress(Exception):
            for actor in self._actors:
                actor.handle.stop.options(concurrency_group="control").remote()
            flying = list(chain.from_iterable(actor.chunks for actor in self._actors))
            done, _ = self._ray.wait(flying, num_returns=len(flying), timeout=_STOP_SECONDS)
            for reference in done:
                with suppress(Exception):
                    yield self._ray.get(reference)

    def close(self) -> None:
        """End the workers, and the cluster if it was started for this run. It may be called again."""
        if not self._actors:  # Ray would start again for any call
            return
        with suppress(Exception):
            closing = [actor.handle.close.options(concurrency_group="control").remote() for actor in self._actors]
            self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for actor in self._actors:
            with suppress(Exception):
                self._ray.kill(actor.handle)
        self._actors.clear()
        if self._starts_cluster:
            self._ray.shutdown()

    def _check_own_node(self) -> None:
        """Raise an error if the node has ended to which this process is connected."""
        try:
            if self._own_node is not None:
                socket.create_connection(self._own_node, timeout=_CHECK_SECONDS).close()
        except ConnectionRefusedError:
            raise DeviceError(
                "--engine ray: the Ray node of this process has ended", hint="run the same command again"
            ) from None
        except OSError:  # a machine that is too busy to answer
            pass

    def _fill(self, waiting: Iterator[Chunk[J]]) -> bool:
        """Give chunks to the workers that have the fewest, and say whether there is anything to wait for."""
        while True:
            chunk = self._again.popleft() if self._again else next(waiting, None)
            if chunk is None:
                return any(actor.chunks for actor in self._actors)
            free = [actor for actor in self._actors if actor.starting is None and len(actor.chunks) < _AHEAD]
            if not free:
                self._again.appendleft(chunk)
                return True
            actor = min(free, key=lambda one: len(one.chunks))
            actor.chunks[actor.handle.work.remote(chunk.job, chunk.again)] = chunk

    def _take(self, reference: Any, lost: Callable[[Chunk[J]], Iterable[Chunk[J]]]) -> Iterable[tuple[Chunk[J], R]]:
        """Take a result, or what happened instead."""
        at = next(
            at for at, actor in enumerate(self._actors) if reference in actor.chunks or reference == actor.starting
        )
        actor = self._actors[at]
        is_start = reference not in actor.chunks
        try:
            result = self._get(reference)
        except self._ray.exceptions.RayError:
            return self._lose(at, lost)
        self._lost_in_a_row = 0 if not is_start else self._lost_in_a_row
        if is_start:
            actor.starting = None
            return ()
        return ((actor.chunks.pop(reference), result),)

    def _get(self, reference: Any) -> R:
        """Return a result.

        Raises:
            ShotcropError: The workers cannot work.
            RayError: The worker ended.
        """
        try:
            result: R = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ShotcropError):
                raise error.cause from None
            raise _broken(error) from error
        except self._ray.exceptions.RayActorError as error:
            if error.actor_init_failed:
                raise _broken(error) from error
            raise
        return result

    def _lose(self, at: int, lost: Callable[[Chunk[J]], Iterable[Chunk[J]]]) -> list[tuple[Chunk[J], R]]:
        """Start another worker in place of one that ended, and let others do its jobs.

        Returns:
            What it had finished.
        """
        actor = self._actors[at]
        self._lost_in_a_row += 1
        if self._lost_in_a_row > max(_HOPELESS, 3 * self.size):
            raise ShotcropError(
                f"{self._lost_in_a_row} Ray workers ended in a row without any result",
                hint="give them more memory with fewer --workers, and see Ray's logs",
            )
        self._reporter.detail("a Ray worker ended; its photos go to another one")
        with suppress(Exception):
            self._ray.kill(actor.handle)
        self._actors[at] = self._start()
        finished: list[tuple[Chunk[J], R]] = []
        # Only the first one that is not finished can be the reason why the worker ended. The others were waiting.
        is_reason = actor.starting is None
        for reference, chunk in actor.chunks.items():
            if self._ray.wait([reference], timeout=0)[0]:
                with suppress(self._ray.exceptions.RayError):
                    finished.append((chunk, self._get(reference)))
                    continue
            again = Chunk(chunk.job, chunk.attempts + is_reason, again=True)
            self._again.extend(lost(again) if is_reason else (again,))
            is_reason = False
        return finished

    def _start(self) -> _Actor[J]:
        options = self._options
        resources = {"num_cpus": options.cpus_per_worker, "num_gpus": options.gpus_per_worker}
        handle = self._class.options(**resources, max_restarts=0, max_task_retries=0).remote(self._assignment)
        return _Actor(handle, handle.check.remote(__version__))


def _own_node(ray: Any, options: RayOptions) -> tuple[str, int] | None:
    """Return address and port of the node to which this process is connected; None through the Ray client."""
    if (options.address or "").startswith("ray://"):
        return None
    own = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == own)
    return node["NodeManagerAddress"], node["NodeManagerPort"]


def _broken(error: Exception) -> ShotcropError:
    """Return the error for workers that cannot work at all."""
    return ShotcropError(
        f"a Ray worker failed: {str(error).strip().splitlines()[-1]}",
        hint="see Ray's logs, and check that each machine has the same version of shotcrop",
        exit_code=ExitCode.BUG,
    )


def import_ray() -> Any:
    """Return the module of Ray.

    Raises:
        ShotcropError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    for name, value in _LIMITS.items():
        os.environ.setdefault(name, value)
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
    # Ray prints what happens to its processes to stdout, which is for results. No option of `ray.init` prevents that.
    ray._private.worker._worker_logs_enabled = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    for attempt in range(_STARTS):
        try:
            ray.init(**arguments)
            break
        except Exception as error:  # Ray raises Exception itself if a busy machine starts too slowly
            ray.shutdown()
            if options.address is None and attempt < _STARTS - 1:
                continue
            raise ShotcropError(
                f"--engine ray: {options.address or 'a cluster on this machine'} cannot be used: "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}",
                hint="check --ray-address, or start a cluster with `ray start --head`",
            ) from error
    if options.address is None and options.gpus_per_worker > ray.cluster_resources().get("GPU", 0):
        ray.shutdown()
        raise DeviceError(
            f"--gpus-per-worker {options.gpus_per_worker:g}: Ray finds no such GPU on this machine",
            hint="leave it out, or name a cluster that has GPUs with --ray-address",
        )
