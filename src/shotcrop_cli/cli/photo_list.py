"""The lists of photos that a run leaves: files, pipes, devices, and what is open already."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTORS = ("/dev/fd", "/proc/self/fd")


class PhotoList:
    """Where the names of photos go once a run has ended.

    A file is replaced whole. All else, a pipe, a device or an open file such as `/dev/stderr`, is held open until then,
    so that whoever reads waits, and is written behind what is there.

    Args:
        path: Where to.
        flag: The flag that named it.
        null: Whether names end with NUL instead of a newline.

    Raises:
        OutputError: It cannot be written, which is better known before the work than after.
    """

    def __init__(self, path: Path, flag: str, *, null: bool) -> None:
        self._path, self._flag = path, flag
        self._end = b"\0" if null else b"\n"
        with self._telling():
            self._open = _held_open(path)

    def write(self, photos: Iterable[Path]) -> None:
        """Write the list, once.

        Raises:
            OutputError: It cannot be written.
        """
        names = b"".join(os.fsencode(photo) + self._end for photo in photos)
        if self._open is None:
            path = self._path.resolve()  # a link is to lead to the list still
            put_in_place([NewFile(path, names)], root=path.parent)
            return
        with self._telling():
            while names:
                names = names[os.write(self._open, names) :]
            os.close(self._open)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._path}: the list of photos cannot be written: {error.strerror}",
                hint=f"choose another {self._flag}",
            ) from error


def _held_open(path: Path) -> int | None:
    """Open what is no file of its own, and see that a file can be written; None for a file.

    Raises:
        OSError: It cannot be written.
    """
    if (number := _descriptor(path)) is not None:
        if number == 1 and sys.stdout is not None:
            sys.stdout.flush()
            number = sys.stdout.fileno()  # 1 itself has become stderr, `console.keep_stdout_for_results`
        return os.dup(number)
    if path.exists() and not path.is_file():
        return os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    path.open("ab").close()
    return None


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that a path such as /dev/fd/3 stands for."""
    if (number := _STANDARD.get(str(path))) is not None:
        return number
    parents = {os.path.realpath(folder) for folder in _DESCRIPTORS}
    return int(path.name) if path.name.isdecimal() and os.path.realpath(path.parent) in parents else None
