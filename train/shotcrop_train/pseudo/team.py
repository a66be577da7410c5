"""Proposers and scorers, and who asks them: this process, or the workers of a Ray cluster."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.results import Reporter
from shotcrop_cli.ray_engine.actors import ATTEMPTS, ActorPool, Chunk, RayWorker
from shotcrop_cli.run_options import RayOptions
from shotcrop_train.pseudo.proposers import Proposer
from shotcrop_train.scorers import Scorer

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Team:
    """Loaded models.

    Args:
        proposers: They propose boxes.
        scorers: The criteria.
    """

    proposers: Sequence[Proposer]
    scorers: Sequence[Scorer]


Load = Callable[[], Team]
"""Loads a team. It has to be picklable if Ray workers call it."""


class Labellers(ABC):
    """Asks a team, or several of them at the same time."""

    @abstractmethod
    def map(self, function: Callable[[Team, J], R], jobs: Iterable[J]) -> Iterator[tuple[J, R]]:
        """Yield each job with what a function returns for a team and that job, in the order of the jobs."""


@contextmanager
def labellers(load: Load, ray: RayOptions | None) -> Iterator[Labellers]:
    """Load the team here, or start Ray workers that load it.

    Raises:
        ShotcropError: A model cannot be loaded, or there is no Ray cluster.
    """
    if ray is None:
        yield _Local(load())
        return
    workers = _OnRay(load, ray)
    try:
        yield workers
    finally:
        workers.close()


class _Local(Labellers):
    def __init__(self, team: Team) -> None:
        self._team = team

    def map(self, function: Callable[[Team, J], R], jobs: Iterable[J]) -> Iterator[tuple[J, R]]:
        return ((job, function(self._team, job)) for job in jobs)


_Call = tuple[int, Callable[[Team, Any], Any], Any]
"""The number of a job, what to do, and the job."""


class _OnRay(Labellers):
    def __init__(self, load: Load, options: RayOptions) -> None:
        assignment = (load, options.gpus_per_worker > 0)
        self._pool: ActorPool[_Call, Any] = ActorPool(options, TeamWorker, assignment, _Messages())

    def map(self, function: Callable[[Team, J], R], jobs: Iterable[J]) -> Iterator[tuple[J, R]]:
        waiting: dict[int, tuple[J, R]] = {}
        due = 0
        calls: Iterator[Chunk[_Call]] = (Chunk((number, function, job)) for number, job in enumerate(jobs))
        for chunk, result in self._pool.results(calls, _lost):
            number, _, job = chunk.job
            waiting[number] = (job, result)
            while due in waiting:
                yield waiting.pop(due)
                due += 1

    def close(self) -> None:
        self._pool.close()


class TeamWorker(RayWorker[_Call, Any]):
    """Asks a team in a process of its own.

    Args:
        assignment: What loads the team, and whether it may use GPUs.
    """

    def __init__(self, assignment: tuple[Load, bool]) -> None:
        self._load, uses_gpus = assignment
        self._team: Team | None = None
        if not uses_gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def work(self, job: _Call, again: bool) -> Any:
        """Call a function; see `Labellers.map`."""
        if self._team is None:
            self._team = self._load()
        _, function, content = job
        return function(self._team, content)


def _lost(chunk: Chunk[_Call]) -> Iterable[Chunk[_Call]]:
    if chunk.attempts < ATTEMPTS:
        return (chunk,)
    raise ShotcropError(
        f"{ATTEMPTS} Ray workers ended while they labelled the same photos",
        hint="give them more memory with fewer --workers, or make `chunk` smaller",
    )


class _Messages(Reporter):
    """Prints what matters while workers are awaited."""

    def info(self, text: str) -> None:
        print(text, file=sys.stderr)
