"""Measure the parts of `shotcrop crop`: milliseconds of processor time per photo, summed over all threads.

    python -m benchmarks.speed.photo_parts [--sizes MP,...] [--count N] [--photos DIR]

The script runs the command in its own process and times a function for each part. What a part calls counts for that
part, unless it is a part of its own.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures, machine, publish
from benchmarks.speed.crop_throughput import AT_QUALITY, VERSIONS
from benchmarks.speed.decode_limit import sizes
from benchmarks.speed.sized_photos import add_sources, make_photos, mean_megabytes
from shotcrop_cli.main import cli

_STEPS, _WRITE = "shotcrop_cli.pipeline.steps", "shotcrop_cli.pipeline.write"
_DECODE, _ENCODE = "shotcrop_cli.imaging.decode", "shotcrop_cli.imaging.encode"
PARTS = {
    "read and hash": [(_STEPS, "read_source")],
    "decode": [(_DECODE, "_load")],
    "read metadata": [(_STEPS, "decode"), (_STEPS, "is_own_crop"), (_STEPS, "guard_memory")],
    "thumbnail": [(_STEPS, "thumbnail")],
    "model, in the main thread": [("shotcrop_cli.pipeline.runner", "_Pipeline._compose")],
    "copy and convert the crops' pixels": [(_ENCODE, "cropped"), (_ENCODE, "resized"), (_ENCODE, "_convert")],
    "encode": [(_ENCODE, "encode_jpeg")],
    "write metadata": [(_WRITE, "make_crop")],
    "sidecar": [(_STEPS, "_new_sidecar"), ("shotcrop_cli.sidecar", "Sidecar.to_bytes")],
    "write and sync": [(_WRITE, "put_in_place")],
}
"""The functions of each part, by the module that calls them."""


class Parts:
    """Adds up the processor time of functions in all threads, without that of other parts which they call."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock, self._local = threading.Lock(), threading.local()

    def watch(self, part: str, owner: Any, name: str) -> None:
        """Replace a function of a module or class by one that is timed."""
        function = getattr(owner, name)

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            inner = self._local.__dict__.setdefault("inner", [])
            inner.append(0.0)
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                seconds = time.thread_time() - start
                own = seconds - inner.pop()
                if inner:
                    inner[-1] += seconds
                with self._lock:
                    self.seconds[part] += own

        setattr(owner, name, timed)


def watch_all() -> Parts:
    """Time every function of `PARTS` from now on."""
    parts = Parts()
    for part, functions in PARTS.items():
        for module, name in functions:
            owner: Any = import_module(module)
            *classes, last = name.split(".")
            for inside in classes:
                owner = getattr(owner, inside)
            parts.watch(part, owner, last)
    return parts


def measure(parts: Parts, folder: Path, output: Path, count: int) -> list[tuple[str, str]]:
    """Crop photos, and return a row for each part."""
    parts.seconds.clear()
    before = _processor_seconds()
    cli.main(["crop", str(folder), "-o", str(output), "-q", *AT_QUALITY], standalone_mode=False)
    spent = _processor_seconds() - before
    rows = [(part, f"{parts.seconds[part] / count * 1000:.1f}") for part in PARTS]
    rest = spent - parts.seconds.total()
    rows.append(("all else, with the threads of ONNX Runtime", f"{rest / count * 1000:.1f}"))
    return [*rows, ("the whole run", f"{spent / count * 1000:.1f}")]


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=sizes, default=[2.0, 12.0], metavar="MP,...", help="default: 2,12")
    parser.add_argument("--count", type=int, default=50, metavar="N", help="photos of each size; default: 50")
    add_sources(parser)
    options = parser.parse_args(arguments)
    parts, columns, headings = watch_all(), list[list[tuple[str, str]]](), ["part"]
    with tempfile.TemporaryDirectory(prefix="shotcrop-parts-") as folder:
        for megapixels in options.sizes:
            photos = make_photos(Path(folder, f"{megapixels:g}"), options.photos, megapixels, options.count)
            headings.append(f"{megapixels:g} MP, {mean_megabytes(photos):.1f} MB")
            for _ in range(2):  # the first run loads modules and takes memory from the system
                shutil.rmtree(output := Path(folder, "shots"), ignore_errors=True)
                rows = measure(parts, photos[0].parent, output, options.count)
            columns.append(rows)
    cells = [(rows[0][0], *(value for _, value in rows)) for rows in zip(*columns, strict=True)]
    title = f"Processor time of {options.count} photos of each size, milliseconds per photo"
    publish(
        "photo_parts", [Figures(title, tuple(headings), tuple(cells))], [f"Measured on {machine(*VERSIONS)}."], None
    )


if __name__ == "__main__":
    main(sys.argv[1:])
