"""Real `shotcrop` processes over photos made from the examples, and what can be said of the trees they leave."""

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
UNCUT = "uncut"
"""Stands for sidecars that say themselves that their crops are yet to be cut again."""
_CACHE = ".shotcrop.index"
_UNCUT = "uncut"
"""What only a resumed run leaves: when it found which sidecar up to date."""
_POLL_SECONDS = 0.01
_HANGS_AFTER = 900.0
"""Seconds after which a run of these measurements is taken to hang [O]."""

Tree = Mapping[str, str]
"""Hashes of the files of a folder, or `UNCUT`, by relative path."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Args:
        code: What a shell would see, 128 + the signal when one ended it.
        stdout: What it printed.
        stderr: What it said.
        seconds: How long it ran.
        peak_mb: The most memory that it held, in 10^6 bytes.
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
        """What nobody should ever see: tracebacks and errors that were not foreseen."""
        return [line for line in self.stderr.splitlines() if "Traceback" in line or "unforeseen" in line]

    @property
    def errors(self) -> list[str]:
        """The error lines."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


class CropRun:
    """A `shotcrop` that runs, its output caught in files so that it never waits for a reader.

    Args:
        arguments: The command line behind `shotcrop`.
        stdin: What it reads.
        folder: Where it runs, None for here.
    """

    def __init__(self, *arguments: str | bytes | Path, stdin: bytes = b"", folder: Path | None = None) -> None:
        self._stdout, self._stderr, given = (tempfile.TemporaryFile() for _ in range(3))  # noqa: SIM115 - `end` closes them
        given.write(stdin)
        given.seek(0)
        # No settings of whoever measures.
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
        """Send a signal, unless it has ended."""
        os.kill(self._process.pid, number)

    def sleep_until(self, seconds: float) -> None:
        """Sleep until it has run for so long."""
        time.sleep(max(0.0, self._start + seconds - time.monotonic()))

    def end(self) -> Ended:
        """Wait for its end."""
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
    """Start a run that leaves equal files when it is run again."""
    return CropRun("crop", photos, "-o", output, "--reproducible", *flags)


def make_photos(folder: Path, count: int) -> list[Path]:
    """Make photos of 1 to 2 megapixels, no two alike, in two folders."""
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
    """Hash all files below a folder but the cache; a folder that is not there has none."""
    return {
        path.relative_to(folder).as_posix(): _state(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _CACHE
    }


def _state(content: bytes) -> str:
    """Hash a file, but for a sidecar that says that shots are still to be cut."""
    return _UNCUT if b'"file": null' in content else hashlib.sha256(content).hexdigest()


def _content(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json" and b'"file": null' in content:
        return UNCUT
    return hashlib.sha256(content).hexdigest()


def temporaries(now: Tree) -> list[str]:
    """Return what is left of files that were being written."""
    return [f"{path}: a temporary was left" for path in now if Path(path).suffix == ".tmp"]


def torn(now: Tree, *references: Tree) -> list[str]:
    """Return the files with a final name that hold anything but the whole content of a finished run.

    Args:
        now: A tree at any moment.
        references: The trees that finished runs left; a sidecar stands for crops that all are of its own tree.
    """
    wrong = []
    for path, content in now.items():
        if Path(path).name.startswith(".shotcrop") or content == UNCUT:
            continue
        agreeing = [reference for reference in references if reference.get(path) == content]
        if content == _UNCUT:  # it claims no crops
            continue
        if not agreeing:
            wrong.append(f"{path}: is not what a finished run leaves")
        elif path.endswith(".json"):
            crops = [name for name in agreeing[0] if name.startswith(path.removesuffix("json"))]
            if not any(all(now.get(crop) == reference[crop] for crop in crops) for reference in agreeing):
                wrong.append(f"{path}: says that its crops are complete, and they are not")
    return wrong


def half_done(now: Tree, reference: Tree) -> list[str]:
    """Return the photos of which some files are there and others are not."""
    wrong = []
    for sidecar in (path for path in reference if path.endswith(".json")):
        files = {path for path in reference if path.startswith(sidecar.removesuffix("json"))}
        if files & now.keys() and not files <= now.keys():
            wrong.append(f"{sidecar}: only {len(files & now.keys())} of the photo's {len(files)} files are there")
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
