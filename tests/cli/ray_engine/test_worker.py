"""What a Ray worker does, in this process: jobs travel as they would to another one."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import FakeComposer, picture, write_photo
from object_store import ObjectStore
from shotcrop_cli import CropOptions, ShotcropError, __version__, crop_photos
from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter
from shotcrop_cli.ray_engine import actors, driver
from shotcrop_cli.ray_engine.worker import Assignment, Job, Outcome, Worker
from shotcrop_cli.remote.staging import Staging
from shotcrop_cli.run_options import RayOptions


class Pool:
    """One worker in this process instead of a cluster.

    Attributes:
        crop: Lets the worker crop a job.
    """

    provider = ""
    crop: Callable[[Worker, list[Job]], Outcome] = staticmethod(lambda worker, jobs: worker.work(jobs, again=False))

    def __init__(self, _options: RayOptions, assignment: Assignment, _reporter: Reporter) -> None:
        self.worker = Worker(pickle.loads(pickle.dumps(assignment)))

    def run(self, tasks: Iterable[Task], report: Callable[[PhotoResult], None], staging: Staging | None = None) -> None:
        for task in tasks:
            jobs = [(task, None if staging is None else staging.pack(task))]
            outcome = pickle.loads(pickle.dumps(type(self).crop(self.worker, pickle.loads(pickle.dumps(jobs)))))
            assert outcome.error is None, outcome.error
            for result in outcome.results:
                report(result)

    def close(self) -> None:
        self.worker.close()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, composer: FakeComposer) -> type[Pool]:
    class Mine(Pool):
        pass

    monkeypatch.setattr(driver, "RayPool", Mine)
    monkeypatch.setattr(actors, "import_ray", lambda: None)
    return Mine


@pytest.fixture
def library(photos: Path) -> Path:
    for number in range(4):
        write_photo(photos / f"{number % 2}" / f"IMG_{number}.jpg", picture(120 + number, 90))
    (photos / "bad.png").write_bytes(b"no photo")
    return photos


def _run(photos: object, output: object, **options: object) -> dict[PhotoStatus, int]:
    given = CropOptions(photos, output, reproducible=True, **options)  # type: ignore[arg-type]
    return dict(crop_photos(given).counts)


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".shotcrop"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_worker_gives_the_same_tree(library: Path, tmp_path: Path, pool: type[Pool]) -> None:
    local = _run(library, tmp_path / "local")
    assert _run(library, tmp_path / "ray", ray=RayOptions()) == local == {PhotoStatus.DONE: 4, PhotoStatus.FAILED: 1}
    assert _tree(tmp_path / "ray") == _tree(tmp_path / "local")
    assert _run(library, tmp_path / "ray", ray=RayOptions())[PhotoStatus.UNCHANGED] == 4


def test_what_another_worker_finished_is_not_done_again(
    library: Path, output: Path, pool: type[Pool], composer: FakeComposer
) -> None:
    def lost(worker: Worker, jobs: list[Job]) -> Outcome:
        first = worker.work(jobs, again=False)  # its answer is lost with the worker
        seen = len(composer.seen)
        second = worker.work(jobs, again=True)
        assert len(composer.seen) == seen
        assert [photo.status for photo in second.results] == [photo.status for photo in first.results]
        return second

    pool.crop = staticmethod(lost)
    assert _run(library, output, ray=RayOptions()) == {PhotoStatus.DONE: 4, PhotoStatus.FAILED: 1}


def test_objects_are_cropped_by_workers_that_share_nothing(library: Path, store: ObjectStore, pool: type[Pool]) -> None:
    store.upload(library, "photos")
    local = _run("s3://photos", "s3://shots/local")

    def lost(worker: Worker, jobs: list[Job]) -> Outcome:
        worker.work(jobs, again=False)
        return worker.work(jobs, again=True)

    assert _run("s3://photos", "s3://shots/ray", ray=RayOptions()) == local
    assert store.tree("shots", "ray") == store.tree("shots", "local")
    pool.crop = staticmethod(lost)
    assert _run("s3://photos", "s3://shots/lost", ray=RayOptions()) == local
    assert store.tree("shots", "lost") == store.tree("shots", "local")
    again = _run("s3://photos", "s3://shots/lost", ray=RayOptions(), overwrite=True)
    assert again == local and store.tree("shots", "lost") == store.tree("shots", "local")


def test_a_worker_that_is_stopped_begins_nothing(library: Path, output: Path, pool: type[Pool]) -> None:
    def stopped(worker: Worker, jobs: list[Job]) -> Outcome:
        worker.stop()
        return worker.work(jobs, again=False)

    pool.crop = staticmethod(stopped)
    assert _run(library, output, ray=RayOptions()) == {}


def test_a_worker_of_another_version_is_refused() -> None:
    actors.RayWorker[None, None]().check(__version__)
    with pytest.raises(ShotcropError, match=r"and this is 0\.0\.1"):
        actors.RayWorker[None, None]().check("0.0.1")


def test_only_a_photo_that_ends_three_workers_alone_is_failed(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Any] = [
        SimpleNamespace(target=SimpleNamespace(source=SimpleNamespace(path=Path(name)))) for name in "ab"
    ]
    seen: list[tuple[list[str], bool]] = []

    class Ending(actors.ActorPool[list[Job], Outcome]):
        def __init__(self, *_: object) -> None:
            pass

        def results(self, chunks: Iterable[Any], lost: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
            waiting = list(chunks)
            while waiting:
                chunk = waiting.pop(0)
                seen.append(([str(task.target.source.path) for task, _ in chunk.job], chunk.again))
                waiting += lost(replace(chunk, attempts=chunk.attempts + 1, again=True))
            return iter(())

    monkeypatch.setattr(driver, "ActorPool", Ending)
    assignment: Any = SimpleNamespace(context=SimpleNamespace(root=output))
    output.mkdir()
    results: list[PhotoResult] = []
    driver.RayPool(RayOptions(), assignment, Reporter()).run(tasks, results.append)
    assert seen == [(["a", "b"], False), *[([name], True) for _ in range(3) for name in "ab"]]
    assert [(str(photo.source), photo.status) for photo in results] == [
        ("a", PhotoStatus.FAILED),
        ("b", PhotoStatus.FAILED),
    ]
    assert (output / ".shotcrop.running.killed").exists()
