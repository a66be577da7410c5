"""Where a crop goes, what is there already, and whether that has to stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.library.hand_work import Allowed, InPlace, Owner, crop_in_place, recorded_times
from shotcrop_cli.library.plan import Task
from shotcrop_cli.shots import CropKey, ShotType
from shotcrop_cli.sidecar import ShotRecord


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of one crop.

    Args:
        path: Where the crop goes.
        former: Where an earlier run put it under another name; None if the name is the same.
        before: What the sidecar says of it; None without one.
        found: What is in these places.
    """

    path: Path
    former: Path | None
    before: ShotRecord | None
    found: dict[Path, InPlace]

    @property
    def edited(self) -> tuple[Path, ...]:
        """The files that somebody made or changed."""
        return tuple(path for path, file in self.found.items() if file.owner is Owner.PERSON)

    @property
    def own(self) -> tuple[Path, ...]:
        """The files that are as shotcrop wrote them."""
        return tuple(path for path, file in self.found.items() if file.owner is Owner.SHOTCROP)

    def must_stay(self, allowed: Allowed) -> bool:
        """Whether the crop must not be written, because it would replace somebody's work."""
        return bool(self.edited) and not allowed.overwrite_edited


def place(task: Task, key: CropKey | ShotType) -> Placement:
    """Look up the place of a crop that is due.

    Raises:
        OSError: A file there cannot be read.
    """
    target, record = task.target, task.record
    path = target.folder / target.crop_name(key)
    before = next((known for known in (() if record is None else record.all_crops) if known.key == key), None)
    name = None if before is None else before.file
    if name is None and before is not None and before.replaced is not None:
        name = before.replaced.file
    former = None if name is None or target.folder / name == path else target.folder / name
    times = (target.source.mtime_ns, *recorded_times(record))
    places = (path,) if former is None else (former, path)
    return Placement(path, former, before, {place: crop_in_place(place, before, times) for place in places})


def kept_crops(task: Task, allowed: Allowed) -> tuple[Path, ...]:
    """Return the files that a task would keep instead of writing crops in their place.

    Raises:
        OSError: A file there cannot be read.
    """
    placements = [place(task, key) for key in task.shots]
    return tuple(path for one in placements if one.must_stay(allowed) for path in one.edited)
