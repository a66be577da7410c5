"""Checks of the output folder."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.checkup.finding import Finding, Scope, gigabytes, ok, problem
from shotcrop_cli.errors import NO_CURRENT_FOLDER, ExitCode, OutputError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place

_LITTLE_SPACE = 1 << 30
"""Free bytes below which a run may fill the disk."""


def output(scope: Scope) -> Iterator[Finding]:
    """Do what a run does in the output folder, or in the folder where it would be created."""
    from shotcrop_cli.library.output_folder import LOCK_NAME, output_lock

    if scope.output is None:
        return
    try:
        root = scope.output.absolute()
    except FileNotFoundError as error:
        raise OutputError(NO_CURRENT_FOLDER, hint="change to a folder that exists") from error
    # Path.is_dir raises an error if a parent folder is not accessible.
    there = next(folder for folder in (root, *root.parents) if os.path.isdir(folder))  # noqa: PTH112
    with _trial_folder(there, root) as trial:
        yield ok("output", f"{root} is writable" if there == root else f"{root} can be created in {there}")
        _replace_a_file(trial)
        yield ok("renaming", "replaces files atomically")
        with output_lock(trial):
            pass
        same = "does not matter" if (trial / LOCK_NAME.upper()).exists() else "matters"
        yield ok("file names", f"upper or lower case {same}")
    if (root / LOCK_NAME).exists():
        with output_lock(root):
            yield ok("lock", "no other run uses it")
    else:
        yield ok("lock", "works; no run has used it yet")
    free = shutil.disk_usage(there).free
    if free < _LITTLE_SPACE:
        yield problem(
            "space", f"{gigabytes(free)} free", "free space on this disk, or choose another --output", ExitCode.OUTPUT
        )
    else:
        yield ok("space", f"{gigabytes(free)} free")


@contextmanager
def _trial_folder(parent: Path, root: Path) -> Iterator[Path]:
    """Create a hidden folder and remove it afterwards.

    Args:
        parent: The folder to create it in.
        root: The output folder: `parent`, or a folder that will be created below it.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        trial = Path(tempfile.mkdtemp(prefix=".shotcrop-doctor-", dir=parent))
    except OSError as error:
        raise OutputError(f"{parent}: not writable: {error.strerror}", hint=_fix(parent, root, error.errno)) from error
    try:
        yield trial
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _replace_a_file(folder: Path) -> None:
    """Write a file twice, as a run does with a crop that has changed.

    Raises:
        OutputError: It cannot be replaced.
    """
    path = folder / "file"
    for content in (b"before", b"after"):
        put_in_place([NewFile(path, content)], root=folder)
    if path.read_bytes() != b"after":
        raise OutputError(
            f"{folder.parent}: a replaced file still has its old content", hint="choose an --output on a local disk"
        )


def _fix(parent: Path, root: Path, number: int | None) -> str:
    if number == errno.EROFS:
        return f"mount the disk of {parent} with write access, or choose another --output"
    if number not in (errno.EACCES, errno.EPERM):
        return "choose another --output"
    if parent.stat().st_uid == os.getuid():
        return f"chmod u+rwx {shlex.quote(str(parent))}"
    return f'sudo install -d -o "$USER" {shlex.quote(str(root))}'
