"""Start real `shotcrop` processes on photos made from the examples, and check the trees that they leave."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))
SHOTCROP = Path(sys.executable).with_name("shotcrop")
PENDING = "pending"
"""Stands for a sidecar that says that its crops are still to be written."""
_CACHE = ".shotcrop.index"
"""Holds times, so it differs from run to run."""
_POLL_SECONDS = 0.01
_HANGS_AFTER = 900.0
"""Seconds after which a run counts as hanging."""

Tree = Mapping[str, str]
"""Hashes of the files of a folder, or `PENDING`, by relative path."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Args:
        code: The exit code that a shell sees: 128 + the signal, if a signal ended it.
        stdout: Its standard output.
        stderr: Its standard error.
        seconds: How long it ran.
        peak_mb: Its peak memory, in 10^6 bytes.
        silence: The longest time in seconds without a line on stdout after the first, and the line that ended it.
    """

    code: int
    stdout: bytes
    stderr: str
    seconds: float
    peak_mb: float
    silence: tuple[float, bytes]

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """The JSON Lines on stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def complaints(self) -> list[str]:
        """Lines that must never appear: tracebacks and unexpected errors."""
        return [line for line in self.stderr.splitlines() if "Traceback" in line or "unforeseen" in line]

    @property
    def errors(self) -> list[str]:
        """The error lines."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


class CropRun:
    """A running `shotcrop`. Its output goes into files, so it never waits for a reader.

    Args:
        arguments: The command line after `shotcrop`.
        stdin: Its standard input.
        folder: Its working folder, or None for this one.
    """

    def __init__(self, *arguments: str | bytes | Path, stdin: bytes = b"", folder: Path | None = None) -> None:
        self._stdout, self._stderr, given = (tempfile.TemporaryFile() for _ in range(3))  # noqa: SIM115 - `end` closes them
        given.write(stdin)
        given.seek(0)
        # Ignore the settings of this machine's user.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SHOTCROP_")}
        environment["XDG_CONFIG_HOME"] = os.devnull
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            [SHOTCROP, *arguments],
            stdin=given,
            stdout=self._stdout,
            stderr=self._stderr,
            env=environment,
            cwd=folder,
        )
        given.close()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        os.kill(self._process.pid, number)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def sleep_until(self, seconds: float) -> None:
        """Sleep until the process has run for this long."""
        time.sleep(max(0.0, self._start + seconds - time.monotonic()))

    def end(self) -> Ended:
        """Wait until the process ends."""
        size, last, silence = 0, time.monotonic(), (0.0, 0)
        while True:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            now = time.monotonic()
            if (grown := os.fstat(self._stdout.fileno()).st_size) > size:
                if size:
                    silence = max(silence, (now - last, size))
                size, last = grown, now
            if pid:
                break
            if now - self._start > _HANGS_AFTER:
                self.send(signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        with self._stdout, self._stderr:
            self._stdout.seek(0)
            self._stderr.seek(0)
            stdout, stderr = self._stdout.read(), self._stderr.read().decode("utf-8", "backslashreplace")
        ended_by = stdout[silence[1] :].partition(b"\n")[0]
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
        peak = usage.ru_maxrss * unit / 1e6
        return Ended(code if code >= 0 else 128 - code, stdout, stderr, now - self._start, peak, (silence[0], ended_by))


def crop(photos: Path, output: Path, *flags: str | Path) -> CropRun:
    """Start a reproducible run: it leaves equal files every time."""
    return CropRun("crop", photos, "-o", output, "--reproducible", *flags)


def make_photos(folder: Path, count: int) -> list[Path]:
    """Make photos of 1 to 2 MP, all different, in two folders."""
    paths = []
    opened = [Image.open(path).convert("RGB") for path in EXAMPLES]
    for index in range(count):
        image = opened[index % len(opened)]
        width = 1150 + 250 * index // count
        path = folder / ("first" if index < count // 2 else "second") / f"{index:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.resize((width, width * image.height // image.width)).save(path, quality=85)
        paths.append(path)
    return paths


def tree(folder: Path) -> Tree:
    """Hash all files below a folder except the cache. A missing folder has none."""
    return {
        path.relative_to(folder).as_posix(): _state(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _CACHE
    }


def _state(content: bytes) -> str:
    """Hash a file, except a sidecar that says that its crops are still to be written."""
    return PENDING if b'"file": null' in content else hashlib.sha256(content).hexdigest()


def temporaries(now: Tree) -> list[str]:
    """Return the temporary files that were left."""
    return [f"{path}: a temporary file was left" for path in now if Path(path).suffix == ".tmp"]


def torn(now: Tree, *references: Tree) -> list[str]:
    """Return the files with a final name whose content is not that of a finished run.

    Args:
        now: A tree at any moment.
        references: The trees of finished runs. A sidecar and its crops must be of the same tree.
    """
    wrong = []
    for path, content in now.items():
        if Path(path).name.startswith(".shotcrop") or content == PENDING:
            continue
        agreeing = [reference for reference in references if reference.get(path) == content]
        if not agreeing:
            wrong.append(f"{path}: differs from what a finished run leaves")
        elif path.endswith(".json"):
            crops = [name for name in agreeing[0] if name.startswith(path.removesuffix("json"))]
            if not any(all(now.get(crop) == reference[crop] for crop in crops) for reference in agreeing):
                wrong.append(f"{path}: says that its crops are complete, but they are not")
    return wrong


def half_done(now: Tree, reference: Tree) -> list[str]:
    """Return the photos that have some of their files, but not all."""
    wrong = []
    for sidecar in (path for path in reference if path.endswith(".json")):
        files = {path for path in reference if path.startswith(sidecar.removesuffix("json"))}
        if files & now.keys() and not files <= now.keys():
            wrong.append(f"{sidecar}: only {len(files & now.keys())} of the photo's {len(files)} files exist")
    return wrong


def different(now: Tree, reference: Tree) -> list[str]:
    """Return the files in which two finished trees differ."""
    return [
        f"{path}: differs from an uninterrupted run's"
        for path in sorted(now.keys() | reference.keys())
        if now.get(path) != reference.get(path)
    ]


def unexpected(ended: Ended, codes: Sequence[int]) -> list[str]:
    """Return what is wrong with how a run ended."""
    wrong = list(ended.complaints)
    if ended.code not in codes:
        wrong.append(f"exit code {ended.code} instead of {' or '.join(map(str, codes))}: {ended.stderr[-500:]}")
    return wrong
