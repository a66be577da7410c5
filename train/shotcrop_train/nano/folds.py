"""Folds of photos: the file's name decides, so a photo is in the same fold in every run, stage and dataset."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fold:
    """One of several folds.

    Args:
        number: Its number, from 0.
        folds: How many there are; 0 for none, and then no photo is in it.
    """

    number: int = 0
    folds: int = 0

    def holds(self, photo: Path) -> bool:
        """Return whether a photo is in this fold."""
        return self.folds > 0 and fold_of(photo, self.folds) == self.number


NO_FOLD = Fold()
"""Holds no photo."""


def fold_of(photo: Path, folds: int) -> int:
    """Return the number of a photo's fold."""
    return int.from_bytes(hashlib.sha256(photo.name.encode()).digest()[:8], "big") % folds
