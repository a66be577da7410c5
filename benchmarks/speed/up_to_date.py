"""Measure how long `shotcrop crop` takes to find that a library is up to date, next to a minimal script.

    python -m benchmarks.speed.up_to_date [PHOTOS]

The script makes a library of PHOTOS (default 100,000) tiny files in a temporary folder, with the sidecars and crops
that a run would have left. Then it times new processes in turn: a script that walks the photos with `os.walk`, stats
each and reads its sidecar; the first `shotcrop crop`, which has to read the sidecars too; and later ones, which stat
them. It prints the ratios of the best times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.up_to_date import INDEX_NAME
from shotcrop_cli.model.load import find_model
from shotcrop_cli.shots import SHOT_TYPES, Box, ModelIdentity, Person, PixelBox, Reasoning, Shot
from shotcrop_cli.sidecar import FileSize, MainPerson, ShotRecord, Sidecar, SidecarStatus, SourceRecord, iso_mtime

PER_FOLDER = 100
ROUNDS = 3
LEAST = """
import os, sys
photos, shots = sys.argv[1:]
count = 0
for folder, _, names in os.walk(photos):
    there = shots + folder[len(photos):]
    for name in names:
        os.stat(os.path.join(folder, name))
        with open(os.path.join(there, name + ".json"), "rb") as file:
            count += len(file.read()) > 0
print(count)
"""


def record() -> Sidecar:
    """Return a sidecar of typical length, as the default model writes it."""
    bundle, box = find_model(None), Box(0.1, 0.2, 0.4, 0.6)
    person = Person(box, box, box, 0.5, tuple(Shot(shot, box, score=0.8) for shot in SHOT_TYPES))
    return Sidecar(
        status=SidecarStatus.DONE,
        source=SourceRecord("", 1, "", "c" * 64, "JPEG", 6000, 4000, 1, "2026-05-02T19:21:09+02:00", "Canon EOS R5"),
        model=ModelIdentity(bundle.manifest.name, bundle.sha256, "CPUExecutionProvider"),
        settings=CropSettings(),
        main_person=MainPerson(box, box),
        people=(person, person),
        reasoning=Reasoning("One person outdoors.", "The main person is in the centre.", "From wide to the face."),
        shots=tuple(
            ShotRecord(shot, PixelBox(600, 800, 1800, 1600), box, box, "", FileSize(1800, 1600), "A closer view", 0.8)
            for shot in SHOT_TYPES
        ),
        shotcrop="0.1.0",
        created="2026-05-03T08:00:12Z",
    )


def make_library(photos: Path, shots: Path, count: int) -> None:
    """Write photos of one byte each, and the files that a run would have left."""
    template = record()
    for path in paths(count):
        photo, folder = photos / path, (shots / path).parent
        if not folder.exists():
            photo.parent.mkdir(parents=True)
            folder.mkdir(parents=True)
        photo.write_bytes(b"x")
        files = [f"{photo.name}.{shot}.jpg" for shot in SHOT_TYPES]
        for file in files:
            (folder / file).touch()
        source = replace(template.source, path=str(photo), mtime=iso_mtime(photo.stat().st_mtime_ns))
        cut = tuple(replace(shot, file=file) for shot, file in zip(template.shots, files, strict=True))
        (folder / f"{photo.name}.json").write_bytes(replace(template, source=source, shots=cut).to_bytes())
    (shots / LOCK_NAME).touch()


def paths(count: int) -> Iterator[Path]:
    for index in range(count):
        yield Path(f"{2000 + index // 20_000}", f"{index // PER_FOLDER:05}", f"IMG_{index:06}.jpg")


def timed(command: list[str], said: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert said in done.stdout + done.stderr, done.stderr
    return seconds


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        photos, shots = Path(scratch, "photos"), Path(scratch, "shots")
        make_library(photos, shots, count)
        os.sync()
        crop = [str(Path(sys.executable).with_name("shotcrop")), "crop", str(photos), "-o", str(shots)]
        least = [sys.executable, "-c", LEAST, str(photos), str(shots)]
        least_seconds, first_seconds, later_seconds = [], [], []
        for _ in range(ROUNDS):
            (shots / INDEX_NAME).unlink(missing_ok=True)
            least_seconds.append(timed(least, f"{count}\n"))
            for seconds in (first_seconds, later_seconds):
                seconds.append(timed(crop, f"0 done, {count} unchanged"))
    table = Table(title=f"{count} photos up to date, best of {ROUNDS}")
    for heading in ("what", "s", "µs/photo", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, seconds in (
        ("os.walk, stat, reading the sidecars", least_seconds),
        ("shotcrop crop, the first to see them", first_seconds),
        ("shotcrop crop, later", later_seconds),
    ):
        best, least_best = min(seconds), min(least_seconds)
        table.add_row(what, f"{best:.2f}", f"{best / count * 1e6:.1f}", f"{best / least_best:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
