"""Test what docs/reliability.md promises, with the default model and real processes.

    python -m benchmarks.reliability.reliability [--quick] [--only NAME] [--markdown FILE]

The script kills `shotcrop crop`, stops it, fills its disk and gives it hostile files. It compares what is left with
what an undisturbed run leaves, and prints one table. As root, it mounts small disks in a temporary folder. It exits
with 1 if a promise was broken. With `--markdown`, the table replaces the one in FILE.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks.reliability import broken_runs, hostile_input, killed_runs, odd_names
from benchmarks.reliability.finding import Finding, as_markdown, as_table
from benchmarks.reliability.undisturbed import Library, make_library

SEED = 20260301
KEPT = Path(tempfile.gettempdir(), "shotcrop-hostile")
"""Folder for files on which a promise was broken."""
_TABLE = re.compile("(?<=<!-- measured -->\n).*(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Effort:
    """How thorough the tests are.

    Args:
        photos: Photos of 1 to 2 MP per run.
        kills: Kills of each kind.
        signals: Signals of each kind.
        losses: Repeats of the other tests.
        hostile: Hostile files.
        few: Photos of the smaller of the two runs that compare memory.
    """

    photos: int = 48
    kills: int = 50
    signals: int = 10
    losses: int = 6
    hostile: int = 2000
    few: int = 200


QUICK = Effort(photos=24, kills=6, signals=2, losses=2, hostile=300, few=60)

Check = Callable[[Library, Path, Effort], Finding]

CHECKS: dict[str, Check] = {
    "kill": lambda library, scratch, effort: killed_runs.kill(library, scratch / "shots", effort.kills, _rng()),
    "redo": lambda library, scratch, effort: killed_runs.kill_redoing(library, scratch / "shots", effort.kills, _rng()),
    "sigint": lambda library, scratch, effort: killed_runs.stop(
        library, scratch / "shots", signal.SIGINT, effort.signals, _rng()
    ),
    "sigterm": lambda library, scratch, effort: killed_runs.stop(
        library, scratch / "shots", signal.SIGTERM, effort.signals, _rng()
    ),
    "full": lambda library, scratch, effort: broken_runs.fill_disk(library, scratch / "disk"),
    "read-only": lambda library, scratch, effort: broken_runs.forbid_writing(library, scratch / "disk"),
    "lost": lambda library, scratch, effort: broken_runs.lose_output(library, scratch, effort.losses, _rng()),
    "unmounted": lambda library, scratch, effort: broken_runs.unmount(library, scratch / "disk", effort.losses, _rng()),
    "changed": lambda library, scratch, effort: broken_runs.change_sources(library, scratch, effort.losses, _rng()),
    "twice": lambda library, scratch, effort: broken_runs.run_twice(library, scratch, effort.losses),
    "hostile": lambda library, scratch, effort: hostile_input.fuzz(scratch, effort.hostile, KEPT),
    "memory": lambda library, scratch, effort: hostile_input.bound_memory(scratch, effort.few),
    "names": lambda library, scratch, effort: odd_names.name_oddly(scratch),
}
"""The tests, by the name that `--only` takes."""


def _rng() -> random.Random:
    return random.Random(SEED)


def machine() -> str:
    """Describe the machine."""
    versions = ", ".join(f"{name} {version(package)}" for name, package in _LIBRARIES.items())
    system = f"{platform.system()} {platform.machine()}"
    return f"{len(os.sched_getaffinity(0))} cores, {system}, Python {platform.python_version()}, {versions}"


_LIBRARIES = {"Pillow": "pillow", "pillow-heif": "pillow-heif", "ONNX Runtime": "onnxruntime"}


def measure(names: list[str], effort: Effort, console: Console) -> list[Finding]:
    """Run the checks, each in a folder of its own."""
    findings = []
    with tempfile.TemporaryDirectory(prefix="shotcrop-reliability-") as folder:
        library = make_library(Path(folder), effort.photos)
        for name in names:
            scratch = Path(folder, name)
            scratch.mkdir()
            start = time.monotonic()
            finding = CHECKS[name](library, scratch, effort)
            console.print(f"{name}: {finding.row[-1]}, {finding.found}, in {time.monotonic() - start:.0f} s")
            for violation in finding.violations:
                console.print(f"  {violation}", style="red", markup=False)
            findings.append(finding)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="do a tenth of the work, to see that the script runs")
    parser.add_argument("--only", action="append", choices=[*CHECKS], help="run only this test; repeat for several")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    start = time.monotonic()
    findings = measure(arguments.only or [*CHECKS], QUICK if arguments.quick else Effort(), Console(stderr=True))
    measured = f"Measured in {(time.monotonic() - start) / 60:.0f} minutes on {machine()}, seed {SEED}."
    Console().print(as_table(findings), measured)
    if arguments.markdown:
        text = arguments.markdown.read_text("utf-8")
        new = f"\n{measured}\n\n{as_markdown(findings)}\n"
        arguments.markdown.write_text(_TABLE.sub(lambda _: new, text), "utf-8")
    return int(any(finding.violations for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
