"""Measure what `--engine ray` costs next to a local run, and what its driver costs for many photos.

    python -m benchmarks.speed.ray_engine [--counts N,N] [--sizes MP] [--rounds N] [--photos DIR] [--driver N,N]

The engines are compared by the best time of several rounds, so the machine should be quiet. For the
driver, workers only say that they found no people in photos that are names of one tiny file, or that a server makes up.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from benchmarks.figures import Figures, machine
from benchmarks.reliability.object_listing import Listing, serve
from benchmarks.speed.child_process import SHOTCROP, Measured, measure
from benchmarks.speed.sized_photos import add_sources, make_photos
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.ray_engine import driver
from shotcrop_cli.ray_engine.worker import Job, Outcome, Worker

_TRIES = 3
ENGINES = {
    "local, -j 1": ("-j", "1"),
    "local, -j 2": ("-j", "2"),
    "ray, 1 worker": ("--engine", "ray", "--workers", "1"),
    "ray, 2 workers": ("--engine", "ray", "--workers", "2"),
}


class Idle(Worker):
    """A worker that finds no people in any photo, without a look at it."""

    def work(self, job: list[Job], again: bool) -> Outcome:
        """Return the results."""
        return Outcome(tuple(PhotoResult(task.target.source.path, PhotoStatus.NO_SUBJECT) for task, _ in job))


def run(*command: str | Path) -> Measured:
    """Run a command, and return what its first process took. The processes of Ray do not count.

    It is run again if it fails, because Ray may not start on a busy machine.
    """
    for _ in range(_TRIES - 1):
        with suppress(RuntimeError):
            return measure(*command)
    return measure(*command)


def measure_engines(folder: Path, photos: Sequence[Path], counts: Sequence[int], rounds: int) -> Figures:
    """Crop the first photos of a folder with each engine in turn."""
    costs: dict[tuple[str, int], list[Measured]] = {}
    for _ in range(rounds):
        for count in counts:
            some = folder / f"photos-{count}"
            some.mkdir(exist_ok=True)
            for path in photos[:count]:
                if not (some / path.name).exists():
                    os.link(path, some / path.name)
            for engine, options in ENGINES.items():
                output = folder / "shots"
                costs.setdefault((engine, count), []).append(run(SHOTCROP, "crop", some, "-o", output, *options))
                shutil.rmtree(output)
    best = {key: min(one.seconds for one in those) for key, those in costs.items()}
    return Figures("Engines", HEADINGS, tuple(_engine_rows(best, counts)))


HEADINGS = ("engine", "seconds", "of it at start", "ms per photo", "relative to local, -j 1")


def _engine_rows(best: dict[tuple[str, int], float], counts: Sequence[int]) -> Iterator[tuple[str, ...]]:
    few, many = counts
    base = 0.0
    for engine in ENGINES:
        seconds = best[engine, many]
        each = (seconds - best[engine, few]) / (many - few)
        base = base or each
        yield (
            engine,
            f"{seconds:.1f}",
            f"{seconds - many * each:.1f}",
            f"{1000 * each:.0f}",
            f"{each / base:.2f}",
        )


def measure_driver(folder: Path, counts: Sequence[int]) -> Figures:
    """Let idle workers crop many names of one file, and made-up objects of a store."""
    rows = []
    for where, make in (("disk", _on_disk), ("s3", _in_store)):
        for count in counts:
            library = make(folder / "library", count)
            output = folder / "none"
            idle = (sys.executable, "-m", "benchmarks.speed.ray_engine", "--idle", "crop", library, "-o", output, "-q")
            plan, ray = run(*idle, "-n"), run(*idle, *ENGINES["ray, 2 workers"])
            shutil.rmtree(output, ignore_errors=True)
            shutil.rmtree(folder / "library", ignore_errors=True)
            each = tuple(f"{1000 * seconds / count:.2f}" for seconds in (plan.cpu_seconds, ray.cpu_seconds))
            rows.append((where, f"{count:,}", f"{plan.peak_mb:.0f}", each[0], f"{ray.peak_mb:.0f}", each[1]))
    headings = ("photos on", "number", "dry run: peak MB", "ms per photo", "driver: peak MB", "ms per photo")
    return Figures("The driver, with workers that do nothing", headings, tuple(rows))


def _on_disk(library: Path, count: int) -> str:
    library.mkdir()
    one = library.with_name("one.jpg")
    Image.new("RGB", (64, 48)).save(one)
    for number in range(count):
        path = library / f"{number // 500:04}" / f"IMG_{number:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        os.link(one, path)
    return str(library)


def _in_store(_library: Path, count: int) -> str:
    if "AWS_ENDPOINT_URL" not in os.environ:
        os.environ.update(serve())
    Listing.total = count
    return "s3://photos/trip"


def main() -> int:
    if sys.argv[1:2] == ["--idle"]:
        from shotcrop_cli.main import main as shotcrop

        sys.argv[0:2] = ["shotcrop"]
        driver.Worker = importable_idle()  # type: ignore[misc]
        return shotcrop()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="24,72", help="two numbers of photos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver", default="1000,20000", help="numbers of photos for the driver; empty for none")
    parser.add_argument("--sizes", default="12", help="megapixels of the photos")
    parser.add_argument("--skip-engines", action="store_true", help="measure only the driver")
    add_sources(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shotcrop-ray-") as name:
        folder = Path(name)
        print(machine("shotcrop-cli", "ray"), flush=True)
        if options.driver:
            print(measure_driver(folder, [*map(int, options.driver.split(","))]).as_markdown(), flush=True)
        if not options.skip_engines:
            counts = [*map(int, options.counts.split(","))]
            photos = make_photos(folder / "made", options.photos, float(options.sizes), max(counts))
            print(measure_engines(folder, photos, counts, options.rounds).as_markdown(), flush=True)
    return 0


def importable_idle() -> type[Worker]:
    """Return `Idle` of this module by its own name, because Ray workers do not have the one called `__main__`."""
    from benchmarks.speed import ray_engine

    return ray_engine.Idle


if __name__ == "__main__":
    sys.exit(main())
