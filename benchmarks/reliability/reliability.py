"""Put what docs/reliability.md promises to the test, with the default model and real processes.

    python -m benchmarks.reliability.reliability [--quick] [--only NAME] [--markdown FILE]

kills, stops, starves and feeds `shotcrop crop`, compares what it leaves with what an undisturbed run leaves, and prints
one table. As root it mounts small disks in a temporary folder. It ends with 1 when a promise was broken. With
`--markdown` the table replaces the one in FILE.
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
"""Where files on which a promise was broken are kept."""
_TABLE = re.compile("(?<=<!-- measured -->\n).*(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done.

    Args:
        photos: Photos of 1 to 2 megapixels per run.
        kills: Kills of each kind.
        signals: Signals of each kind.
        losses: Turns of what is neither.
        hostile: Hostile files.
        few: Photos of the smaller of the two runs whose memory is compared.
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
"""What is measured, by the name that `--only` knows it by."""


def _rng() -> random.Random:
    return random.Random(SEED)


def machine() -> str:
    """Say what was measured on."""
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
    parser.add_argument("--quick", action="store_true", help="a tenth of the effort, to see that the script works")
    parser.add_argument(
        "--only", action="append", choices=[*CHECKS], help="only this check; may be given several times"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="a document whose table is written anew")
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
