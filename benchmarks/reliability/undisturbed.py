"""Make photos, and the tree that an undisturbed run leaves."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.crop_runs import (
    Tree,
    crop,
    different,
    half_done,
    make_photos,
    temporaries,
    torn,
    tree,
    unexpected,
)

OTHER_LOOK = ("--quality", "60")


@dataclass(frozen=True, slots=True)
class Library:
    """Photos, and the results of undisturbed runs.

    Args:
        photos: Their folder.
        reference: The finished tree.
        other: The finished tree of `OTHER_LOOK`.
        seconds: How long a run takes.
        recut_seconds: How long a run takes that only writes the crops again.
        size_bytes: The size of the finished tree.
    """

    photos: Path
    reference: Tree
    other: Tree
    seconds: float
    recut_seconds: float
    size_bytes: int


def make_library(scratch: Path, count: int) -> Library:
    """Make photos in a folder and crop them undisturbed, with two settings."""
    photos, output = scratch / "photos", scratch / "reference"
    make_photos(photos, count)
    finish(photos, output)  # warms the caches
    shutil.rmtree(output)
    reference, seconds = finish(photos, output)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    other, _ = finish(photos, scratch / "other", *OTHER_LOOK)
    _, recut_seconds = finish(photos, output, *OTHER_LOOK)
    return Library(photos, reference, other, seconds, recut_seconds, size)


def finish(photos: Path, output: Path, *flags: str) -> tuple[Tree, float]:
    """Run; return the tree and the seconds it took."""
    ended = crop(photos, output, *flags).end()
    if wrong := unexpected(ended, (0,)):
        raise RuntimeError(f"an undisturbed run failed: {wrong}")
    return tree(output), ended.seconds


def completed(library: Library, output: Path) -> list[str]:
    """Complete a run; return what is wrong with the tree."""
    return unexpected(crop(library.photos, output).end(), (0,)) + different(tree(output), library.reference)


def not_clean(now: Tree, reference: Tree) -> list[str]:
    """Return what a run that ended by itself or by a signal must not leave."""
    return torn(now, reference) + half_done(now, reference) + temporaries(now)
