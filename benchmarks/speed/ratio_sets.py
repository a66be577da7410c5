"""Measure three ratio sets in one run against three runs with one set each, and against the codec.

    python -m benchmarks.speed.ratio_sets [--sizes MP,...] [--count N] [--rounds N] [--photos DIR] [--markdown FILE]

One run decodes each photo once, shows it to the model once, and encodes nine crops. Three runs do the first two three
times. The limit is Pillow alone: it decodes once, crops, scales and encodes at the boxes and sizes that shotcrop chose.
All take turns, and the round with the least processor time counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.figures import Figures, add_markdown, cores, machine, publish
from benchmarks.speed.child_process import Measured, crop
from benchmarks.speed.decode_limit import sizes
from benchmarks.speed.sized_photos import add_sources, make_photos, mean_megabytes

LANCZOS = Image.Resampling.LANCZOS
WIDE, EXACT = "all pixels", "exact sizes"
SETS = {
    WIDE: ("story=9:16", "feed=4:5", "web=16:9"),
    EXACT: ("story=9:16:1080x1920", "feed=4:5:1080x1350", "web=16:9:1920x1080"),
}
LIMIT = "limit (Pillow)"
QUALITY = 95


@dataclass(frozen=True, slots=True)
class SizedCrop:
    """A crop's box in its photo, and its size."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]


def one_run(photos: Path, output: Path, sets: Sequence[str]) -> Measured:
    """Make all sets in one run."""
    return crop(photos, output, *(part for one in sets for part in ("--set", one)))


def three_runs(photos: Path, output: Path, sets: Sequence[str]) -> Measured:
    """Make each set in a run of its own, as if shotcrop knew no sets."""
    runs = [crop(photos, output / one.partition("=")[0], "--set", one) for one in sets]
    return Measured(
        sum(run.seconds for run in runs), sum(run.cpu_seconds for run in runs), max(run.peak_mb for run in runs)
    )


def crops_of(output: Path) -> dict[Path, list[SizedCrop]]:
    """Return the crops in an output folder by their photo."""
    found: dict[Path, list[SizedCrop]] = {}
    for path in sorted(output.glob("*.json")):
        record = json.loads(path.read_bytes())
        crops = found.setdefault(Path(record["source"]["path"]), [])
        for one in (one for one in record["more_crops"] if one["file"] is not None):
            box, size = one["box"], one["size"]
            corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
            crops.append(SizedCrop(corners, (size["width"], size["height"])))
    return found


def limit(crops: Mapping[Path, Sequence[SizedCrop]], scratch: Path) -> Measured:
    """Make the crops with Pillow alone, in one thread per processor."""

    def make(photo: Path) -> None:
        with Image.open(photo) as image:
            for place, one in enumerate(crops[photo]):
                full = (one.box[2] - one.box[0], one.box[3] - one.box[1])
                part = image.crop(one.box) if full == one.size else image.resize(one.size, LANCZOS, one.box)
                part.save(scratch / f"{photo.stem}.{place}.jpg", quality=QUALITY)

    start, cpu_start = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(make, crops))
    return Measured(time.perf_counter() - start, time.process_time() - cpu_start, 0.0)


def least(runs: Sequence[Measured]) -> Measured:
    """Return the run with the least processor time: other work disturbed it least."""
    return min(runs, key=lambda run: run.cpu_seconds)


def measure_size(
    sources: Sequence[Path], megapixels: float, count: int, rounds: int, kind: str
) -> list[tuple[str, ...]]:
    """Measure photos of one size, and return a row for each way to crop them."""
    found: dict[str, list[Measured]] = {"three runs": [], "one run": [], LIMIT: []}
    with tempfile.TemporaryDirectory(prefix="shotcrop-sets-") as folder:
        work = Path(folder)
        photos = make_photos(work / "photos", sources, megapixels, count)
        scratch = work / "limit"
        scratch.mkdir()
        for _ in range(rounds):
            found["three runs"].append(three_runs(work / "photos", work / "three", SETS[kind]))
            found["one run"].append(one_run(work / "photos", work / "one", SETS[kind]))
            crops = crops_of(work / "one")
            found[LIMIT].append(limit(crops, scratch))
            shutil.rmtree(work / "three")
            shutil.rmtree(work / "one")
        number = sum(map(len, crops.values())) / count
        label = f"{megapixels:g} MP, {mean_megabytes(photos):.1f} MB, {kind}, {number:.1f} crops each"
    best = {way: least(runs) for way, runs in found.items()}
    whole = best["three runs"].cpu_seconds
    return [
        (
            label,
            way,
            f"{run.cpu_seconds / count * 1000:.0f}",
            f"{run.seconds:.1f}",
            f"{run.peak_mb:.0f}" if run.peak_mb else "",
            f"{run.cpu_seconds / whole:.2f}",
        )
        for way, run in best.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=sizes, default=[2.0, 12.0], metavar="MP,...", help="default: 2,12")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="photos of each size; default: 40")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; the best one counts; default: 3")
    add_sources(parser)
    add_markdown(parser)
    arguments = parser.parse_args()
    found = [
        row
        for megapixels in arguments.sizes
        for kind in SETS
        for row in measure_size(arguments.photos, megapixels, arguments.count, arguments.rounds, kind)
    ]
    table = Figures(
        f"Three ratio sets of three shots, {arguments.count} photos of each size on {cores()} processors, best of "
        f"{arguments.rounds}",
        ("photos", "way", "CPU ms/photo", "seconds", "peak MB", "CPU time relative to three runs"),
        tuple(found),
        names=2,
    )
    publish("ratio_sets", [table], [f"Measured on {machine('pillow', 'onnxruntime')}."], arguments.markdown)


if __name__ == "__main__":
    main()
