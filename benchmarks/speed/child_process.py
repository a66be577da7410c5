"""Measure the time and memory of a process from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SHOTCROP = Path(sys.executable).with_name("shotcrop")
CLOCK = """
import json, os, sys, time
nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "seconds": seconds,
                  "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss * unit / 1e6}))
"""
"""A small process starts the measured one, because on Linux a process inherits the peak memory of its parent."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process took.

    Args:
        seconds: From its start to its end.
        cpu_seconds: Of all its threads.
        peak_mb: Peak memory, in 10^6 bytes.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float


def measure(*command: str | Path) -> Measured:
    """Run a command without the user's settings, but with compiled modules, and drop its output.

    Raises:
        RuntimeError: It failed; the message holds its output.
    """
    # An installed command does not compile its modules each time.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SHOTCROP_", "PYTHONDONT"))}
    environment["XDG_CONFIG_HOME"] = os.devnull
    clock = [sys.executable, "-I", "-S", "-c", CLOCK]
    done = subprocess.run([*clock, *map(str, command)], capture_output=True, check=True, text=True, env=environment)
    found = json.loads(done.stdout)
    if found.pop("code") != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr[-500:]}")
    return Measured(**found)


def crop(photos: Path, output: Path, *flags: str) -> Measured:
    """Run `shotcrop crop` with the default model."""
    return measure(SHOTCROP, "crop", photos, "-o", output, "-q", *flags)
