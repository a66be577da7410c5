"""One run at a time per output folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from shotcrop_cli.errors import LockedError, OutputError

LOCK_NAME = ".shotcrop.lock"
"""Lies in the root of every output folder, which is also how a walk knows one."""


@contextmanager
def output_lock(root: Path) -> Iterator[None]:
    """Make the output folder and hold its lock.

    The lock is advisory and the kernel's: it ends with the process, however that ends.

    Args:
        root: The output folder.

    Raises:
        OutputError: The folder cannot be made or written to.
        LockedError: Another run holds the lock.
    """
    path = root / LOCK_NAME
    try:
        root.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise OutputError(
            f"{root}: the output folder cannot be written: {error.strerror}",
            hint="choose another --output or fix its permissions",
        ) from error
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"{root}: another run works on this output folder", hint="wait until it ends, then run again"
        ) from None
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be locked: {error.strerror}", hint="choose an --output on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
