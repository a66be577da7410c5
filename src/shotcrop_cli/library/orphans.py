"""Find finished crops whose photo is gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import msgspec

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.library.atomic_write import is_temporary
from shotcrop_cli.library.hand_work import backups, companions, edits
from shotcrop_cli.library.name_template import can_name
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.shots import CropKey
from shotcrop_cli.sidecar import Sidecar

Listing = Callable[[str, frozenset[str]], None]
"""Takes the path of a folder and the names in it."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A sidecar whose photo is gone.

    Args:
        sidecar: Its path.
        record: Its content. It names only files below the output folder.
        is_doubtful: Whether the folder of the photo is empty or missing, so that its disk may not be mounted.
    """

    sidecar: Path
    record: Sidecar
    is_doubtful: bool = False

    @property
    def photo(self) -> Path:
        """Where the photo was."""
        return Path(self.record.source.path)

    @property
    def crops(self) -> dict[CropKey, Path]:
        """The crops that exist."""
        named = {shot.key: self.sidecar.parent / shot.file for shot in self.record.all_crops if shot.file is not None}
        return {key: path for key, path in named.items() if path.is_file()}

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that belongs to the photo, the sidecar last."""
        found = [*self.crops.values(), *self.xmp_files]
        found += [backup for path in (*found, self.sidecar) for backup, _ in backups(path)]
        return (*dict.fromkeys(found), self.sidecar)

    @property
    def edits(self) -> tuple[tuple[Path, str], ...]:
        """What people did to it: a file, and what is edited in it."""
        return tuple(edits(self.sidecar.parent, self.record))

    @property
    def xmp_files(self) -> tuple[Path, ...]:
        """The XMP files of its crops, also of those that are gone."""
        named = (self.sidecar.parent / shot.file for shot in self.record.all_crops if shot.file is not None)
        return tuple(path for crop in named for path in companions(crop) if path.is_file())


def find_orphans(
    root: Path,
    photo_roots: Sequence[Path],
    claimed: Collection[str] = (),
    *,
    files: OutputFiles | None = None,
    recorded_roots: Sequence[Path] = (),
    listed: Listing = lambda _folder, _names: None,
) -> Iterator[Orphan]:
    """Yield the sidecars of an output folder whose photo is neither where it was nor at its place in a photo folder.

    Args:
        root: The output folder.
        photo_roots: Folders of photos. Sidecars of photos from elsewhere are left alone.
        files: Says which photos exist; None to look for files of this machine.
        recorded_roots: Where photos were before, such as a library that was moved. Sidecars of photos from there count.
        claimed: Paths of sidecars whose photo is known to exist.
        listed: Told the names in each folder of the output.
    """
    real, files = root.resolve(), files or OutputFiles(root, tuple(photo_roots))
    for path, folders, names in os.walk(root):
        folders.sort()
        folder, relative = str(Path(path)), Path(path).relative_to(root)
        listed(folder, frozenset(names + folders))
        unclaimed = [name for name in names if name.endswith(SIDECAR_SUFFIX) and f"{folder}/{name}" not in claimed]
        for name in sorted(unclaimed):
            photo = name.removesuffix(SIDECAR_SUFFIX)
            if is_temporary(name) or format_of_name(photo) is None:
                continue
            if any(files.has_photo(f"{photo_root}/{relative}/{photo}") for photo_root in photo_roots):
                continue
            if (orphan := _orphan(Path(folder, name), real, photo_roots, recorded_roots, files)) is not None:
                yield orphan


class _Source(msgspec.Struct):
    path: str


class _Summary(msgspec.Struct):
    source: _Source


_SUMMARIES = msgspec.json.Decoder(_Summary)


def _orphan(
    path: Path, root: Path, photo_roots: Sequence[Path], recorded_roots: Sequence[Path], files: OutputFiles
) -> Orphan | None:
    try:
        # Most sidecars are of photos from elsewhere, so this reads one value before it reads all.
        photo = PurePath(_SUMMARIES.decode(path.read_bytes()).source.path)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        photo = None  # perhaps of a photo whose name is not UTF-8
    if photo is not None and not _is_gone(photo, (*photo_roots, *recorded_roots), files):
        return None
    try:
        record = sidecars.read(path)
    except (ShotcropError, OSError):
        return None  # a run over its photo would say so
    photo = PurePath(record.source.path)
    if not _is_gone(photo, (*photo_roots, *recorded_roots), files):
        return None
    photo_root = next(folder for folder in (*photo_roots, *recorded_roots) if photo.is_relative_to(folder))
    shots = (
        shot if shot.file is None or can_name(path.parent, shot.file, root) else replace(shot, file=None)
        for shot in record.all_crops
    )
    record = record.with_crops(shots)
    return Orphan(path, record, files.may_be_unmounted(Path(photo).parent, photo_root))


def _is_gone(photo: PurePath, photo_roots: Sequence[Path], files: OutputFiles) -> bool:
    return any(photo.is_relative_to(folder) for folder in photo_roots) and not files.has_photo(str(photo))
