"""The whole `shotcrop crop` run beside the least that any such tool must do: decode each photo and write three crops.

    python benchmarks/crop_throughput.py [PHOTOS]

makes PHOTOS (default 48) JPEGs of 12 megapixels from the example photos in a temporary folder, crops them with the
command, then decodes the same files with Pillow in as many threads and writes crops of the same boxes, and prints the
ratio of the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

EXAMPLES = sorted((Path(__file__).parent.parent / "examples" / "photos").glob("*.jpg"))
LONG_SIDE = 4000


def make_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    sources = []
    for path in EXAMPLES:
        with Image.open(path) as image:
            scale = LONG_SIDE / max(image.size)
            size = round(image.width * scale), round(image.height * scale)
            sources.append(image.convert("RGB").resize(size))
    for index in range(count):
        sources[index % len(sources)].save(folder / f"{index:04}.jpg", quality=92)


def limit(photo: Path, shots: Path, scratch: Path) -> None:
    """Decode a photo and write the crops that the run chose for it, and nothing else."""
    sidecar = json.loads((shots / f"{photo.name}.json").read_text("utf-8"))
    with Image.open(photo) as image:
        image.load()
        for shot in sidecar.get("shots", []):
            box = shot["box"]
            corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
            image.crop(corners).save(scratch / shot["file"], quality=95)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        photos, shots, crops = (Path(scratch) / name for name in ("photos", "shots", "crops"))
        make_photos(photos, count)
        crops.mkdir()
        command = [str(Path(sys.executable).with_name("shotcrop")), "crop", str(photos), "-o", str(shots), "-q"]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        whole = time.perf_counter() - start
        start = time.perf_counter()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(lambda photo: limit(photo, shots, crops), sorted(photos.iterdir())))
        least = time.perf_counter() - start
    table = Table(title=f"{count} photos of {LONG_SIDE} pixels a side, {len(os.sched_getaffinity(0))} processors")
    for heading in ("what", "s", "photos/s", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    table.add_row("Pillow: decode, three crops, encode", f"{least:.1f}", f"{count / least:.1f}", "1.00")
    table.add_row("shotcrop crop, start-up included", f"{whole:.1f}", f"{count / whole:.1f}", f"{whole / least:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 48)
