"""Put files in place without ever leaving half of one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from shotcrop_cli.errors import OutputError, PhotoError

_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".shotcrop-", ".tmp"
_ERRORS_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL)
"""What the output says of one unlucky name, FAT of one with a colon; any other error would befall every photo."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to put in place.

    Args:
        path: Its final path.
        content: All of it.
        mtime_ns: Modification time to give it, nanoseconds since the epoch; None for now.
    """

    path: Path
    content: bytes
    mtime_ns: int | None = None


def put_in_place(
    files: Sequence[NewFile],
    *,
    root: Path,
    obsolete: Sequence[Path] = (),
    aside: tuple[Path, Path] | None = None,
) -> None:
    """Write files so that each final name holds all of its content or what it held before.

    All contents reach the disk under temporary names first; then `aside` is renamed, `obsolete`
    goes, and the files are renamed in the order given. A process killed anywhere leaves temporaries at worst.

    Args:
        files: What to write, the completion marker last.
        root: The output folder; folders below it are made, itself never, so that a lost disk is noticed.
        obsolete: Files to remove just before the renaming, absent ones included.
        aside: A file that is in the way but shall be kept, and its new name.

    Raises:
        PhotoError: A name is too long, or a folder is in its place.
        OutputError: The output cannot be written, whatever the photo.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        if not root.is_dir():
            raise OutputError(f"{root}: the output folder is gone", hint="mount it again and rerun")
        for file in files:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.path.parent / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
            staged.append((temporary, file.path))
            _write(temporary, file)
        if aside is not None:
            aside[0].rename(aside[1])
        for path in obsolete:
            path.unlink(missing_ok=True)
        for temporary, path in staged:
            temporary.replace(path)
    except OSError as error:
        name = error.filename2 or error.filename  # the second of a renaming is the one that is meant
        if error.errno in _ERRORS_OF_ONE_NAME:
            raise PhotoError(
                f"{name}: cannot be written: {error.strerror}",
                hint="rename the photo or the obstacle",
            ) from error
        raise OutputError(
            f"{root}: cannot write: {error.strerror} ({name or staged[-1][1]})",
            hint="free space or fix permissions, then rerun: finished photos are kept",
        ) from error
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def free_name(path: Path, ending: str) -> Path:
    """Return the first of the names `path` + `ending`, `ending.2`, `ending.3`... that no file has."""
    names = chain((f"{path}{ending}",), (f"{path}{ending}.{number}" for number in count(2)))
    return Path(next(name for name in names if not os.path.lexists(name)))


def _write(temporary: Path, file: NewFile) -> None:
    with temporary.open("xb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())
    if file.mtime_ns is not None:
        os.utime(temporary, ns=(file.mtime_ns, file.mtime_ns))


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one of the temporaries that a killed run may leave."""
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)
