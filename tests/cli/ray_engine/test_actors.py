"""What happens to jobs whose worker ends, with a stand-in for Ray that does jobs when somebody waits for them."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shotcrop_cli.errors import DeviceError, ExitCode, ShotcropError
from shotcrop_cli.library.results import Reporter
from shotcrop_cli.ray_engine import actors
from shotcrop_cli.ray_engine.actors import ATTEMPTS, ActorPool, Chunk, RayWorker
from shotcrop_cli.run_options import RayOptions


class RayError(Exception):
    pass


class RayActorError(RayError):
    actor_init_failed = False


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(f"Traceback\nE: {cause}")
        self.cause = cause


class Death(Exception):
    """Ends the worker that raises it, as the signal KILL does."""


class Reference:
    """A result that is there, or not yet."""

    def __init__(self, actor: Actor, call: Callable[[], Any]) -> None:
        self.actor, self.call = actor, call
        self.result: Any = None
        self.error: Exception | None = None
        self.is_ready = False

    def settle(self) -> None:
        try:
            self.result = self.call()
        except Death:
            self.actor.die()
        except Exception as error:
            self.error, self.is_ready = RayTaskError(error), True
        self.is_ready = True


class Actor:
    """A worker that does its jobs in order, one at each `wait`."""

    def __init__(self, worker: RayWorker[Any, Any]) -> None:
        self.worker, self.queue, self.is_dead = worker, list[Reference](), False

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Reference:
            reference = Reference(self, lambda: getattr(self.worker, name)(*arguments))
            self.queue.append(reference)
            if self.is_dead:
                self.die()
            return reference

        method = SimpleNamespace(remote=remote)
        method.options = lambda **_: method
        return method

    def die(self) -> None:
        self.is_dead = True
        for reference in self.queue:
            if not reference.is_ready:
                reference.error, reference.is_ready = RayActorError("it ended"), True

    def step(self) -> None:
        waiting = [reference for reference in self.queue if not reference.is_ready]
        if waiting and not self.is_dead:
            waiting[0].settle()


class FakeRay:
    """Has what `ActorPool` uses of the module of Ray."""

    exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError, RayTaskError=RayTaskError)

    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self.is_up = False
        self.raylet = socket.create_server(("127.0.0.1", 0))

    def is_initialized(self) -> bool:
        return self.is_up

    def init(self, **_: Any) -> None:
        self.is_up = True

    def shutdown(self) -> None:
        self.is_up = False

    _private = SimpleNamespace(worker=SimpleNamespace())

    def put(self, value: Any) -> Any:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, Any]]:
        address, port = self.raylet.getsockname()
        return [{"NodeID": "a"}, {"NodeID": "b", "NodeManagerAddress": address, "NodeManagerPort": port}]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "b")

    def remote(self, **_: Any) -> Callable[[Any], Any]:
        def wrap(kind: Any) -> Any:
            def start(assignment: Any) -> Actor:
                self.actors.append(Actor(kind(assignment)))
                return self.actors[-1]

            return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=start))

        return wrap

    def wait(
        self, references: list[Reference], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Reference], list[Reference]]:
        assert self.is_up, "Ray would start again"
        if timeout != 0:
            while sum(one.is_ready for one in references) < num_returns:
                for actor in self.actors:
                    actor.step()
        ready = [one for one in references if one.is_ready][:num_returns]
        return ready, [one for one in references if one not in ready]

    def get(self, reference: Reference) -> Any:
        if reference.error is not None:
            raise reference.error
        return reference.result

    def kill(self, actor: Actor) -> None:
        actor.die()


class Doubler(RayWorker[int, int]):
    """Doubles numbers. Some of them end the worker, so many times."""

    def __init__(self, deadly: Counter[int]) -> None:
        self.deadly = deadly

    def work(self, job: int, again: bool) -> int:
        if self.deadly[job]:
            self.deadly[job] -= 1
            raise Death
        if job < 0:
            raise ShotcropError("a number is negative", exit_code=ExitCode.OUTPUT)
        return 2 * job


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    monkeypatch.setattr(actors, "import_ray", lambda: fake)
    with fake.raylet:
        yield fake


def lost(chunk: Chunk[int]) -> Iterator[Chunk[int]]:
    if chunk.attempts < ATTEMPTS:
        yield chunk


def doubled(deadly: dict[int, int], numbers: int = 20) -> list[tuple[int, int]]:
    pool = ActorPool(RayOptions(workers=2), Doubler, Counter(deadly), Reporter())
    try:
        return sorted((chunk.job, result) for chunk, result in pool.results(map(Chunk, range(numbers)), lost))
    finally:
        pool.close()
        pool.close()


WHOLE = [(number, 2 * number) for number in range(20)]


@pytest.mark.parametrize("deadly", [{}, {0: 1}, {3: 2}, {0: 2, 1: 2, 2: 2}, dict.fromkeys(range(8), 1), {19: 2}])
def test_each_job_has_one_result_however_many_workers_end(ray: FakeRay, deadly: dict[int, int]) -> None:
    assert doubled(deadly) == WHOLE
    assert len(ray.actors) == 2 + sum(deadly.values())
    assert not ray.is_up


@pytest.mark.parametrize("deadly", [[5], [5, 6], [0, 1], [18, 19]])
def test_a_job_that_ends_three_workers_takes_no_other_job_with_it(ray: FakeRay, deadly: list[int]) -> None:
    assert doubled(dict.fromkeys(deadly, 99)) == [pair for pair in WHOLE if pair[0] not in deadly]
    assert len(ray.actors) == 2 + ATTEMPTS * len(deadly)


def test_workers_that_always_end_end_the_run(ray: FakeRay) -> None:
    with pytest.raises(ShotcropError, match="21 Ray workers ended in a row"):
        doubled(dict.fromkeys(range(20), 99))


def test_an_error_of_a_worker_ends_the_run_with_its_own_code(ray: FakeRay) -> None:
    def error_of(job: Any) -> ShotcropError:
        pool = ActorPool(RayOptions(workers=1), Doubler, Counter[int](), Reporter())
        with pytest.raises(ShotcropError) as raised:
            list(pool.results([Chunk(job)], lost))
        pool.close()
        return raised.value

    assert (error_of(-1).message, error_of(-1).exit_code) == ("a number is negative", ExitCode.OUTPUT)
    broken = error_of("a word")
    assert broken.message.startswith("a Ray worker failed: E: ") and broken.exit_code is ExitCode.BUG


def test_a_cluster_of_this_machine_needs_the_gpus_that_are_asked_for(ray: FakeRay) -> None:
    with pytest.raises(DeviceError, match=r"--gpus-per-worker 0\.5: Ray finds no such GPU"):
        ActorPool(RayOptions(gpus_per_worker=0.5), Doubler, Counter[int](), Reporter())
    assert not ray.is_up


def test_the_end_of_the_own_node_ends_the_run(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would end this process without a word."""
    monkeypatch.setattr(actors, "_CHECK_SECONDS", 1e-9)
    pool = ActorPool(RayOptions(workers=2), Doubler, Counter[int](), Reporter())
    results = pool.results(map(Chunk, range(20)), lost)
    first = [next(results), next(results)]
    ray.raylet.close()
    with pytest.raises(DeviceError, match="the Ray node of this process has ended") as raised:
        first += results
    assert raised.value.hint == "run the same command again"
    assert 2 <= len(first) < 20
    pool.close()


def test_through_the_ray_client_there_is_no_own_node(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "_CHECK_SECONDS", 1e-9)
    pool = ActorPool(RayOptions(address="ray://head:10001", workers=2), Doubler, Counter[int](), Reporter())
    ray.raylet.close()
    assert len(list(pool.results(map(Chunk, range(20)), lost))) == 20
    pool.close()
