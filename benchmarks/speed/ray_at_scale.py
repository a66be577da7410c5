"""Simulate `shotcrop crop s3://... --engine ray` for more photos than anybody here has: `python -m ... [--photos N]`.

It goes through the parts of a listing as `remote.crop_run` does: the driver lists 5,000 photos, decides what is due,
and hands them out in chunks of 8; when all are done, it lists the next. The assumptions are the options, with the
figures of docs/ray.md as defaults. Nothing is run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from benchmarks.figures import Figures
from shotcrop_cli.ray_engine.driver import CHUNK
from shotcrop_cli.remote.listing import PART_SIZE

_PAGE = 1_000
"""Objects in an answer to LIST."""
_OBJECTS = 4
"""Objects that the output has of each photo."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the simulation takes for granted.

    Args:
        list_seconds: From a LIST request to its answer.
        decide_seconds: Processor time of the driver for each photo before the workers get it.
        feed_seconds: The same while the workers crop.
        crop_seconds: Time that a worker with one processor takes for a photo.
        driver_mb: Memory of the driver.
    """

    list_seconds: float
    decide_seconds: float
    feed_seconds: float
    crop_seconds: float
    driver_mb: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated run took.

    Args:
        seconds: From start to end.
        busy: The share of this time in which the workers crop.
    """

    seconds: float
    busy: float


def simulate(photos: int, workers: int, given: Assumptions) -> Outcome:
    """Go through all parts of one run.

    Args:
        photos: The photos of this run, none of which is cropped yet.
        workers: The workers of this run, each with one processor.
        given: The assumptions.
    """
    seconds = 0.0
    for first in range(0, photos, PART_SIZE):
        part = min(PART_SIZE, photos - first)
        rounds = ceil(ceil(part / CHUNK) / workers)
        seconds += ceil(part / _PAGE) * given.list_seconds + part * given.decide_seconds
        seconds += max(part * given.feed_seconds, rounds * min(CHUNK, part) * given.crop_seconds)
    return Outcome(seconds, photos * given.crop_seconds / workers / seconds)


def rows(photos: int, given: Assumptions) -> Iterator[tuple[str, ...]]:
    """Yield what some numbers of runs and workers take."""
    for runs, workers in ((1, 8), (1, 64), (1, 625), (10, 64), (100, 16), (100, 64)):
        each = simulate(ceil(photos / runs), workers, given)
        rate = photos / each.seconds
        yield (
            f"{runs}",
            f"{workers}",
            f"{runs * workers:,}",
            f"{each.seconds / 3600:,.1f}",
            f"{each.busy:.0%}",
            f"{rate:,.0f}",
            f"{(1 + _OBJECTS) * rate:,.0f}",
            f"{runs * given.driver_mb:,.0f}",
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000_000)
    parser.add_argument("--list-seconds", type=float, default=0.1)
    parser.add_argument("--decide-ms", type=float, default=0.35)
    parser.add_argument("--feed-ms", type=float, default=0.35)
    parser.add_argument("--crop-seconds", type=float, default=0.22)
    parser.add_argument("--driver-mb", type=float, default=225)
    options = parser.parse_args()
    given = Assumptions(
        options.list_seconds,
        options.decide_ms / 1000,
        options.feed_ms / 1000,
        options.crop_seconds,
        options.driver_mb,
    )
    headings = (
        "runs at the same time",
        "workers of each",
        "processors",
        "hours",
        "workers busy",
        "photos a second",
        "requests a second",
        "memory of the drivers, MB",
    )
    print(
        Figures(f"{options.photos:,} photos, simulated", headings, tuple(rows(options.photos, given)), 0).as_markdown()
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
