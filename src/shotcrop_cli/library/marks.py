"""What a run leaves in the root of the output beside the lock: a mark while it works, and where it read from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.atomic_write import NewFile, is_temporary, put_in_place

_AT_WORK = ".shotcrop.running"
ROOTS_NAME = ".shotcrop.sources"


@contextmanager
def work_mark(root: Path) -> Iterator[None]:
    """Mark the output folder while its files change; sweep it first when the last run left its mark.

    Only a killed run leaves temporaries, so that no other run has to look for them in all folders.

    Args:
        root: The output folder, whose lock is held.

    Raises:
        OutputError: The folder cannot be written to.
    """
    mark = root / _AT_WORK
    try:
        if mark.exists():
            sweep(root)
        mark.touch()
    except OSError as error:
        raise OutputError(
            f"{error.filename or root}: cannot tidy up after a run that was killed: {error.strerror}",
            hint="fix the permissions of the output folder",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # then the next run sweeps once more than needed
            mark.unlink(missing_ok=True)


def sweep(root: Path) -> None:
    """Remove the temporaries that a killed run left anywhere in the output folder.

    Raises:
        OSError: One of them cannot be removed.
    """
    for folder, _, names in os.walk(root):
        for name in filter(is_temporary, names):
            Path(folder, name).unlink(missing_ok=True)


def remember_roots(root: Path, roots: Iterable[Path]) -> None:
    """Add to the folders that photos of this output come from, which `shotcrop apply` reads from and no others.

    Args:
        root: The output folder, whose lock is held.
        roots: Absolute folders.

    Raises:
        OutputError: The folder cannot be written to.
    """
    known = recall_roots(root)
    # Photos from all over the machine are no licence to read all of it.
    merged = tuple(dict.fromkeys((*known, *(folder for folder in roots if folder.parent != folder))))
    if merged != known:
        content = json.dumps([str(path) for path in merged], indent=2) + "\n"
        put_in_place([NewFile(root / ROOTS_NAME, content.encode("ascii"))], root=root)


def recall_roots(root: Path) -> tuple[Path, ...]:
    """Return the folders that photos of this output come from; none where nothing readable says so."""
    try:
        folders = json.loads((root / ROOTS_NAME).read_bytes())
    except (OSError, ValueError):
        return ()
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        return ()
    return tuple(Path(folder) for folder in folders if Path(folder).is_absolute())
