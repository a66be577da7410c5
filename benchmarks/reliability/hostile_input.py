"""Test runs over hostile files and over many photos."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections import Counter
from pathlib import Path

from PIL import Image

from benchmarks.reliability.crop_runs import CropRun, crop, make_photos, temporaries, tree, unexpected
from benchmarks.reliability.finding import Finding
from corpora.hostile_photos import write_corpus

_MEMORY_RATIO = 1.2
"""Memory that ten times as many photos may take, as a multiple."""
_LONGEST_SILENCE = 30.0
"""Seconds within which a run must report at least one photo. The largest photos take a few."""


def fuzz(scratch: Path, count: int, keep: Path) -> Finding:
    """Run once over hostile files. Keep those on which a promise was broken."""
    photos, output = scratch / "hostile", scratch / "from-hostile"
    expected = write_corpus(photos, count)
    ended = CropRun("crop", photos, "-o", output, "--json", "--follow-symlinks", "--log-file", scratch / "log").end()
    wrong = unexpected(ended, (0, 1))
    records = {record["source"]: record for record in ended.records}
    told = Counter(record["source"] for record in ended.records)
    suspects = {path for path in expected if told[str(path)] != 1}
    wrong += [f"{path.name}: has {told[str(path)]} records" for path in sorted(suspects)]
    wrong += [f"{path}: has a record but is not one of the files" for path in told.keys() - set(map(str, expected))]
    for source, record in records.items():
        if "unforeseen" in (record["reason"] or ""):
            wrong.append(f"{Path(source).name}: {record['reason']}")
            suspects.add(Path(source))
        wrong += [f"{crop}: cannot be opened" for crop in record["crops"] if not _opens(Path(crop))]
    wrong += temporaries(tree(output))
    if ended.silence[0] > _LONGEST_SILENCE:
        wrong.append(f"{ended.silence[0]:.0f} s without a record before {ended.silence[1]!r}")
    for path in filter(Path.is_file, suspects):
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, keep)
    states = Counter(record["status"] for record in records.values())
    slow = re.search(r'\d{4}-([^/"]+)"', ended.silence[1].decode())
    found = (
        f"{', '.join(f'{number} {state}' for state, number in states.most_common())}, one record each, no "
        f"unexpected error; {ended.seconds:.0f} s, slowest {ended.silence[0]:.1f} s"
        f"{f' (`{slow[1]}`)' if slow else ''}; peak memory {ended.peak_mb:.0f} MB"
    )
    return Finding("Damaged, mislabelled and hostile files in one run", f"{len(expected)} files", found, tuple(wrong))


def _opens(path: Path) -> bool:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
    except Exception:
        return False
    return True


def bound_memory(scratch: Path, few: int) -> Finding:
    """Compare the peak memory of runs over some photos and over ten times as many."""
    originals = make_photos(scratch / "originals", 20)
    wrong: list[str] = []
    peaks = []
    for count in (few, 10 * few):
        photos, output = scratch / f"photos{count}", scratch / f"shots{count}"
        photos.mkdir()
        for index in range(count):
            os.link(originals[index % len(originals)], photos / f"{index:05}.jpg")
        ended = crop(photos, output).end()
        wrong += unexpected(ended, (0,))
        peaks.append(ended.peak_mb)
        shutil.rmtree(output)
    ratio = peaks[1] / peaks[0]
    if ratio > _MEMORY_RATIO:
        wrong.append(f"{peaks[1]:.0f} MB for ten times the photos that took {peaks[0]:.0f} MB")
    found = f"peak memory {peaks[0]:.0f} MB and {peaks[1]:.0f} MB: ratio {ratio:.2f}, at most {_MEMORY_RATIO} allowed"
    return Finding(f"{few} photos, then {10 * few}", "1 run each", found, tuple(wrong))
