"""Know crops when a search meets them, by whatever path, so that they are never cropped again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shotcrop_cli.library.output_folder import LOCK_NAME


class CropTrees:
    """The output folder of this run and those of other runs.

    Args:
        output: Where crops go; it need not exist.
    """

    def __init__(self, output: Path) -> None:
        self._output: tuple[int, int] | None = None
        with suppress(OSError):
            self._output = identity(output.stat())
        self._known: dict[str, bool] = {"": False, "/": False}

    def is_output(self, status: os.stat_result) -> bool:
        """Tell whether a folder is the output, even where links or mounts give it another path."""
        return identity(status) == self._output

    def hold(self, folder: str) -> bool:
        """Tell whether a folder is, or lies in, the output of this or another run.

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
            return self.is_output(os.stat(folder)) or os.path.lexists(f"{folder}/{LOCK_NAME}")  # noqa: PTH116
        except OSError:
            return False


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return what tells a file or folder from others, whatever path leads to it."""
    return status.st_dev, status.st_ino
