"""Measure the whole `shotcrop crop`, next to the least that any such tool must do with the same photos.

    python -m benchmarks.speed.crop_throughput [--sizes MP,...] [--count N] [--rounds N] [--photos DIR]
        [--markdown FILE]
    python -m benchmarks.speed.crop_throughput --linear [--counts N,N] [--sizes MP] [--photos DIR] [--markdown FILE]

The script makes photos of each size and crops them with the command, including start-up and sync to disk. Then it
crops them at the same boxes with each JPEG codec and no model (see decode_limit.py), and prints the ratio. With
`--linear` it compares the time per photo in a short and in a long run instead.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figures, add_markdown, cores, machine, publish
from benchmarks.speed.child_process import Measured, crop
from benchmarks.speed.decode_limit import LIBRARIES, Cut, Speed, best, sizes, time_codec
from benchmarks.speed.jpeg_codecs import load_codecs
from benchmarks.speed.sized_photos import add_sources, make_photos, mean_megabytes
from shotcrop_cli import sidecar
from shotcrop_cli.imaging.formats import DEFAULT_QUALITY
from shotcrop_cli.sidecar import Timing

VERSIONS = ("shotcrop-cli", "onnxruntime", *LIBRARIES)
SHOTCROP = "shotcrop crop"


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of the stages in the time that photos spent in a run."""

    decode: float
    compose: float
    write: float


@dataclass(frozen=True, slots=True)
class Sized:
    """What was measured with photos of one size.

    Args:
        label: The size.
        photos: How many there were.
        run: Time and memory of `shotcrop crop`.
        shares: Where the time went.
        limits: The speed of the codecs alone, by name, Pillow first.
    """

    label: str
    photos: int
    run: Measured
    shares: Shares
    limits: dict[str, Speed]

    @property
    def rate(self) -> float:
        """Photos per second of the run."""
        return self.photos / self.run.seconds

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The row of the run, then one row per codec."""
        pillow, fastest = self.limits["Pillow"].rate, best([*self.limits.values()]).rate
        cpu_ms = self.run.cpu_seconds / self.photos * 1000
        told = [self.label, SHOTCROP, f"{self.rate:.1f}", f"{self.run.cpu_seconds / self.run.seconds:.2f}"]
        told += [f"{cpu_ms:.0f}", f"{self.run.peak_mb:.0f}"]
        told += [f"{share:.0%}" for share in (self.shares.decode, self.shares.compose, self.shares.write)]
        told += [f"{self.rate / pillow:.2f}", f"{self.rate / fastest:.2f}"]
        told += [f"{self.limits['Pillow'].cpu_ms / cpu_ms:.2f}"]
        return [tuple(told), *(self._limit(name, speed, pillow, fastest) for name, speed in self.limits.items())]

    def _limit(self, name: str, speed: Speed, pillow: float, fastest: float) -> tuple[str, ...]:
        return (
            self.label,
            f"{name}, no model",
            f"{speed.rate:.1f}",
            f"{speed.cores:.2f}",
            f"{speed.cpu_ms:.0f}",
            "",
            f"{speed.decode_share:.0%}",
            "",
            f"{1 - speed.decode_share:.0%}",
            f"{speed.rate / pillow:.2f}",
            f"{speed.rate / fastest:.2f}",
            f"{self.limits['Pillow'].cpu_ms / speed.cpu_ms:.2f}",
        )


AT_QUALITY = ("--quality", str(DEFAULT_QUALITY))
"""The quality of the limits, so that all encode alike."""

HEADINGS = (
    "photos",
    "what",
    "photos/s",
    "cores busy",
    "CPU ms/photo",
    "peak MB",
    "decode",
    "compose",
    "write",
    "relative to Pillow",
    "relative to the fastest",
    "processor time: Pillow's / its own",
)


def shares(timings: Sequence[Timing]) -> Shares:
    """Return the share of each stage, over all photos."""
    spent = [sum(getattr(timing, stage) for timing in timings) for stage in ("decode", "compose", "write")]
    return Shares(*(seconds / sum(spent) for seconds in spent))


def read_run(photos: Sequence[Path], shots: Path) -> tuple[list[Cut], Shares]:
    """Return the boxes of a run, and where it spent its time."""
    records = [sidecar.read(shots / f"{photo.name}.json") for photo in photos]
    cuts = [Cut(photo, tuple(shot.box for shot in record.shots)) for photo, record in zip(photos, records, strict=True)]
    return cuts, shares([record.timing_ms for record in records if record.timing_ms is not None])


def measure_size(sources: Sequence[Path], megapixels: float, count: int, rounds: int) -> Sized:
    """Crop photos of one size with and without the model, in turn. The best round counts."""
    codecs, _ = load_codecs()
    runs: list[tuple[Measured, Shares]] = []
    limits: dict[str, list[Speed]] = {name: [] for name in codecs}
    with tempfile.TemporaryDirectory(prefix="shotcrop-throughput-") as folder:
        photos = make_photos(Path(folder, "photos"), sources, megapixels, count)
        shots, scratch = Path(folder, "shots"), Path(folder, "crops")
        scratch.mkdir()
        crop(photos[0], Path(folder, "first"))  # the first run after an installation compiles the modules
        for _ in range(rounds):
            run = crop(photos[0].parent, shots, *AT_QUALITY)
            cuts, spent = read_run(photos, shots)
            runs.append((run, spent))
            shutil.rmtree(shots)
            for name, codec in codecs.items():
                limits[name].append(time_codec(codec, cuts, scratch))
        label = f"{megapixels:g} MP, {mean_megabytes(photos):.1f} MB"
    run, spent = min(runs, key=lambda pair: pair[0].seconds)
    return Sized(label, count, run, spent, {name: best(speeds) for name, speeds in limits.items()})


def per_photo_rows(seconds: dict[int, float], first: float) -> list[tuple[str, ...]]:
    """Return one row per run, compared with the shortest run.

    Args:
        seconds: The time of each run, by its number of photos, the shortest first.
        first: The time of a run over one photo, start-up included.
    """
    found = []
    base = beyond_base = 0.0
    for count, taken in seconds.items():
        each, beyond = taken / count, (taken - first) / (count - 1)
        base, beyond_base = base or each, beyond_base or beyond
        found.append(
            (
                f"{count}",
                f"{taken:.1f}",
                f"{each * 1000:.1f}",
                f"{each / base:.2f}",
                f"{beyond * 1000:.1f}",
                f"{beyond / beyond_base:.2f}",
            )
        )
    return found


def measure_linearity(sources: Sequence[Path], megapixels: float, counts: Sequence[int]) -> Figures:
    """Compare the time per photo in runs of different length."""
    with tempfile.TemporaryDirectory(prefix="shotcrop-linear-") as folder:
        seconds = {}
        for count in sorted({1, *counts}):
            photos, shots = Path(folder, f"photos{count}"), Path(folder, "shots")
            make_photos(photos, sources, megapixels, count)
            seconds[count] = crop(photos, shots).seconds
            shutil.rmtree(shots)
    first = seconds.pop(1)
    return Figures(
        f"Time per photo of {megapixels:g} MP in runs of different length; a run over one photo takes {first:.1f} s",
        ("photos", "s", "ms/photo", "ratio", "ms/photo after the first", "ratio"),
        tuple(per_photo_rows(seconds, first)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=sizes, metavar="MP,...", help="default: 2,12,24; with --linear: 2")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="photos of each size; default: 200")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="rounds; the best one counts; default: 1")
    parser.add_argument("--linear", action="store_true", help="compare runs of different length instead")
    parser.add_argument(
        "--counts",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[100, 2000],
        metavar="N,N",
        help="their lengths, at least 2 each; default: 100,2000",
    )
    add_sources(parser)
    add_markdown(parser)
    arguments = parser.parse_args()
    measured = f"Measured on {machine(*VERSIONS)}; photos made from {len(arguments.photos)} real ones."
    if arguments.linear:
        tables = [
            measure_linearity(arguments.photos, megapixels, arguments.counts) for megapixels in arguments.sizes or [2.0]
        ]
        publish("linear", tables, [measured], arguments.markdown)
        return
    found = [
        measure_size(arguments.photos, megapixels, arguments.count, arguments.rounds)
        for megapixels in arguments.sizes or [2.0, 12.0, 24.0]
    ]
    table = Figures(
        f"{arguments.count} photos of each size on {cores()} cores, best of {arguments.rounds}",
        HEADINGS,
        tuple(row for sized in found for row in sized.rows),
        names=2,
    )
    publish("crop_throughput", [table], [measured, *load_codecs()[1]], arguments.markdown)


if __name__ == "__main__":
    main()
