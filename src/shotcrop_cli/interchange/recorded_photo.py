"""Read the photos of an output folder from their sidecars, one at a time and in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, with_rejections
from shotcrop_cli.library.recrop import sidecars_in
from shotcrop_cli.sidecar import ShotRecord, Sidecar
from shotcrop_cli.storage.location import is_url


@dataclass(frozen=True, slots=True)
class RecordedPhoto:
    """A photo and what its sidecar says.

    Args:
        root: The output folder.
        sidecar: Path of the sidecar.
        record: The sidecar. Crops that somebody deleted are rejected in it.
    """

    root: Path
    sidecar: Path
    record: Sidecar

    @property
    def name(self) -> str:
        """Path of the photo below its library, as the output folder mirrors it, with `/` between its parts."""
        return self.relative(self.sidecar).removesuffix(SIDECAR_SUFFIX)

    def relative(self, path: Path) -> str:
        """Return the path of a file in the output folder, relative to that, with `/` between its parts."""
        return path.relative_to(self.root).as_posix()

    def crop(self, shot: ShotRecord) -> Path | None:
        """Return the path of the crop of a shot; None if there is none."""
        return None if shot.file is None else self.sidecar.parent / shot.file

    def is_rejected(self, shot: ShotRecord) -> bool:
        """Say whether a person does not want the crop of a shot, or any crop of the photo."""
        return shot.rejected or self.record.rejected


def recorded_photos(root: Path) -> Iterator[RecordedPhoto | ShotcropError]:
    """Yield the photos of an output folder: folder by folder, in the order of their names.

    Only one sidecar is in memory at a time. Instead of a photo whose sidecar cannot be read, this yields the error.

    Args:
        root: Output folder of `shotcrop crop`, or its URL.
    """
    if is_url(root):
        from shotcrop_cli.interchange.recorded_objects import recorded_objects

        for one in recorded_objects(root):
            yield one if isinstance(one, ShotcropError) else RecordedPhoto(root, *one)
        return
    for path in sidecars_in(root):
        try:
            record = read_record(path)
        except ShotcropError as error:
            yield error
        except FileNotFoundError:  # a run has moved it in the meantime
            continue
        else:
            yield RecordedPhoto(root, path, record)


def read_record(path: Path) -> Sidecar:
    """Read a sidecar. Crops that somebody deleted are rejected in it, and names that lead elsewhere are left out.

    Raises:
        ShotcropError: It is not a valid sidecar.
        FileNotFoundError: There is no such file.
    """
    record = sidecars.read(path)
    names = [shot.file for shot in record.all_crops if shot.file is not None and is_inside(shot.file)]
    present = {name for name in names if os.path.isfile(path.parent / name)}  # noqa: PTH113 - never raises
    return with_rejections(record, present)
