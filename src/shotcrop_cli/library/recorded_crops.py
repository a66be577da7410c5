"""List every crop that a sidecar records: its key, its box, its file, and whether it is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.shots import CropKey, PixelBox
from shotcrop_cli.sidecar import ShotRecord, Sidecar


class CropStatus(str, Enum):
    """Whether a crop is there, and why not."""

    DONE = "done"
    REJECTED = "rejected"
    """A person does not want it. Its file may still be there."""
    DELETED = "deleted"
    """The sidecar names a file that is gone, which later runs take for a rejected crop."""
    LEFT_OUT = "left_out"
    """Its ratio cannot hold the heads; `ShotRecord.left_out` says why."""
    NOT_MADE = "not_made"
    """No run asked for it."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class RecordedCrop:
    """A crop of a photo.

    Args:
        record: What the sidecar says of it.
        path: Its file; None without one.
        status: Whether it is there.
    """

    record: ShotRecord
    path: Path | None
    status: CropStatus

    @property
    def key(self) -> CropKey:
        """Which crop it is: person, set and shot."""
        return self.record.key

    @property
    def box(self) -> PixelBox:
        """Where it is, in pixels of the upright photo."""
        return self.record.box


def list_crops(
    record: Sidecar,
    folder: Path,
    exists: Callable[[Path], bool] = os.path.isfile,  # never raises
) -> tuple[RecordedCrop, ...]:
    """Return every crop of a photo: the three ordinary ones, then those of other people and of ratio sets.

    Args:
        record: The sidecar.
        folder: Its folder. A name in the sidecar that leads out of this folder counts as none.
        exists: Says whether a file exists.
    """
    return tuple(_recorded(crop, record, folder, exists) for crop in record.all_crops)


def _recorded(crop: ShotRecord, record: Sidecar, folder: Path, exists: Callable[[Path], bool]) -> RecordedCrop:
    path = None if crop.file is None or not is_inside(crop.file) else folder / crop.file
    is_there = path is not None and exists(path)
    if crop.rejected or record.rejected:
        status = CropStatus.REJECTED
    elif is_there:
        status = CropStatus.DONE
    elif path is not None:
        status = CropStatus.DELETED
    else:
        status = CropStatus.LEFT_OUT if crop.left_out else CropStatus.NOT_MADE
    return RecordedCrop(crop, path if is_there else None, status)
