"""Runs over photos that are hostile, many, or oddly named."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from crop_runs import CropRun, crop, half_done, make_photos, temporaries, tree, unexpected
from finding import Finding
from hostile_photos import write_corpus
from PIL import Image
from sound_photos import picture, saved

_MEMORY_RATIO = 1.2
"""How much more memory ten times as many photos may take."""
_LONGEST_SILENCE = 30.0
"""Seconds in which a run must tell of at least one photo; the largest that are read take some [O]."""
_LONGEST_NAME = 255 - len(".establishing.jpg")
"""Bytes of a photo's name that leaves room for its crops' on the usual file systems."""

ODD_NAMES = (
    b"caf\xe9 latin-1.jpg",
    b"\xff\xfe\x80.jpg",
    b"new\nline.jpg",
    b"return\r.jpg",
    b"tab\tand\x1b[31mcolour\x7f.jpg",
    b"quotes \"double\" 'single' `back`.jpg",
    b"$HOME ${x} %s {shot} * ? [a] \\.jpg",
    b"-rf.jpg",
    b"--output.jpg",
    b" spaces .jpg",
    "emoji 📷👩‍👩‍👧.jpg".encode(),
    "e\u0301a\u0308 combining.jpg".encode(),
    "\u202eright to left.jpg".encode(),
    "line\u2028separator.jpg".encode(),
    b"x" * (_LONGEST_NAME - 4) + b".jpg",
)
"""Names that have broken other programs."""
ODD_FOLDER = b"folder\n\xff 'odd'"


def fuzz(scratch: Path, count: int, keep: Path) -> Finding:
    """Run once over hostile files; those that a promise was broken on are kept."""
    photos, output = scratch / "hostile", scratch / "from-hostile"
    expected = write_corpus(photos, count)
    ended = CropRun("crop", photos, "-o", output, "--json", "--follow-symlinks", "--log-file", scratch / "log").end()
    wrong = unexpected(ended, (0, 1))
    records = {record["source"]: record for record in ended.records}
    told = Counter(record["source"] for record in ended.records)
    suspects = {path for path in expected if told[str(path)] != 1}
    wrong += [f"{path.name}: has {told[str(path)]} records" for path in sorted(suspects)]
    wrong += [f"{path}: was never asked for" for path in told.keys() - set(map(str, expected))]
    for source, record in records.items():
        if "unforeseen" in (record["reason"] or ""):
            wrong.append(f"{Path(source).name}: {record['reason']}")
            suspects.add(Path(source))
        wrong += [f"{crop}: cannot be opened" for crop in record["crops"] if not _opens(Path(crop))]
    wrong += temporaries(tree(output))
    if ended.silence[0] > _LONGEST_SILENCE:
        wrong.append(f"{ended.silence[0]:.0f} s of silence before {ended.silence[1]!r}")
    for path in filter(Path.is_file, suspects):
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, keep)
    states = Counter(record["status"] for record in records.values())
    slow = re.search(r'\d{4}-([^/"]+)"', ended.silence[1].decode())
    found = (
        f"{', '.join(f'{number} {state}' for state, number in states.most_common())}, one record each, none "
        f"unforeseen; {ended.seconds:.0f} s, slowest {ended.silence[0]:.1f} s"
        f"{f' (`{slow[1]}`)' if slow else ''}; peak memory {ended.peak_mb:.0f} MB"
    )
    return Finding("Damaged, lying and hostile files in one run", f"{len(expected)} files", found, tuple(wrong))


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
    found = f"peak memory {peaks[0]:.0f} MB and {peaks[1]:.0f} MB: {ratio:.2f} times, at most {_MEMORY_RATIO} allowed"
    return Finding(f"{few} photos, then {10 * few}", "1 run each", found, tuple(wrong))


def name_oddly(scratch: Path) -> Finding:
    """Take odd names through `crop`, its lists, its JSON and its logs, and through `apply`."""
    photos, output = scratch / "odd-photos", scratch / "odd-shots"
    folder = photos / os.fsdecode(ODD_FOLDER)
    folder.mkdir(parents=True)
    good = [folder / os.fsdecode(name) for name in ODD_NAMES]
    for path in good:
        make_photo(path)
    bad = [path.with_name(f"empty {path.name}") for path in good[:4]]
    for path in bad:
        path.touch()
    too_long = folder / f"{'y' * 251}.jpg"
    make_photo(too_long)
    bad.append(too_long)
    failed_list, log, text_log = (scratch / name for name in ("failed", "log.json", "log.txt"))
    lists = ("--failed-list", failed_list, "-0")
    first = crop(photos, output, "--json", *lists, "--log-file", log, "--log-format", "json").end()
    wrong = unexpected(first, (1,)) + _unequal(
        "records", [_bytes(record["source"]) for record in first.records], good, bad
    )
    wrong += _unequal("the list of failures", failed_list.read_bytes().split(b"\0")[:-1], bad)
    entries = [json.loads(line) for line in log.read_bytes().splitlines()]
    wrong += _unequal("the log", {_bytes(entry["source"]) for entry in entries if "status" in entry}, good, bad)
    reference = tree(output)
    wrong += _unequal(
        "the sidecars", [_bytes(_source(output / path)) for path in reference if path.endswith(".json")], good
    )
    if len(reference) != 4 * len(good) + 2:  # with the lock and the list of sources
        wrong.append(f"{len(reference) - 2} files of {len(good)} photos")

    again = crop(photos, output, "--files-from", failed_list, *lists, "--log-file", text_log).end()
    wrong += unexpected(again, (1,)) + _unequal(
        "the second list of failures", failed_list.read_bytes().split(b"\0")[:-1], bad
    )
    if not all(
        re.match(r"\d{4}-\d\d-\d\dT", line)
        for line in text_log.read_bytes().decode("utf-8", "replace").split("\n")[:-1]
    ):
        wrong.append("a line of the text log was torn")
    listed = scratch / "odd-listed"
    names = b"".join(os.fsencode(path.relative_to(photos)) + b"\0" for path in good)
    by_list = CropRun("crop", photos, "-o", listed, "--reproducible", "--files-from", "-", "-0", stdin=names).end()
    wrong += unexpected(by_list, (0,)) + [path for path in tree(listed) if tree(listed)[path] != reference.get(path)]

    crops = output / os.fsdecode(ODD_FOLDER)
    for path in good:
        (crops / f"{path.name}.close_up.jpg").unlink()
    os.chdir(crops)  # so that names that begin with a dash stand alone
    sidecars = [f"{path.name}.json" for path in good[::2]]
    for ended in (
        CropRun("apply", "--reproducible", "--", *sidecars).end(),
        CropRun("apply", output, "--reproducible").end(),
    ):
        wrong += unexpected(ended, (0,))
    wrong += half_done(tree(output), reference)
    last = crop(photos, output).end()
    if f"0 done, {len(good)} unchanged" not in last.stderr:
        wrong.append(f"not up to date after `apply`: {last.stderr}")
    found = "crops, sidecars, `--json`, both logs, `--failed-list -0`, `--files-from -0` and `apply` keep every byte"
    return Finding(
        "File names that are no UTF-8, with line breaks, quotes, dashes", f"{len(good)} names", found, tuple(wrong)
    )


def make_photo(path: Path) -> None:
    path.write_bytes(saved(picture(), "JPEG"))


def _bytes(name: str) -> bytes:
    return os.fsencode(name)


def _source(sidecar: Path) -> str:
    path = json.loads(sidecar.read_bytes())["source"]["path"]
    assert isinstance(path, str)
    return path


def _unequal(what: str, seen: Sequence[bytes] | set[bytes], *expected: Sequence[Path]) -> list[str]:
    wanted = sorted(os.fsencode(path) for paths in expected for path in paths)
    return [] if sorted(seen) == wanted else [f"{what}: {sorted(seen)} instead of {wanted}"]
