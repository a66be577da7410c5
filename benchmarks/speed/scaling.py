"""Measure what exact pixel sizes cost, and what faster ways to shrink crops would change.

    python -m benchmarks.speed.scaling [--photos DIR] [--megapixels MP] [--count N] [--markdown FILE]

The first table splits the processor time of three exact sizes of a photo, at the boxes that shotcrop chose. The second
compares ways to shrink whole photos with plain Lanczos: their time at this size, and how the photos look that were not
enlarged for it.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
from PIL import Image

from benchmarks.figures import Figures, add_markdown, machine, publish
from benchmarks.speed.ratio_sets import EXACT, QUALITY, SETS, SizedCrop, crops_of, one_run
from benchmarks.speed.sized_photos import add_sources, make_photos
from shotcrop_cli.imaging.pixels import part_resized

Result = TypeVar("Result")
LANCZOS = Image.Resampling.LANCZOS
TRIES, SOME = 3, 3
"""How often each step is timed, and on how many of the large photos."""
FACTORS = (1.56, 2.2, 4.2, 6.5)
"""1.56 and 2.2 are those of a photo of 12 MP in 1080x1920 and 1080x1350."""
WINDOW = 7
"""Pixels of the windows of SSIM."""


def cpu_ms(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the least processor time of some tries in milliseconds, and the result."""
    best = float("inf")
    for _ in range(TRIES):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best * 1000, result


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return how much two images differ in decibels; infinity if they are equal."""
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Return the structural similarity of two images in gray, 1 if they are equal."""
    a, b = (np.asarray(image.convert("L"), np.float64) for image in (one, other))

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        whole = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:] - sums[WINDOW:, :-WINDOW] + sums[:-WINDOW, :-WINDOW]
        return whole / WINDOW**2

    of_a, of_b = mean(a), mean(b)
    spread = mean(a * a) - of_a**2 + mean(b * b) - of_b**2
    together = mean(a * b) - of_a * of_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * of_a * of_b + c1) * (2 * together + c2) / ((of_a**2 + of_b**2 + c1) * (spread + c2))))


def parts(crops: Mapping[Path, Sequence[SizedCrop]], whole_ms: float) -> Figures:
    """Return what each step takes for a photo, in milliseconds of processor time."""
    found: dict[str, list[float]] = {"decode": [], "copy, then scale": [], "scale": [], "encode": []}
    for photo, sized in crops.items():
        took, image = cpu_ms(lambda photo=photo: Image.open(photo).convert("RGB"))
        found["decode"].append(took)
        copied = scaled = encoded = 0.0
        for one in sized:
            copied += cpu_ms(lambda image=image, one=one: image.crop(one.box).resize(one.size, LANCZOS))[0]
            took, crop = cpu_ms(lambda image=image, one=one: part_resized(image, one.box, one.size))
            scaled += took
            encoded += cpu_ms(lambda crop=crop: crop.save(io.BytesIO(), "JPEG", quality=QUALITY))[0]
        found["copy, then scale"].append(copied)
        found["scale"].append(scaled)
        found["encode"].append(encoded)
    means = {name: fmean(values) for name, values in found.items()}
    means["everything else, such as start and model"] = whole_ms - means["decode"] - means["scale"] - means["encode"]
    rows = tuple((name, f"{value:.0f}") for name, value in means.items())
    number = sum(map(len, crops.values())) / len(crops)
    return Figures(f"{number:.1f} crops of a photo in exact sizes", ("step", "CPU ms/photo"), rows)


def half_decoded(content: bytes, size: tuple[int, int]) -> Image.Image:
    """Return a JPEG that is decoded at half its size and then scaled."""
    image = Image.open(io.BytesIO(content))
    image.draft("RGB", (image.width // 2, image.height // 2))
    return image.resize(size, LANCZOS)


def ways(large: Sequence[Path], originals: Sequence[Path]) -> Figures:
    """Compare ways to shrink: time on large photos, looks on original ones."""

    def plain(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image.resize(size, LANCZOS)

    def with_gap(gap: float) -> Callable[[Image.Image, tuple[int, int]], Image.Image]:
        return lambda image, size: image.resize(size, LANCZOS, reducing_gap=gap)

    compared = {
        "shotcrop": lambda image, size: part_resized(image, (0, 0, *image.size), size),
        "blocks, gap 2": with_gap(2.0),
        "blocks, gap 1": with_gap(1.0),
        "bicubic": lambda image, size: image.resize(size, Image.Resampling.BICUBIC),
        "JPEG decoded at half size": None,
    }
    rows = []
    for factor in FACTORS:
        for name, way in compared.items():
            if way is None and factor < 2:
                continue
            times, levels, likeness = [], [], []
            for path in large:
                image, content = Image.open(path).convert("RGB"), path.read_bytes()
                size = (round(image.width / factor), round(image.height / factor))
                reference = cpu_ms(lambda image=image, size=size: plain(image, size))[0]
                if way is None:
                    # Its decoding is part of it, so that of the whole photo is part of the other.
                    reference += cpu_ms(lambda content=content: Image.open(io.BytesIO(content)).load())[0]
                    own = cpu_ms(lambda content=content, size=size: half_decoded(content, size))[0]
                else:
                    own = cpu_ms(lambda image=image, size=size, way=way: way(image, size))[0]
                times.append(own / reference)
            for path in originals:
                image, content = Image.open(path).convert("RGB"), path.read_bytes()
                size = (round(image.width / factor), round(image.height / factor))
                small = half_decoded(content, size).convert("RGB") if way is None else way(image, size)
                levels.append(psnr(plain(image, size), small))
                likeness.append(ssim(plain(image, size), small))
            level = "equal" if min(levels) == float("inf") else f"{min(levels):.1f}"
            rows.append((f"{factor}", name, f"{fmean(times):.2f}", level, f"{min(likeness):.4f}"))
    return Figures(
        f"Shrinking compared with plain Lanczos; the worst of {len(originals)} photos",
        ("factor", "way", "CPU time", "PSNR in dB", "SSIM"),
        tuple(rows),
        names=2,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=12.0, metavar="MP", help="size of the photos; default: 12")
    parser.add_argument("--count", type=int, default=24, metavar="N", help="photos in the run; default: 24")
    add_sources(parser)
    add_markdown(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shotcrop-scaling-") as folder:
        work = Path(folder)
        large = make_photos(work / "photos", arguments.photos, arguments.megapixels, arguments.count)
        whole = one_run(work / "photos", work / "shots", SETS[EXACT]).cpu_seconds / len(large) * 1000
        some = large[:SOME]
        crops = crops_of(work / "shots")
        tables = [parts({path: crops[path] for path in some}, whole), ways(some, arguments.photos)]
    publish("scaling", tables, [f"Measured on {machine('pillow')}."], arguments.markdown)


if __name__ == "__main__":
    main()
