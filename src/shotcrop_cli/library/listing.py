"""Read the names of photos from a file or from standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from shotcrop_cli.errors import ShotcropError


def read_list(path: str, *, null: bool) -> tuple[Path, ...]:
    """Read names as `find` and `git ls-files` write them.

    Args:
        path: The file, `-` for standard input.
        null: Whether each name ends with a NUL instead of a line's end.

    Raises:
        ShotcropError: The list cannot be read, or its names end with NUL and `null` is false.
    """
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ShotcropError(
            f"{path}: the list of photos cannot be read: {error.strerror}", hint="check --files-from"
        ) from error
    if null:
        names = content.split(b"\0")
    elif b"\0" in content:
        raise ShotcropError(f"{path}: the names in this list end with NUL", hint="add -0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return tuple(Path(os.fsdecode(name)) for name in names if name.strip())
