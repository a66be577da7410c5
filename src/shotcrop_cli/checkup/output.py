"""Whether crops can be written to a folder."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.checkup.finding import Finding, Patient, gigabytes, ok, problem
from shotcrop_cli.errors import ExitCode, OutputError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place

_LITTLE_SPACE = 1 << 30
"""Free bytes below which a run is likely to end early [O]."""


def output(patient: Patient) -> Iterator[Finding]:
    """Do in the output folder, or where it would be made, what a run does there."""
    from shotcrop_cli.library.output_folder import LOCK_NAME, output_lock

    if patient.output is None:
        return
    root = patient.output.absolute()
    # Path.is_dir raises where a folder on the way may not be entered.
    there = next(folder for folder in (root, *root.parents) if os.path.isdir(folder))  # noqa: PTH112
    with _trial_folder(there, root) as trial:
        yield ok("output", f"{root} can be written to" if there == root else f"{root} can be made in {there}")
        _replace_a_file(trial)
        yield ok("renaming", "replaces a file in one step")
        with output_lock(trial):
            pass
        differ = "mean the same" if (trial / LOCK_NAME.upper()).exists() else "differ"
        yield ok("file names", f"upper and lower case {differ} there")
    if (root / LOCK_NAME).exists():
        with output_lock(root):
            yield ok("lock", "no run is at work there")
    else:
        yield ok("lock", "can be held, no run has been there yet")
    free = shutil.disk_usage(there).free
    if free < _LITTLE_SPACE:
        yield problem("space", f"{gigabytes(free)} free", "free some on this disk, or choose another", ExitCode.OUTPUT)
    else:
        yield ok("space", f"{gigabytes(free)} free")


@contextmanager
def _trial_folder(parent: Path, root: Path) -> Iterator[Path]:
    """Make a hidden folder that is gone afterwards.

    Args:
        parent: Where.
        root: The output folder: `parent` itself, or one to be made below it.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        trial = Path(tempfile.mkdtemp(prefix=".shotcrop-doctor-", dir=parent))
    except OSError as error:
        raise OutputError(
            f"{parent} cannot be written to: {error.strerror}", hint=_remedy(parent, root, error.errno)
        ) from error
    try:
        yield trial
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _replace_a_file(folder: Path) -> None:
    """Write a file twice, as a crop that is done again.

    Raises:
        OutputError: It cannot be replaced.
    """
    path = folder / "file"
    for content in (b"before", b"after"):
        put_in_place([NewFile(path, content)], root=folder)
    if path.read_bytes() != b"after":
        raise OutputError(
            f"{folder.parent}: a file that was replaced has kept its content", hint="choose an --output on a local disk"
        )


def _remedy(parent: Path, root: Path, number: int | None) -> str:
    if number == errno.EROFS:
        return f"mount the disk of {parent} for writing, or choose another --output"
    if number not in (errno.EACCES, errno.EPERM):
        return "choose another --output"
    if parent.stat().st_uid == os.getuid():
        return f"chmod u+rwx {shlex.quote(str(parent))}"
    return f'sudo install -d -o "$USER" {shlex.quote(str(root))}'
