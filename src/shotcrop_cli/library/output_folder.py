"""One run at a time per output folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from shotcrop_cli.errors import LockedError, OutputError
from shotcrop_cli.library.results import duration

LOCK_NAME = ".shotcrop.lock"
"""Lies in the root of every output folder, which is also how a walk knows one."""

_POLL_SECONDS = 0.2
"""How often a waiting run looks whether the other one has ended [O]."""


@contextmanager
def output_lock(root: Path, wait: float = 0.0, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Make the output folder and hold its lock.

    The lock is advisory and the kernel's: it ends with the process, however that ends.

    Args:
        root: The output folder.
        wait: Seconds to wait for another run to end; infinity for as long as it takes.
        on_wait: Called once before waiting.

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
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if wait <= 0:
                raise
            on_wait()
            lock.acquire(timeout=-1 if math.isinf(wait) else wait, poll_interval=_POLL_SECONDS)
    except Timeout:
        after = f" after {duration(wait)}" if wait > 0 else ""
        raise LockedError(
            f"{root}: another run still works on this output folder{after}",
            hint="run again when it has ended, or let --wait wait for it",
        ) from None
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be locked: {error.strerror}", hint="choose an --output on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
