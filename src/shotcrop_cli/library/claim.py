"""An output folder, claimed for one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.cli.console import Console
from shotcrop_cli.library.marks import work_mark
from shotcrop_cli.library.output_folder import output_lock


@contextmanager
def claim(root: Path, wait: float, console: Console) -> Iterator[None]:
    """Hold the lock of an output folder, tidied up after a killed run.

    Args:
        root: The output folder; made where it is missing.
        wait: Seconds to wait for another run on it to end.
        console: Told when there is one.

    Raises:
        OutputError: The folder cannot be made or written to.
        LockedError: Another run holds the lock.
    """

    def waiting() -> None:
        console.info(f"waiting for another run on {root} to end")

    with output_lock(root, wait, waiting), work_mark(root):
        yield
