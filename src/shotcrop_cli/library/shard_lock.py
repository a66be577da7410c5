"""Locks of runs with `--shard`: several of them may use an output folder together, but none twice.

Such a run shares the lock of the output folder with others of its kind, and has a lock of its own besides. A run
without `--shard` needs the first lock for itself alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shotcrop_cli.errors import LockedError
from shotcrop_cli.library.shard import Shard

_SHARD_LOCK = re.compile(r"(?P<lock>.+)\.(?P<number>\d+)-of-(?P<count>\d+)")
"""Names of the locks of single shards."""
_LIST_LOCK_SUFFIX = ".lists"
_POLL_SECONDS = 0.2
_LIST_SECONDS = 60.0
"""Seconds to wait for another run that writes a list of the output folder. That takes far less (our choice)."""


class Flock:
    """An advisory lock on a file, which the operating system releases when the process ends.

    Args:
        path: The file; made if it does not exist.
        shared: Whether others may have the same lock at the same time, if theirs is shared, too.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
        self._descriptor = -1

    def try_lock(self) -> bool:
        """Take the lock unless somebody has it, and return whether that worked.

        Raises:
            OSError: The file cannot be made or locked.
        """
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, self._operation)
                if _is_at(descriptor, self._path):
                    self._descriptor, descriptor = descriptor, -1
                    return True
            except (BlockingIOError, PermissionError):
                return False
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def release(self, *, remove: bool = False) -> None:
        """Release the lock.

        Args:
            remove: Whether to remove the file. Others that wait for the lock notice that.
        """
        if remove:
            with suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Say whether an open file is still the one with this path, and was not removed before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def shard_lock(lock: Path, shard: Shard, wait: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the locks of a run with `--shard`.

    Args:
        lock: The lock of the output folder, an existing file.
        shard: The shard.
        wait: Seconds to wait for another run to end; infinity to wait as long as it takes.
        on_wait: Called once if the run has to wait.

    Raises:
        LockedError: A run without `--shard`, of the same shard or of another number of shards uses the output folder.
        OSError: The locks cannot be made.
    """
    deadline = time.monotonic() + wait
    is_waiting = False
    while (locks := _try_all(lock, shard)) is None:
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{lock.parent}: a run of the same photos is still using this output folder",
                hint=f"give each machine another shard of {shard.count}, or wait for the other run with --wait",
            )
        if not is_waiting:
            is_waiting = True
            on_wait()
        time.sleep(_POLL_SECONDS)
    common, own = locks
    try:
        yield
    finally:
        own.release(remove=True)
        common.release()


def _try_all(lock: Path, shard: Shard) -> tuple[Flock, Flock] | None:
    """Take both locks, or none."""
    common = Flock(lock, shared=True)
    if not common.try_lock():
        return None
    own = Flock(lock.with_name(f"{lock.name}.{shard.number}-of-{shard.count}"))
    try:
        if own.try_lock():
            if not _is_split_otherwise(lock, shard.count):
                return common, own
            own.release(remove=True)
    except OSError:
        common.release()
        raise
    common.release()
    return None


def _is_split_otherwise(lock: Path, count: int) -> bool:
    """Say whether a run is at work that splits the library into another number of shards, so that photos overlap."""
    for path in shard_locks(lock):
        name = _SHARD_LOCK.fullmatch(path.name)
        assert name is not None
        if int(name["count"]) != count:
            other = Flock(path)
            if not other.try_lock():
                return True
            other.release(remove=True)  # of a killed run
    return False


def shard_locks(lock: Path) -> list[Path]:
    """Return the locks of single shards next to the lock of an output folder, those of killed runs included."""
    names = (_SHARD_LOCK.fullmatch(name) for name in os.listdir(lock.parent))  # noqa: PTH208
    return [lock.with_name(name[0]) for name in names if name is not None and name["lock"] == lock.name]


@contextmanager
def list_lock(lock: Path) -> Iterator[None]:
    """Hold the lock that runs with `--shard` need to change a list which they share.

    Args:
        lock: The lock of the output folder.

    Raises:
        LockedError: Another run holds it far too long.
        OSError: The lock cannot be made.
    """
    own = Flock(lock.with_name(lock.name + _LIST_LOCK_SUFFIX))
    deadline = time.monotonic() + _LIST_SECONDS
    while not own.try_lock():
        if time.monotonic() >= deadline:
            raise LockedError(f"{lock.parent}: another run does not end to write its lists", hint="run again later")
        time.sleep(_POLL_SECONDS / 10)
    try:
        yield
    finally:
        own.release(remove=True)
