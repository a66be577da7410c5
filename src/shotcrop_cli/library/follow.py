"""Let crops, XMP files and sidecars follow photos that were renamed or moved, recognised by their content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.hand_work import backups, companions, hash_file
from shotcrop_cli.library.orphans import Orphan
from shotcrop_cli.library.plan import Target
from shotcrop_cli.shots import CropKey
from shotcrop_cli.sidecar import ShotRecord, Sidecar, iso_mtime


@dataclass(frozen=True, slots=True)
class Renamed:
    """A photo that was cropped under another name.

    Args:
        orphan: Its sidecar under the old name.
        target: The photo and its files under the new name.
    """

    orphan: Orphan
    target: Target


def find_renamed(orphans: Iterable[Orphan], new: Iterable[Target]) -> Iterator[Renamed]:
    """Yield the new photos that have the content of a photo that is gone.

    Only photos that have the size of one that is gone are read.

    Args:
        orphans: Sidecars of photos that are gone.
        new: Photos without a sidecar of their own content.
    """
    by_size: dict[int, list[Orphan]] = {}
    for orphan in orphans:
        by_size.setdefault(orphan.record.source.size_bytes, []).append(orphan)
    for target in new:
        alike = by_size.get(target.source.size_bytes)
        if not alike:
            continue
        try:
            sha256 = hash_file(target.source.path)
        except OSError:
            continue  # decoding will say why
        same = [one for one in alike if one.record.source.sha256 == sha256 and one.sidecar != target.sidecar]
        if same:
            # Of several equal photos, one that kept its name or its folder is the likeliest.
            orphan = max(same, key=lambda one: _likeness(one, target))
            alike.remove(orphan)
            yield Renamed(orphan, target)


def _likeness(orphan: Orphan, target: Target) -> tuple[bool, bool]:
    return orphan.photo.name == target.source.name, orphan.photo.parent == target.source.folder.path


def follow(renamed: Renamed, root: Path) -> bool:
    """Move the files of a photo to its new name, the sidecar last.

    If the process is killed, the next run recognises the photo again and moves the rest.

    Args:
        renamed: The photo.
        root: The output folder, already locked.

    Returns:
        Whether they were moved; not if other files are in their place.

    Raises:
        OutputError: The output cannot be written.
    """
    orphan, target = renamed.orphan, renamed.target
    record, moves = under_new_name(renamed)
    if any(os.path.lexists(new) for new in moves.values()) or os.path.lexists(target.sidecar):
        return False
    try:
        for old, new in moves.items():
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)
    except OSError as error:
        raise OutputError(
            f"{error.filename2 or error.filename}: cannot be written: {error.strerror}",
            hint="free space or fix permissions, then run again",
        ) from error
    put_in_place([NewFile(target.sidecar, record.to_bytes())], root=root)
    with suppress(OSError):  # then it is an orphan without crops
        orphan.sidecar.unlink()
    remove_empty_folders({orphan.sidecar.parent, *(old.parent for old in moves)}, root)
    return True


def under_new_name(renamed: Renamed) -> tuple[Sidecar, dict[Path, Path]]:
    """Return the sidecar of a photo for its new name, and where each of its files goes that exists."""
    orphan, target = renamed.orphan, renamed.target
    shots = tuple(_follow_shot(shot, renamed) for shot in orphan.record.all_crops)
    moves: dict[Path, Path] = {}
    for before, after in zip(orphan.record.all_crops, shots, strict=True):
        if before.file is not None and after.file is not None:
            moves |= _moves(orphan.sidecar.parent / before.file, target.folder / after.file)
    source = replace(orphan.record.source, path=str(target.source.path), mtime=iso_mtime(target.source.mtime_ns))
    record = replace(orphan.record, source=source).with_crops(shots)
    return record, {old: new for old, new in moves.items() if os.path.lexists(old)}


def vacate(target: Target, record: Sidecar | None) -> None:
    """Remove the files of a photo whose name another photo took, and in which no one changed anything.

    The sidecar goes first: if the process is killed, the next run finds a new photo.

    Raises:
        OutputError: A file cannot be removed.
    """
    crops = [target.folder / shot.file for shot in (record.all_crops if record else ()) if shot.file is not None]
    try:
        for path in (target.sidecar, *crops, *(xmp for crop in crops for xmp in companions(crop))):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{error.filename}: cannot be removed: {error.strerror}", hint="fix the permissions of the output folder"
        ) from error


def _follow_shot(shot: ShotRecord, renamed: Renamed) -> ShotRecord:
    if shot.file is None:
        return shot
    return replace(shot, file=_new_name(shot.file, shot.key, renamed), replaced=None)


def _new_name(file: str, key: CropKey, renamed: Renamed) -> str:
    """Return the name of a crop for the new name of its photo: by the name template, or else with the name replaced."""
    target = renamed.target
    old = renamed.orphan.sidecar.name.removesuffix(".json")
    names = target.names.with_suffix(PurePath(file).suffix)
    if names.name(old, key) == file:
        return names.name(target.source.name, key)
    for before, after in ((old, target.source.name), (PurePath(old).stem, PurePath(target.source.name).stem)):
        if before in file:
            return file.replace(before, after)
    return file


def _moves(old: Path, new: Path) -> dict[Path, Path]:
    """Return the moves of a crop, its XMP files and their backups."""
    pairs = {old: new, **dict(zip(companions(old), companions(new), strict=True))}
    for before, after in tuple(pairs.items()):
        pairs |= {old_name: after.with_name(after.name + ending) for old_name, ending in backups(before)}
    return pairs


def remove_empty_folders(folders: Iterable[Path], root: Path) -> None:
    """Remove folders of the output that have become empty, and those above them, but not the output folder itself."""
    for folder in folders:
        with suppress(OSError):
            while folder != root and folder.is_relative_to(root):
                folder.rmdir()
                folder = folder.parent
