"""A folder for copies of objects. If its process is killed, the next one removes it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PREFIX = "shotcrop-copies-"
_LOCK = "lock"


class CopiesFolder:
    """A temporary folder, which `close` removes.

    The operating system releases its lock when the process ends, so folders without a lock are leftovers.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        _remove_leftovers(Path(tempfile.gettempdir()))
        self._parent = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        self.path = self._parent / "copies"
        self.path.mkdir()
        new = self._parent / f"{_LOCK}.new"
        self._lock: int | None = os.open(new, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self._parent / _LOCK)  # others see the lock only when it is held

    def close(self) -> None:
        """Remove the folder."""
        if self._lock is not None:
            shutil.rmtree(self._parent, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it may be somebody else's, or in use
            lock = os.open(leftover / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(lock)
