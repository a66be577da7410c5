"""Kill and stop runs, and check what they leave."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

from benchmarks.reliability.crop_runs import CropRun, Ended, crop, different, temporaries, torn, tree, unexpected
from benchmarks.reliability.finding import Finding
from benchmarks.reliability.undisturbed import OTHER_LOOK, Library, completed, not_clean


def kill(library: Library, output: Path, times: int, rng: random.Random) -> Finding:
    """Kill new runs and the runs that resume them, and check every tree."""
    wrong: list[str] = []
    killed = finished = dirty = 0
    while killed < times:
        ended, now = _killed(crop(library.photos, output), rng.uniform(0, library.seconds)), tree(output)
        wrong += unexpected(ended, (0, 137)) + torn(now, library.reference)
        if ended.code == 0:
            finished += 1
            wrong += different(now, library.reference)
            shutil.rmtree(output)
        else:
            killed += 1
            dirty += bool(temporaries(now))
    wrong += completed(library, output)
    found = (
        f"{dirty} left temporary files, which the next run removed; no file with a final name was half written; "
        f"{finished + 1} finished trees equal an undisturbed run's byte for byte"
    )
    return Finding(
        "`kill -9` at random moments: each run resumed until done, then a new one",
        f"{killed} kills",
        found,
        tuple(wrong),
    )


def kill_redoing(library: Library, output: Path, times: int, rng: random.Random) -> Finding:
    """Kill runs that replace finished crops with others of the same names, back and forth."""
    wrong: list[str] = []
    killed = finished = 0
    trees, looks = (library.reference, library.other), ((), OTHER_LOOK)
    aim = 0
    while killed < times:
        run = crop(library.photos, output, *looks[aim])
        ended, now = _killed(run, rng.uniform(0, library.recut_seconds)), tree(output)
        wrong += unexpected(ended, (0, 137)) + torn(now, *trees)
        if ended.code == 0:
            finished += 1
            wrong += different(now, trees[aim])
            aim = 1 - aim
        else:
            killed += 1
    wrong += completed(library, output)
    found = (
        "each sidecar matched its crops, said that they were still to be written, or was gone; "
        f"{finished + 1} finished trees equal an undisturbed run's byte for byte"
    )
    what = "`kill -9` while a run replaces finished crops, back and forth between two settings"
    return Finding(what, f"{killed} kills", found, tuple(wrong))


def _killed(run: CropRun, moment: float) -> Ended:
    run.sleep_until(moment)
    run.send(signal.SIGKILL)
    return run.end()


def stop(library: Library, output: Path, number: signal.Signals, times: int, rng: random.Random) -> Finding:
    """Stop runs with a signal. What they leave must be clean at once."""
    if signal.getsignal(number) == signal.SIG_IGN:  # as in the background of a shell, which the runs would inherit
        signal.signal(number, signal.SIG_DFL)
    wrong: list[str] = []
    slowest, stopped, photos = 0.0, 0, 0
    while stopped < times:
        moment = rng.uniform(0, library.seconds)
        run = crop(library.photos, output)
        run.sleep_until(moment)
        run.send(number)
        ended, now = run.end(), tree(output)
        if ended.code == 0:  # it was done before
            shutil.rmtree(output)
            continue
        stopped += 1
        slowest = max(slowest, ended.seconds - moment)
        photos += sum(path.endswith(".json") for path in now)
        wrong += unexpected(ended, (128 + number,)) + not_clean(now, library.reference)
        wrong += completed(library, output)
        shutil.rmtree(output)
    found = f"exit code {128 + number}, after {slowest:.1f} s at most; {photos} photos complete, none in part"
    return Finding(f"{number.name} at random moments", f"{stopped} times", found, tuple(wrong))
