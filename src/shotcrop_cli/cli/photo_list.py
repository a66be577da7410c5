"""Lists of photos that a run writes: to files, pipes, devices and open descriptors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place

_STANDARD = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTORS = ("/dev/fd", "/proc/self/fd")


class PhotoList:
    """A list that is written when a run ends.

    A file is replaced as a whole. A pipe, a device or an open file such as `/dev/stderr` stays open until then, so
    that its reader waits, and the list is appended. `click.File` does neither: it truncates a file at once, and its
    atomic mode cannot write to pipes and devices.

    Args:
        path: The file.
        option: The option that named it.
        null: Whether names end with NUL instead of a newline.

    Raises:
        OutputError: The file cannot be written. This is checked before the work, not after it.
    """

    def __init__(self, path: Path, option: str, *, null: bool) -> None:
        self._path, self._option = path, option
        self._end = b"\0" if null else b"\n"
        with self._errors():
            self._open = _held_open(path)

    def write(self, photos: Iterable[Path]) -> None:
        """Write the list, once.

        Raises:
            OutputError: It cannot be written.
        """
        names = b"".join(os.fsencode(photo) + self._end for photo in photos)
        if self._open is None:
            path = self._path.resolve()  # keep a link
            put_in_place([NewFile(path, names)], root=path.parent)
            return
        with self._errors():
            while names:
                names = names[os.write(self._open, names) :]
            os.close(self._open)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._path}: cannot write the list of photos: {error.strerror}",
                hint=f"choose another {self._option}",
            ) from error


def _held_open(path: Path) -> int | None:
    """Open a pipe, device or descriptor; check that a file can be written, and return None for it.

    Raises:
        OSError: It cannot be written.
    """
    if (number := _descriptor(path)) is not None:
        if number == 1 and sys.stdout is not None:
            sys.stdout.flush()
            number = sys.stdout.fileno()  # descriptor 1 is stderr now, see keep_stdout_for_results
        return os.dup(number)
    if path.exists() and not path.is_file():
        return os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    path.open("ab").close()
    return None


def _descriptor(path: Path) -> int | None:
    """Return the descriptor of a path such as /dev/fd/3; None for other paths."""
    if (number := _STANDARD.get(str(path))) is not None:
        return number
    parents = {os.path.realpath(folder) for folder in _DESCRIPTORS}
    return int(path.name) if path.name.isdecimal() and os.path.realpath(path.parent) in parents else None
