"""The output folder: one run at a time, leftovers of killed runs, where its photos came from, how to recognise it."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from shotcrop_cli.errors import LockedError, OutputError, ShotcropError
from shotcrop_cli.library.atomic_write import NewFile, is_temporary, put_in_place
from shotcrop_cli.library.results import duration
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.library.shard_lock import list_lock, shard_lock, shard_locks

LOCK_NAME = ".shotcrop.lock"
"""File in the root of every output folder. A search for photos recognises output folders by it."""
ROOTS_NAME = ".shotcrop.sources"
"""File in the root that lists the folders of the photos."""

_RUNNING_NAME = ".shotcrop.running"
"""File that exists only while a run changes the folder. A killed run leaves it."""
_KILLED_NAME = f"{_RUNNING_NAME}.killed"
"""File that says that a run with `--shard` or a Ray worker was killed and may have left temporary files."""
_POLL_SECONDS = 0.2
"""Seconds between two tries of a run that waits for the lock."""


@contextmanager
def open_output(
    root: Path, wait: float, on_wait: Callable[[], None] = lambda: None, shard: Shard | None = None
) -> Iterator[None]:
    """Hold the lock of an output folder, and first remove what a killed run left there.

    Args:
        root: The output folder; made if it does not exist.
        wait: Seconds to wait for another run to end; infinity to wait as long as it takes.
        on_wait: Called once if the run has to wait.
        shard: The part of the library that this run crops while others crop the rest; None for all of it.

    Raises:
        OutputError: The folder cannot be made or written to.
        LockedError: Another run holds the lock.
    """
    try:
        if shard is None:
            with output_lock(root, wait, on_wait), running_marker(root):
                yield
        else:
            with _shard_lock(root, shard, wait, on_wait), _shard_marker(root, shard):
                yield
    finally:
        _clean_up_after_kills(root)


@contextmanager
def _shard_lock(root: Path, shard: Shard, wait: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the locks of a run with `--shard`.

    Raises:
        OutputError: The folder cannot be made or written to.
        LockedError: Another run holds one of the locks.
    """
    path = _make(root)
    with ExitStack() as held:
        try:
            held.enter_context(shard_lock(path, shard, wait, on_wait))
        except OSError as error:
            raise _cannot_lock(path, error) from error
        yield


@contextmanager
def list_of_all_runs(root: Path, shard: Shard | None) -> Iterator[None]:
    """Let only one run at a time change a list in the output folder, which it has to read again before.

    Args:
        root: The output folder, locked for the shard.
        shard: The part of the library that this run crops; None for all of it, when no other run is at work.

    Raises:
        OutputError: The folder cannot be written to.
        LockedError: Another run does not end to change a list.
    """
    if shard is None:
        yield
        return
    try:
        with list_lock(root / LOCK_NAME):
            yield
    except OSError as error:
        raise _cannot_lock(root / LOCK_NAME, error) from error


@contextmanager
def output_lock(root: Path, wait: float = 0.0, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Make the output folder and hold its lock.

    The operating system holds the lock and releases it when the process ends, even if it is killed. The lock is
    advisory: only shotcrop respects it.

    Args:
        root: The output folder.
        wait: Seconds to wait for another run to end; infinity to wait as long as it takes.
        on_wait: Called once if the run has to wait.

    Raises:
        OutputError: The folder cannot be made or written to.
        LockedError: Another run holds the lock.
    """
    path = _make(root)
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
            f"{root}: another run is still using this output folder{after}",
            hint="run again when the other run has ended, or wait for it with --wait",
        ) from None
    except OSError as error:
        raise _cannot_lock(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _make(root: Path) -> Path:
    """Make the output folder, and return the file for its lock.

    Raises:
        OutputError: The folder cannot be made or written to.
    """
    path = root / LOCK_NAME
    try:
        root.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise _cannot_write(root, error) from error
    return path


def _cannot_write(root: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{root}: the output folder cannot be written: {error.strerror}",
        hint="give yourself permission to write there, or use another output folder",
    )


def _cannot_lock(path: Path, error: OSError) -> OutputError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _cannot_write(path.parent, error)
    return OutputError(f"{path}: cannot be locked: {error.strerror}", hint="choose an --output on a local disk")


@contextmanager
def running_marker(root: Path) -> Iterator[None]:
    """Mark the output folder while its files change. If the last run left its marker, remove its temporaries first.

    Only a killed run leaves temporaries, so other runs need not search every folder for them.

    Args:
        root: The output folder, already locked.

    Raises:
        OutputError: The folder cannot be written to.
    """
    marker = root / _RUNNING_NAME
    try:
        if markers := _markers(root):
            remove_temporaries(root)
        _touch(marker)
        for left in {*markers, *shard_locks(root / LOCK_NAME)} - {marker}:
            left.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{error.filename or root}: cannot remove what a killed run left: {error.strerror}",
            hint="fix the permissions of the output folder",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # the next run then searches once more than needed
            marker.unlink(missing_ok=True)


def _touch(marker: Path) -> None:
    try:
        marker.touch()
    except OSError as error:
        raise _cannot_write(marker.parent, error) from error


def _markers(root: Path) -> list[Path]:
    """Return the markers of runs that are at work or were killed."""
    return [root / name for name in os.listdir(root) if name.startswith(_RUNNING_NAME)]  # noqa: PTH208


@contextmanager
def _shard_marker(root: Path, shard: Shard) -> Iterator[None]:
    """Mark the output folder while a run with `--shard` changes its files.

    Temporaries of a killed run may stay until no other run is at work: see `_clean_up_after_kills`.

    Raises:
        OutputError: The folder cannot be written to.
    """
    marker = root / f"{_RUNNING_NAME}.{shard.number}-of-{shard.count}"
    try:
        if marker.exists():
            (root / _KILLED_NAME).touch()
        marker.touch()
    except OSError as error:
        raise _cannot_write(root, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            marker.unlink(missing_ok=True)


def note_kill(root: Path) -> None:
    """Note that a process of this run was killed, so that its temporaries are removed when no run is at work."""
    with suppress(OSError):  # an output that cannot be written ends the run by itself
        (root / _KILLED_NAME).touch()


def _clean_up_after_kills(root: Path) -> None:
    """Remove what killed runs and workers left, if no run is at work any more. If that fails, the next run does it."""
    if not (root / _KILLED_NAME).exists():
        return
    with suppress(OutputError, LockedError), output_lock(root), running_marker(root):
        pass


def remove_temporaries(root: Path) -> None:
    """Remove the temporary files that a killed run left anywhere in the output folder.

    Raises:
        OSError: One of them cannot be removed.
    """
    for folder, _, names in os.walk(root):
        for name in filter(is_temporary, names):
            Path(folder, name).unlink(missing_ok=True)


def add_roots(root: Path, roots: Iterable[Path]) -> None:
    """Add to the folders that the photos of this output come from. `shotcrop apply` reads from no other folders.

    Args:
        root: The output folder, already locked.
        roots: Absolute folders.

    Raises:
        OutputError: The folder cannot be written to.
    """
    known = read_roots(root)
    # The root of the file system is not recorded: it would allow `apply` to read everything.
    merged = tuple(dict.fromkeys((*known, *(folder for folder in roots if folder.parent != folder))))
    if merged != known:
        content = json.dumps([str(path) for path in merged], indent=2) + "\n"
        put_in_place([NewFile(root / ROOTS_NAME, content.encode("ascii"))], root=root)


def read_roots(root: Path) -> tuple[Path, ...]:
    """Return the folders that the photos of this output come from; empty if the list is missing or damaged."""
    return tuple(Path(folder) for folder in recorded_roots(root) if Path(folder).is_absolute())


def recorded_roots(root: Path) -> list[str]:
    """Return the same with URLs, as they are recorded."""
    try:
        folders = json.loads((root / ROOTS_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    is_list = isinstance(folders, list) and all(isinstance(folder, str) for folder in folders)
    return folders if is_list else []


def not_an_output(place: Path) -> ShotcropError:
    """Return the error for a folder, file or URL in no output folder, such as a folder of photos named by mistake."""
    return ShotcropError(
        f"{place}: not in an output folder of shotcrop",
        hint="name the folder that you gave to shotcrop crop as --output",
    )


class OutputFolders:
    """Recognises the output folders of this and other runs, by whatever path, so that crops are never cropped again.

    Args:
        output: The output folder of this run; it need not exist.
    """

    def __init__(self, output: Path) -> None:
        self._output: tuple[int, int] | None = None
        with suppress(OSError):
            self._output = file_id(output.stat())
        self._known: dict[str, bool] = {"": False, "/": False}

    def is_own(self, status: os.stat_result) -> bool:
        """Say whether a folder is the output of this run, even if a link or mount gives it another path."""
        return file_id(status) == self._output

    def contain(self, folder: str) -> bool:
        """Say whether a folder is, or is inside, the output folder of this or another run.

        Args:
            folder: Its real path.
        """
        climbed = []
        at = folder
        while at not in self._known:
            climbed.append(at)
            if self._is_root(at):
                self._known[at] = True
            else:
                at = os.path.dirname(at)  # noqa: PTH120 - for folders of 100,000 listed photos
        self._known.update(dict.fromkeys(climbed, self._known[at]))
        return self._known[folder]

    def _is_root(self, folder: str) -> bool:
        try:
            return self.is_own(os.stat(folder)) or os.path.lexists(f"{folder}/{LOCK_NAME}")  # noqa: PTH116
        except OSError:
            return False


def file_id(status: os.stat_result) -> tuple[int, int]:
    """Return device and inode, which identify a file or folder whatever path leads to it."""
    return status.st_dev, status.st_ino
