"""Turn a sidecar, perhaps edited by hand, into the task of cropping its photo again.

Sidecars are edited and passed around, so a sidecar alone does not decide what is read or written. Photos are read only
from the folders of the photos, and crops are written only below the output folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.formats import JPEG, format_called, format_of, output_format
from shotcrop_cli.library.hand_work import (
    KEEP_ALL,
    Allowed,
    companions,
    is_own_xmp,
    is_retouched,
    recorded_times,
)
from shotcrop_cli.library.name_template import RecordedNames, can_name, leads_into
from shotcrop_cli.library.output_folder import LOCK_NAME, not_an_output
from shotcrop_cli.library.plan import Action, Target, Task, with_rejections
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar

_SUFFIX = ".json"


def output_root(path: Path) -> Path:
    """Return the output folder that a sidecar, or a folder of sidecars, is in.

    Args:
        path: A file or folder that exists.

    Raises:
        ShotcropError: No folder above it was written by `shotcrop crop`.
    """
    real = path.resolve()
    for folder in (real, *real.parents):
        if (folder / LOCK_NAME).is_file():
            return folder
    raise not_an_output(path)


def sidecars_in(folder: Path) -> Iterator[Path]:
    """Yield the sidecars in a folder and its subfolders, sorted, without following links."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(_SUFFIX) and format_of(Path(name.removesuffix(_SUFFIX))) is not None:
                yield Path(parent, name)


def recrop_task(path: Path, root: Path, photo_roots: Sequence[Path]) -> Task:
    """Read a sidecar and return the task of writing its crops again.

    Args:
        path: The sidecar.
        root: The output folder, resolved. Nothing outside of it is written.
        photo_roots: Folders of photos. Nothing outside of them is read.

    Raises:
        ShotcropError: It is not a valid sidecar, or it leads out of these folders.
        PhotoError: Its photo is missing.
        FileNotFoundError: There is no such sidecar.
    """
    folder = _folder_of(path, root)
    status = path.stat()
    record = sidecars.read(path)
    source = find_source(path, folder.relative_to(root), record, photo_roots)
    if f"{source.name}{_SUFFIX}" != path.name:
        raise ShotcropError(
            f"{path}: its name does not match its photo {source.name}", hint=f"rename it to {source.name}{_SUFFIX}"
        )
    files = {shot.key: shot.file or "" for shot in record.all_crops}
    ordinary = {shot.shot: shot.file or "" for shot in record.shots}
    names = RecordedNames(tuple(ordinary.get(shot, "") for shot in SHOT_TYPES), files)
    target = Target(source, folder, names)
    _check_files(path, folder, record, root)
    present = {name for name in files.values() if name and os.path.isfile(folder / name)}  # noqa: PTH113 - never raises
    record = with_rejections(record, present)
    rejected = {shot.key for shot in record.all_crops if shot.rejected or record.rejected}
    shots = tuple(shot for shot, name in files.items() if name and shot not in rejected)
    recorded = Path(record.source.path)
    other = recorded if recorded != source.path and os.path.exists(recorded) else None  # noqa: PTH110 - never raises
    stamp = _stamp(source, status)
    reason = "the sidecar is applied"
    return Task(target, record.settings, Action.CROP, reason, shots, record, recorded_path=other, stamp=stamp)


def crops_of(path: Path, root: Path, record: Sidecar) -> dict[ShotType, Path]:
    """Return the ordinary crops of a sidecar that exist and that no one rejected, widest shot first.

    `recorded_crops.list_crops` has those of other people and of ratio sets, too.

    Args:
        path: The sidecar.
        root: The output folder, resolved. Nothing outside of it is named.
        record: The content of the sidecar.

    Raises:
        ShotcropError: It leads out of the output folder, or names what cannot be a crop.
    """
    folder = _folder_of(path, root)
    _check_files(path, folder, record, root)
    if record.rejected:
        return {}
    wanted = {shot.shot: folder / shot.file for shot in record.shots if shot.file is not None and not shot.rejected}
    return {shot: crop for shot, crop in wanted.items() if os.path.isfile(crop)}  # noqa: PTH113 - never raises


def _folder_of(path: Path, root: Path) -> Path:
    folder = path.parent.resolve()
    if path.is_symlink() or not folder.is_relative_to(root):
        raise ShotcropError(f"{path}: a link that leads out of the output folder", hint="name the file itself")
    return folder


def _stamp(source: Source, sidecar: os.stat_result) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    photo = (source.size_bytes, source.mtime_ns, source.ctime_ns, source.inode)
    return photo, (sidecar.st_size, sidecar.st_mtime_ns)


def is_pending(task: Task, allowed: Allowed = KEEP_ALL) -> bool:
    """Say whether a sidecar has an edited box or caption that is not applied yet.

    Args:
        task: The task of `recrop_task`.
        allowed: What may be done to edited crops. If they may be overwritten, those that somebody changed are pending,
            too.
    """
    record = task.record
    assert record is not None
    times = recorded_times(record)
    for shot in record.all_crops:
        if shot.key not in task.shots:
            continue
        if shot.file is None or shot.is_pending(record.source):
            return True
        crop = task.target.folder / shot.file
        if allowed.overwrite_edited and (is_retouched(crop, shot, times) or _has_other_caption(crop, shot, record)):
            return True
    return False


def _has_other_caption(crop: Path, shot: ShotRecord, record: Sidecar) -> bool:
    """Say whether a person set the caption of a crop, and its XMP file, which others changed, may have another one."""
    if not (shot.text_edited and record.settings.xmp.has_files):
        return False
    try:
        return not is_own_xmp(companions(crop)[0].read_bytes(), shot)
    except OSError:
        return False


def find_source(path: Path, mirrored: PurePath, record: Sidecar, photo_roots: Sequence[Path]) -> Source:
    """Find the photo: at its recorded path, or at the same place as the sidecar below one of the photo folders.

    Args:
        path: The sidecar.
        mirrored: Its folder, relative to the output folder.
        record: Its content.
        photo_roots: Folders of photos. Nothing outside of them is read.

    Raises:
        PhotoError: The photo is missing.
    """
    roots = [root.resolve() for root in photo_roots]
    candidates = [Path(record.source.path), *(root / mirrored / path.name.removesuffix(_SUFFIX) for root in roots)]
    allowed = [photo for photo in candidates if any(leads_into(photo, root) for root in roots)]
    for photo in allowed:
        if format_of(photo) is None:
            continue
        try:
            status = photo.stat()
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode):
            return Source(Folder(photo.parent, mirrored), photo.name, status.st_size, status.st_mtime_ns)
    if not allowed:
        raise PhotoError(
            f"{path}: its photo {record.source.path} is not in a folder that shotcrop may read",
            hint="name the folder of the photos with --photos",
        )
    raise PhotoError(
        f"{path}: its photo {record.source.path} is gone", hint="name the folder it was moved to with --photos"
    )


def _check_files(path: Path, folder: Path, record: Sidecar, root: Path) -> None:
    form = format_called(record.source.format) or format_of(Path(record.source.path)) or JPEG
    suffix = output_format(form, record.settings.format).suffix
    names = [shot.file for shot in record.all_crops if shot.file is not None]
    for name in names:
        if not can_name(folder, name, root):
            raise ShotcropError(f"{path}: its crop {name!r} is outside the output folder", hint="correct `file`")
        if not name.endswith(suffix) or PurePath(name).name.startswith("."):
            raise ShotcropError(
                f"{path}: its crop {name!r} does not have the name of a crop", hint=f"let `file` end with {suffix}"
            )
    if len(set(names)) < len(names):
        raise ShotcropError(f"{path}: two of its shots have the same file", hint="correct `file`")
