"""Test file names that have broken other programs in everything that reads or writes names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.reliability.crop_runs import CropRun, Tree, crop, different, tree, unexpected
from benchmarks.reliability.finding import Finding
from corpora.sound_photos import picture, saved

_LONGEST_NAME = 255 - len(".establishing.jpg")
"""Bytes of the longest name of a photo whose crops still have valid names on common file systems."""

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
ODD_FOLDER = b"folder\n\xff 'odd'"


def name_oddly(scratch: Path) -> Finding:
    """Take unusual names through `crop`, its lists, JSON and logs, and through `apply`."""
    photos, output = scratch / "photos", scratch / "shots"
    folder = photos / os.fsdecode(ODD_FOLDER)
    folder.mkdir(parents=True)
    good = [folder / os.fsdecode(name) for name in ODD_NAMES]
    bad = [folder / f"empty {path.name}" for path in good[:4]]
    too_long = folder / f"{'y' * (_LONGEST_NAME - 3)}.jpg"
    for path in (*good, too_long):
        path.write_bytes(saved(picture(), "JPEG"))
    for path in bad:
        path.touch()
    bad.append(too_long)
    wrong = _cropped(photos, output, good, bad) + _listed(photos, output, scratch, good, bad)
    wrong += _applied(photos, output, good)
    found = "crops, sidecars, `--json`, both logs, `--failed-list -0`, `--files-from -0` and `apply` keep every byte"
    what = "File names that are not UTF-8, with line breaks, quotes, dashes or emoji, or of the maximum length"
    return Finding(what, f"{len(good)} names", found, tuple(wrong))


def _cropped(photos: Path, output: Path, good: list[Path], bad: list[Path]) -> list[str]:
    """Crop all; return what is wrong with the records, the log and the tree."""
    log = output.with_name("log.json")
    ended = crop(photos, output, "--json", "--log-file", log, "--log-format", "json").end()
    entries = [json.loads(line) for line in log.read_bytes().splitlines()]
    sidecars = [json.loads((output / path).read_bytes()) for path in tree(output) if path.endswith(".json")]
    wrong = unexpected(ended, (1,))
    wrong += _unequal("records", (record["source"] for record in ended.records), good + bad)
    wrong += _unequal("log", {entry["source"] for entry in entries if "status" in entry}, good + bad)
    wrong += _unequal("sidecars", (sidecar["source"]["path"] for sidecar in sidecars), good)
    if len(crops := [path for path in tree(output) if path.endswith(".jpg")]) != 3 * len(good):
        wrong.append(f"{len(crops)} crops of {len(good)} photos")
    return wrong


def _listed(photos: Path, output: Path, scratch: Path, good: list[Path], bad: list[Path]) -> list[str]:
    """Write and read lists; return what is wrong with them, and with a text log."""
    failed, log = scratch / "failed", scratch / "log.txt"
    wrong: list[str] = []
    for which in ((), ("--files-from", failed)):
        ended = crop(photos, output, *which, "--failed-list", failed, "-0", "--log-file", log).end()
        names = [os.fsdecode(name) for name in failed.read_bytes().split(b"\0")[:-1]]
        wrong += unexpected(ended, (1,)) + _unequal("list of failures", names, bad)
    torn = [line for line in log.read_bytes().splitlines() if not re.match(rb"\d{4}-\d\d-\d\dT", line)]
    wrong += [f"{line!r}: a line of the log is torn" for line in torn]
    given = b"".join(os.fsencode(path.relative_to(photos)) + b"\0" for path in good)
    again = scratch / "again"
    ended = CropRun("crop", photos, "-o", again, "--reproducible", "--files-from", "-", "-0", stdin=given).end()
    return wrong + unexpected(ended, (0,)) + different(tree(again), tree(output))


def _applied(photos: Path, output: Path, good: list[Path]) -> list[str]:
    """Let `apply` crop edited boxes, by name and by folder; return what is wrong with the tree."""
    folder = output / os.fsdecode(ODD_FOLDER)
    before = _crops(output)
    for path in good:
        _narrow_close_up(folder / f"{path.name}.json")
    # From within the folder, so that names that begin with a dash stand alone.
    by_name = CropRun("apply", "--", *(f"{path.name}.json" for path in good[::2]), folder=folder).end()
    by_folder = CropRun("apply", output).end()
    wrong = unexpected(by_name, (0,)) + unexpected(by_folder, (0,))
    after = _crops(output)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    edited = {path for path in before if path.endswith(".close_up.jpg")}
    wrong += [f"{path}: not cropped again" for path in sorted(edited - changed)]
    wrong += [f"{path}: changed without an edit" for path in sorted(changed - edited)]
    said = crop(photos, output).end().stderr
    return wrong if f"0 done, {len(good)} unchanged" in said else [*wrong, f"not up to date after `apply`: {said}"]


def _crops(output: Path) -> Tree:
    return {path: content for path, content in tree(output).items() if path.endswith(".jpg")}


def _narrow_close_up(sidecar: Path) -> None:
    """Edit a box as a person would."""
    content = json.loads(sidecar.read_bytes())
    (close_up,) = (shot for shot in content["shots"] if shot["shot"] == "close_up")
    close_up["box"]["width"] -= 16
    sidecar.write_text(json.dumps(content), "utf-8")


def _unequal(what: str, seen: Iterable[str], expected: Iterable[Path]) -> list[str]:
    names, wanted = sorted(map(os.fsencode, seen)), sorted(map(os.fsencode, expected))
    return [] if names == wanted else [f"{what}: {names} instead of {wanted}"]
