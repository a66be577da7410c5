"""Test runs with a full, read-only or lost output, with changing photos, and two runs on one output."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from benchmarks.reliability.crop_runs import CropRun, crop, different, temporaries, torn, tree, unexpected
from benchmarks.reliability.finding import Finding, cannot_mount
from benchmarks.reliability.undisturbed import Library, completed, finish, not_clean

_SHORT_SIGHTED = ("--jobs", "1", "--batch-size", "2")
"""Let a run read only a few photos ahead."""
_FULL_AT = (0.0, 0.2, 0.5, 0.9)
"""Sizes of the small disk, as shares of what a run needs."""


def fill_disk(library: Library, mount_point: Path) -> Finding:
    """Fill a small disk, then give it more room and resume."""
    what = "Disk full; then resumed with more room"
    wrong: list[str] = []
    for part in _FULL_AT:
        with _disk(mount_point, max(4096, int(library.size_bytes * part))) as mounted:
            if not mounted:
                return cannot_mount(what)
            output = mount_point / "shots"
            ended, now = crop(library.photos, output).end(), tree(output)
            wrong += unexpected(ended, (5,)) + not_clean(now, library.reference)
            if len(ended.errors) != 1:
                wrong.append(f"a full disk gives {len(ended.errors)} error lines instead of 1: {ended.stderr}")
            _remount(mount_point, f"size={4 * library.size_bytes}")
            wrong += completed(library, output)
    found = "exit code 5 and one error line; no partial and no temporary file; the next run finished the tree"
    return Finding(what, f"{len(_FULL_AT)} sizes", found, tuple(wrong))


def forbid_writing(library: Library, mount_point: Path) -> Finding:
    """Run on a read-only output, once new and once partly finished."""
    what = "Read-only output"
    wrong: list[str] = []
    with _disk(mount_point, 4 * library.size_bytes) as mounted:
        if not mounted:
            return cannot_mount(what)
        begun, new = mount_point / "begun", mount_point / "new"
        wrong += unexpected(crop(library.photos, begun, "--limit", "3").end(), (0,))
        before = tree(mount_point)
        _remount(mount_point, "ro")
        for output in (begun, new):
            ended = crop(library.photos, output).end()
            wrong += unexpected(ended, (5,))
            if len(ended.errors) != 1:
                wrong.append(f"a read-only disk gives {len(ended.errors)} error lines instead of 1: {ended.stderr}")
        wrong += different(tree(mount_point), before)
    return Finding(what, "2 runs", "exit code 5 and one error line; nothing changed", tuple(wrong))


def lose_output(library: Library, scratch: Path, times: int, rng: random.Random) -> Finding:
    """Delete or rename the output while a run works on it."""
    wrong: list[str] = []
    for turn in range(times):
        output, elsewhere = scratch / f"lost{turn}", scratch / f"found{turn}"
        run = _begun(library, output, rng)
        if turn % 2:
            output.rename(elsewhere)
        else:
            while output.exists() and subprocess.run(["rm", "-rf", output], stderr=subprocess.DEVNULL).returncode:
                pass  # a file was written meanwhile
        wrong += unexpected(run.end(), (5,)) + torn(tree(elsewhere), library.reference)
        if output.exists():
            wrong.append(f"the output was created again: {[*tree(output)]}")
            shutil.rmtree(output)
    found = "exit code 5; the folder was not created again"
    return Finding("Output folder deleted or renamed during a run", f"{times} times", found, tuple(wrong))


def unmount(library: Library, mount_point: Path, times: int, rng: random.Random) -> Finding:
    """Unmount the disk of the output while a run works on it."""
    what = "Disk of the output unmounted during a run"
    wrong: list[str] = []
    for _ in range(times):
        with _disk(mount_point, 4 * library.size_bytes) as mounted:
            if not mounted:
                return cannot_mount(what)
            run = _begun(library, mount_point, rng)
            subprocess.run(["umount", "--lazy", mount_point], check=True)
            wrong += unexpected(run.end(), (5,))
            wrong += [f"{path}: was written into the empty mount point" for path in tree(mount_point)]
        shutil.rmtree(mount_point)
        mount_point.mkdir()
    return Finding(what, f"{times} times", "exit code 5; nothing was written below the mount point", tuple(wrong))


def change_sources(library: Library, scratch: Path, times: int, rng: random.Random) -> Finding:
    """Rewrite, delete and extend photos while a run works on them."""
    wrong: list[str] = []
    failed = 0
    for turn in range(times):
        photos, output = scratch / f"photos{turn}", scratch / f"shots{turn}"
        shutil.copytree(library.photos, photos)
        every = sorted(photos.rglob("*.jpg"))
        run = _begun(library, output, rng, photos, "--json", *_SHORT_SIGHTED)
        late = every[-8:]
        deleted, growing = set(late[1:4]), late[4]
        for path in deleted:
            path.unlink()
        for path in (*rng.sample(every[: len(every) // 2], 4), late[0], late[-1]):
            Image.new("RGB", (900, 700), (rng.randrange(256), 90, 30)).save(path)  # in place, as a careless editor does
        with growing.open("ab") as file:
            for _ in range(50):
                file.write(bytes(100))
                file.flush()
                time.sleep(library.seconds / 100)
        ended = run.end()
        wrong += unexpected(ended, (0, 1)) + temporaries(tree(output))
        status = {record["source"]: record["status"] for record in ended.records}
        failed += sum(state == "failed" for state in status.values())
        wrong += [f"{path}: has no record" for path in every if str(path) not in status]
        for path in deleted:
            if status.get(str(path)) == "done" and not (output / f"{path.relative_to(photos)}.json").exists():
                wrong.append(f"{path}: is done but has no sidecar")
            elif status.get(str(path)) not in ("done", "failed"):
                wrong.append(f"{path}: is gone, but its record says {status.get(str(path))}")
        wrong += unexpected(crop(photos, output).end(), (0,))
        fresh, _ = finish(photos, scratch / f"fresh{turn}")
        orphans = tuple(f"{path.relative_to(photos)}." for path in deleted)
        wrong += different({path: is_ for path, is_ in tree(output).items() if not path.startswith(orphans)}, fresh)
    found = f"{failed} photos failed because they were gone or half written; the next run's tree equals a new run's"
    return Finding("Photos rewritten, deleted or extended during a run", f"{times} runs", found, tuple(wrong))


def run_twice(library: Library, scratch: Path, times: int) -> Finding:
    """Start two runs on one output, once without and once with `--wait`."""
    wrong: list[str] = []
    for turn in range(times):
        output = scratch / f"shared{turn}"
        first = crop(library.photos, output)
        _wait((output / ".shotcrop.running").exists)
        wrong += unexpected(crop(library.photos, output).end(), (6,)) + unexpected(first.end(), (0,))
        wrong += different(tree(output), library.reference)
        shutil.rmtree(output)
        runs = [crop(library.photos, output, "--wait", "60") for _ in range(2)]
        for run in runs:
            wrong += unexpected(run.end(), (0,))
        wrong += different(tree(output), library.reference)
    found = "the second ends with exit code 6, or waits with `--wait`; the tree equals a single run's"
    return Finding("Two runs on one output", f"{2 * times} pairs", found, tuple(wrong))


def _begun(library: Library, output: Path, rng: random.Random, photos: Path | None = None, *flags: str) -> CropRun:
    """Start a run and return when it has written some of its photos."""
    run = crop(photos or library.photos, output, *flags)
    _wait(lambda: any(output.rglob("*.json")))
    time.sleep(rng.uniform(0, library.seconds / 8))
    return run


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"a run did not begin within {seconds} s")
        time.sleep(0.005)


@contextmanager
def _disk(mount_point: Path, size_bytes: int) -> Iterator[bool]:
    """Mount a small disk. Yields False if that is not allowed."""
    mount_point.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(mount_point)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mount_point.is_mount():
            subprocess.run(["umount", "--lazy", mount_point], check=True)


def _remount(mount_point: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", mount_point], check=True)
