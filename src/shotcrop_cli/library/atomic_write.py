"""Write files so that a killed run never leaves half of one under its final name."""

from __future__ import annotations

import errno
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

from shotcrop_cli.errors import OutputError, PhotoError

_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".shotcrop-", ".tmp"
_WRITTEN_TOGETHER = 8
"""All these files are written before the first is synced (our choice): a journal then syncs most of them at once."""
_ERRORS_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL)
"""Errors that concern one name, such as a name with a colon on FAT. Any other error would fail every photo."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write.

    Args:
        path: Its final path.
        content: Its whole content.
        mtime_ns: Its modification time in nanoseconds since the epoch; None for now.
    """

    path: Path
    content: bytes
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What `put_in_place` gets, for a storage that is not a folder of this machine."""

    files: tuple[NewFile, ...]
    first: NewFile | Path | None = None
    backups: tuple[tuple[Path, Path], ...] = ()
    obsolete: tuple[Path, ...] = ()


_ELSEWHERE: dict[Path, Callable[[Change], None]] = {}
"""By output folder, what carries out its changes elsewhere."""


@contextmanager
def written_elsewhere(root: Path, write: Callable[[Change], None]) -> Iterator[None]:
    """Let `put_in_place` change something else than a folder, of which that folder only holds copies.

    Args:
        root: The folder.
        write: Carries out a change, in the order that `put_in_place` promises. It may be called in several threads.
    """
    _ELSEWHERE[root] = write
    try:
        yield
    finally:
        del _ELSEWHERE[root]


def put_in_place(
    files: Sequence[NewFile],
    *,
    root: Path,
    first: NewFile | Path | None = None,
    backups: Sequence[tuple[Path, Path]] = (),
    obsolete: Sequence[Path] = (),
) -> None:
    """Write files so that each final name has either its whole new content or what it had before.

    All contents are written to the disk under temporary names first. Then, in this order: `first` is renamed or
    removed, files to keep get the names of their backups, the new files but the last are renamed, obsolete files are
    removed, and the last new file is renamed. A process that is killed leaves temporaries at worst, and never loses a
    file before its replacement is there.

    Args:
        files: What to write, the sidecar last.
        root: The output folder. Folders below it are made if needed, but not the output folder itself, so that an
            unmounted disk is noticed.
        first: A file to write before anything else changes, or one to remove; None for neither. It says to later runs
            that the rest is unfinished.
        backups: Files to keep under other names, and these names.
        obsolete: Files to remove; they need not exist.

    Raises:
        PhotoError: A name is too long, or a folder has this name.
        OutputError: The output cannot be written, whatever the photo.
    """
    if (write := _ELSEWHERE.get(root)) is not None:
        write(Change(tuple(files), first, tuple(backups), tuple(obsolete)))
        return
    staged: list[tuple[Path, Path]] = []
    new = [first, *files] if isinstance(first, NewFile) else [*files]
    try:
        if not root.is_dir():
            raise OutputError(f"{root}: the output folder is gone", hint="mount its disk and run again")
        for folder in dict.fromkeys(file.path.parent for file in new):
            folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(new), _WRITTEN_TOGETHER):
            together = [(_temporary_in(file.path.parent), file) for file in new[start : start + _WRITTEN_TOGETHER]]
            staged += [(temporary, file.path) for temporary, file in together]
            _write(together)
        waiting = deque(staged)
        if isinstance(first, NewFile):
            _rename(waiting.popleft())
        elif first is not None:
            first.unlink(missing_ok=True)
        for path, backup in backups:
            path.rename(backup)
        while len(waiting) > 1:
            _rename(waiting.popleft())
        for path in obsolete:
            path.unlink(missing_ok=True)
        if waiting:
            _rename(waiting.popleft())
    except OSError as error:
        name = error.filename2 or error.filename  # the new name, if a renaming failed
        if error.errno in _ERRORS_OF_ONE_NAME:
            raise PhotoError(
                f"{name}: cannot be written: {error.strerror}",
                hint="rename the photo, or whatever has this name already",
            ) from error
        raise OutputError(
            f"{root}: cannot write: {error.strerror} ({name or staged[-1][1]})",
            hint="free space or fix permissions, then run again; finished photos are kept",
        ) from error
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which gets its name only when it is complete. Missing folders are made.

    Pipes and devices are written at once. A link stays, and what it leads to is replaced.

    Args:
        path: Final path of the file.

    Raises:
        OutputError: It cannot be written.
    """
    target = Path(os.path.realpath(path))
    temporary = _temporary_in(target.parent)
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                yield stream
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_can_write(path: Path) -> None:
    """Check that `written_whole` can write a file, and change nothing.

    Raises:
        OutputError: It is a folder, or its folder cannot be written or made.
    """
    target = Path(os.path.realpath(path))
    folder = next(parent for parent in target.parents if os.path.lexists(parent))
    is_special = target.exists() and not target.is_file()
    wrong = None
    if target.is_dir():
        wrong = errno.EISDIR
    elif not folder.is_dir():
        wrong = errno.ENOTDIR
    elif not os.access(target if is_special else folder, os.W_OK):
        wrong = errno.EACCES
    if wrong is not None:
        raise _cannot_write(path, OSError(wrong, os.strerror(wrong)))


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written: {error.strerror or error}", hint="name another file, free space or fix permissions"
    )


def _temporary_in(folder: Path) -> Path:
    return folder / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"


def _rename(names: tuple[Path, Path]) -> None:
    names[0].replace(names[1])


def free_name(path: Path, suffix: str) -> Path:
    """Return the first free name of `path` + `suffix`, `path` + `suffix.2`, `path` + `suffix.3` and so on."""
    names = chain((f"{path}{suffix}",), (f"{path}{suffix}.{number}" for number in count(2)))
    return Path(next(name for name in names if not os.path.lexists(name)))


def _write(files: Sequence[tuple[Path, NewFile]]) -> None:
    """Write files under temporary names and sync them to the disk."""
    with ExitStack() as stack:
        streams = [stack.enter_context(temporary.open("xb")) for temporary, _ in files]
        for stream, (_, file) in zip(streams, files, strict=True):
            stream.write(file.content)
            stream.flush()
        for stream in streams:
            os.fsync(stream.fileno())
    for temporary, file in files:
        if file.mtime_ns is not None:
            os.utime(temporary, ns=(file.mtime_ns, file.mtime_ns))


def is_temporary(name: str) -> bool:
    """Say whether a file name is that of a temporary file, which a killed run may leave."""
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)
