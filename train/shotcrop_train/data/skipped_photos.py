"""Photos that a run skips because they cannot be opened: named at once, listed in the run folder, and counted."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

from PIL import Image

from shotcrop_cli.errors import ShotcropError

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for missing and damaged photos."""

LIST = "skipped_photos.jsonl"
"""File in a run folder that names the photos, one per line."""

ATTEMPTS = 100
"""Draws for one row, after which nearly all photos must be broken. Our own choice."""


class SkippedPhotos:
    """The photos that a run has skipped so far.

    Args:
        folder: Run folder that gets the list; None for no list.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.file = None if folder is None else folder / LIST
        self.paths: set[Path] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, path: Path, error: Exception | str) -> None:
        """Name a photo on stderr and in the list, once. The list keeps what earlier parts of the run named."""
        if path in self.paths:
            return
        self.paths.add(path)
        print(f"{path}: skipped, the photo cannot be opened: {error}", file=sys.stderr)
        if self.file is None or str(path) in self._listed():
            return
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"photo": str(path), "reason": str(error)}, ensure_ascii=False) + "\n")

    def _listed(self) -> set[str]:
        if self.file is None or not self.file.is_file():
            return set()
        return {json.loads(line)["photo"] for line in self.file.read_text(encoding="utf-8").splitlines()}


class CollectedPhotos(SkippedPhotos):
    """Photos that a Ray worker skips. The process that started it names and lists them.

    Attributes:
        reasons: Why each photo cannot be opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[Path, str] = {}

    def add(self, path: Path, error: Exception | str) -> None:
        """Keep a photo."""
        self.reasons[path] = str(error)


def none_left() -> ShotcropError:
    """Return the error for a row for which no photo can be opened."""
    return ShotcropError(
        f"{ATTEMPTS} photos in a row cannot be opened",
        hint="check the datasets with `shotcrop train check-data DATA`",
    )
