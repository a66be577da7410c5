"""Compare shotcrop with other croppers: how fast they are, and how close to the expert's crops.

    python -m benchmarks.speed.peers [--size MP] [--count N] [--photos DIR] [--data DIR] [--markdown FILE]

The script makes photos and crops them with `shotcrop crop` and with each installed peer, in one process per processor.
With `--data`, the folder of an annotated dataset, it also crops those photos and computes the IoU with the expert's
crops.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.figures import Figures, add_markdown, cores, machine, publish
from benchmarks.speed.child_process import crop
from benchmarks.speed.peer_croppers import crop_photo, installed
from benchmarks.speed.sized_photos import add_sources, make_photos, mean_megabytes
from shotcrop_cli.evaluation.bootstrap import summarise
from shotcrop_cli.evaluation.dataset import METADATA, read_dataset
from shotcrop_cli.evaluation.scoring import sidecar_answers
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Answer, Box, Composition, ShotType

VERSIONS = ("shotcrop-cli", "onnxruntime", "pillow", "smartcrop", "autocrop", "pyvips", "pyvips-binary")
SHOTCROP = "shotcrop"
WARM_UP = 2
"""Photos per process before the clock starts."""


def run_peer(name: str, photos: Sequence[Path], scratch: Path) -> tuple[list[Box | None], float]:
    """Crop photos with a peer in one process per processor.

    Args:
        name: The name of the peer.
        photos: The photos.
        scratch: A folder for the crops.

    Returns:
        The box of each photo, and the time in seconds without start-up.
    """
    one = partial(crop_photo, name)
    targets = [scratch / f"{place}.jpg" for place in range(len(photos))]
    with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        few = WARM_UP * cores()
        list(pool.map(one, photos[:few], targets[:few]))
        start = time.perf_counter()
        boxes = list(pool.map(one, photos, targets))
        return boxes, time.perf_counter() - start


def speed_rows(rates: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return one row per cropper, with its speed relative to `SHOTCROP`."""
    return [(name, f"{rate:.1f}", f"{rate / rates[SHOTCROP]:.2f}") for name, rate in rates.items()]


def measure_speed(sources: Sequence[Path], megapixels: float, count: int, peers: Sequence[str]) -> Figures:
    """Crop photos of one size with every cropper."""
    with tempfile.TemporaryDirectory(prefix="shotcrop-peers-") as folder:
        scratch, shots = Path(folder, "crops"), Path(folder, "shots")
        scratch.mkdir()
        photos = make_photos(Path(folder, "photos"), sources, megapixels, count)
        rates = {
            SHOTCROP: count / crop(photos[0].parent, shots).seconds,
            "shotcrop --shots medium": count / crop(photos[0].parent, Path(folder, "one"), "--shots", "medium").seconds,
        }
        rates |= {name: count / run_peer(name, photos, scratch)[1] for name in peers}
        size = f"{megapixels:g} MP, {mean_megabytes(photos):.1f} MB"
    return Figures(
        f"{count} photos of {size}, on {cores()} cores, one crop per photo, but three for shotcrop",
        ("cropper", "photos/s", "relative to shotcrop"),
        tuple(speed_rows(rates)),
    )


Triple = Sequence[Box]
"""Crops in the order of `SHOT_TYPES`: a peer's one crop three times, empty if it made none."""


def nearest(crops: Triple, truth: Composition) -> float:
    """Return the best IoU of any crop with any of the expert's three, or 0 without crops."""
    return max((iou(ours, shot.box) for ours in crops for shot in truth.shots), default=0.0)


def overlaps(crops: Triple, truth: Composition) -> dict[ShotType, float]:
    """Return the IoU of each crop with the expert's crop of the same shot, or 0 without crops."""
    if not crops:
        return dict.fromkeys(SHOT_TYPES, 0.0)
    return {shot.type: iou(ours, shot.box) for ours, shot in zip(crops, truth.shots, strict=True)}


def quality_row(name: str, crops: Sequence[Triple], truths: Sequence[Composition]) -> tuple[str, ...]:
    """Return the means over the photos, two of them with bootstrap 95 % intervals."""
    each = [overlaps(*pair) for pair in zip(crops, truths, strict=True)]
    best = [nearest(*pair) for pair in zip(crops, truths, strict=True)]
    return (
        name,
        f"{sum(map(bool, crops))}",
        _with_interval(best),
        *(f"{fmean(overlap[kind] for overlap in each):.3f}" for kind in SHOT_TYPES),
        _with_interval([fmean(overlap.values()) for overlap in each]),
    )


def _with_interval(values: Sequence[float]) -> str:
    (metric,) = summarise([{("iou", None): value} for value in values]).metrics
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def measure_quality(data: Path, peers: Sequence[str]) -> Figures:
    """Crop the annotated photos of a dataset with every cropper, and compare with the expert's crops."""
    annotated = [(record, record.composition) for record in read_dataset(data) if record.composition is not None]
    if not annotated:
        raise SystemExit(f"{data / METADATA} has no expert's crops: name an annotated dataset")
    records, truths = [record for record, _ in annotated], [truth for _, truth in annotated]
    photos = [record.path for record in records]
    crops: dict[str, list[Triple]] = {}
    with tempfile.TemporaryDirectory(prefix="shotcrop-peers-") as folder:
        scratch, shots = Path(folder, "crops"), Path(folder, "shots")
        scratch.mkdir()
        crop(data, shots)
        crops[SHOTCROP] = list(map(_boxes, sidecar_answers(records, data, shots)))
        for name in peers:
            crops[name] = [(box,) * len(SHOT_TYPES) if box else () for box in run_peer(name, photos, scratch)[0]]
    crops["the whole photo, uncropped"] = [(FULL_FRAME,) * len(SHOT_TYPES)] * len(truths)
    return Figures(
        f"Mean IoU with the expert's crops over {len(truths)} photos, with bootstrap 95 % intervals",
        ("cropper", "photos cropped", "best pair", "establishing", "medium", "close-up", "mean of the three"),
        tuple(quality_row(name, boxes, truths) for name, boxes in crops.items()),
    )


def _boxes(answer: Answer) -> Triple:
    return tuple(shot.box for shot in answer.shots) if isinstance(answer, Composition) else ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=12.0, metavar="MP", help="megapixels of the photos; default: 12")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="number of timed photos; default: 40")
    parser.add_argument("--data", type=Path, metavar="DIR", help="an annotated dataset to compare the crops with")
    add_sources(parser)
    add_markdown(parser)
    arguments = parser.parse_args()
    peers, missing = installed()
    tables = [measure_speed(arguments.photos, arguments.size, arguments.count, peers)]
    if arguments.data is not None:
        tables.append(measure_quality(arguments.data, peers))
    publish("peers", tables, [f"Measured on {machine(*VERSIONS)}.", *missing], arguments.markdown)


if __name__ == "__main__":
    main()
