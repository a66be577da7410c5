"""Measure what three crops of a photo cost without a model: the limit of any tool that crops.

    python -m benchmarks.speed.decode_limit [--sizes MP,...] [--count N] [--rounds N] [--photos DIR] [--markdown FILE]

The script makes photos of each size. Then it reads, decodes, crops, encodes and writes them with each installed JPEG
codec, in as many threads as there are processors. The codecs take turns, and the best round counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.figures import Figures, add_markdown, cores, machine, publish
from benchmarks.speed.jpeg_codecs import Codec, load_codecs
from benchmarks.speed.sized_photos import add_sources, make_photos, mean_megabytes
from shotcrop_cli.evaluation.baselines import MEAN_BOXES
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.shots import PixelBox

LIBRARIES = ("pillow", "simplejpeg", "PyTurboJPEG", "pyvips", "pyvips-binary")


@dataclass(frozen=True, slots=True)
class Cut:
    """A photo and the boxes of its crops. A photo without people has none."""

    photo: Path
    boxes: tuple[PixelBox, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """The time that some photos took.

    Args:
        photos: The number of photos.
        seconds: From the first to the last.
        cpu_seconds: Processor time of all threads.
        decode_seconds: Reading and decoding, summed over the threads.
        write_seconds: Cropping, encoding and writing, summed over the threads.
    """

    photos: int
    seconds: float
    cpu_seconds: float
    decode_seconds: float
    write_seconds: float

    @property
    def rate(self) -> float:
        """Photos per second."""
        return self.photos / self.seconds

    @property
    def cores(self) -> float:
        """Processors that were busy, on average."""
        return self.cpu_seconds / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time per photo. Other work on the machine disturbs it least."""
        return self.cpu_seconds / self.photos * 1000

    @property
    def decode_share(self) -> float:
        """Share of reading and decoding in the threads' time."""
        return self.decode_seconds / (self.decode_seconds + self.write_seconds)


def usual_cut(photo: Path) -> Cut:
    """Return a photo with boxes of typical size and place."""
    with Image.open(photo) as image:
        return Cut(photo, tuple(to_pixels(box, image.width, image.height) for box in MEAN_BOXES))


def time_codec(codec: Codec, cuts: Sequence[Cut], scratch: Path) -> Speed:
    """Crop photos in one thread per processor. The next codec overwrites the crops.

    Args:
        codec: Reads and writes the JPEGs.
        cuts: The photos.
        scratch: A folder for the crops.
    """
    with ThreadPoolExecutor(cores()) as pool:
        start, cpu_start = time.perf_counter(), time.process_time()
        parts = list(pool.map(lambda cut: _cut(codec, cut, scratch), cuts))
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return Speed(len(cuts), seconds, cpu_seconds, sum(part[0] for part in parts), sum(part[1] for part in parts))


def _cut(codec: Codec, cut: Cut, scratch: Path) -> tuple[float, float]:
    """Crop one photo. Return the seconds for decoding and those for the rest."""
    start = time.perf_counter()
    pixels = codec.decode(cut.photo.read_bytes())
    decoded = time.perf_counter()
    for place, box in enumerate(cut.boxes):
        (scratch / f"{cut.photo.stem}.{place}.jpg").write_bytes(codec.encode(pixels, box))
    return decoded - start, time.perf_counter() - decoded


def best(speeds: Sequence[Speed]) -> Speed:
    """Return the fastest round: other work disturbed it least."""
    return max(speeds, key=lambda speed: speed.rate)


def rows(label: str, speeds: Mapping[str, Speed]) -> list[tuple[str, ...]]:
    """Return one row per codec, compared with the first."""
    first = next(iter(speeds.values()))
    return [
        (
            label,
            name,
            f"{speed.rate:.1f}",
            f"{speed.cores:.2f}",
            f"{speed.cpu_ms:.0f}",
            f"{speed.decode_share:.0%}",
            f"{1 - speed.decode_share:.0%}",
            f"{speed.rate / first.rate:.2f}",
        )
        for name, speed in speeds.items()
    ]


def measure_size(sources: Sequence[Path], megapixels: float, count: int, rounds: int) -> list[tuple[str, ...]]:
    """Measure all codecs with photos of one size."""
    codecs, _ = load_codecs()
    with tempfile.TemporaryDirectory(prefix="shotcrop-limit-") as folder:
        photos = make_photos(Path(folder, "photos"), sources, megapixels, count)
        scratch = Path(folder, "crops")
        scratch.mkdir()
        cuts = [usual_cut(photo) for photo in photos]
        turns = [{name: time_codec(codec, cuts, scratch) for name, codec in codecs.items()} for _ in range(rounds)]
        label = f"{megapixels:g} MP, {mean_megabytes(photos):.1f} MB"
    return rows(label, {name: best([turn[name] for turn in turns]) for name in codecs})


def sizes(text: str) -> list[float]:
    """Read a list of megapixels."""
    return [float(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=sizes, default=[2.0, 12.0, 24.0], metavar="MP,...", help="default: 2,12,24")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="photos of each size; default: 40")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; the best one counts; default: 3")
    add_sources(parser)
    add_markdown(parser)
    arguments = parser.parse_args()
    found = [
        row
        for megapixels in arguments.sizes
        for row in measure_size(arguments.photos, megapixels, arguments.count, arguments.rounds)
    ]
    table = Figures(
        f"One decode and three crops per photo, {arguments.count} photos of each size in {cores()} threads, "
        f"best of {arguments.rounds}",
        ("photos", "codec", "photos/s", "cores busy", "CPU ms/photo", "decode", "encode", "relative to Pillow"),
        tuple(found),
        names=2,
    )
    notes = [f"Measured on {machine(*LIBRARIES)}.", *load_codecs()[1]]
    publish("decode_limit", [table], notes, arguments.markdown)


if __name__ == "__main__":
    main()
