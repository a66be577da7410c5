"""Read what earlier runs left in the output folder, and decide with it what each photo needs."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.imaging.formats import format_called
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.hand_work import (
    KEEP_ALL,
    XMP_SUFFIX,
    Allowed,
    hash_file,
    is_retouched,
    recorded_times,
    stranded_xmp,
)
from shotcrop_cli.library.name_template import can_name, is_inside
from shotcrop_cli.library.names_in_photos import names_to_record, read_regions, with_names
from shotcrop_cli.library.plan import PHOTO_CHANGED, REJECTED, Action, Target, Task, Wanted, decide, with_rejections
from shotcrop_cli.library.up_to_date import Index, PhotoStamp, Stamp, UpToDateCheck
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import MAX_BYTES, ShotRecord, Sidecar, iso_mtime

_IMPOSSIBLE_FOLDERS = (errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of folders that do not exist, although a sidecar names them."""


class OutputState:
    """Decides photo by photo what to do. Lists each folder of the output once.

    Args:
        root: The output folder.
        wanted: What this run would make.
        overwrite: Whether to do everything again.
        read_only: Whether to leave the output exactly as it is, for a dry run.
        index: What earlier runs found up to date; None to read every sidecar.
        check_content: Whether to compare the content of every photo, and not only its stamp.
        allowed: What may be done to finished work.
    """

    def __init__(
        self,
        root: Path,
        wanted: Wanted,
        *,
        overwrite: bool = False,
        read_only: bool = False,
        index: Index | None = None,
        check_content: bool = False,
        allowed: Allowed = KEEP_ALL,
    ) -> None:
        self._root = root
        self._wanted = wanted
        self._overwrite = overwrite
        self._read_only = read_only
        self._index = index
        self._check_content = check_content
        self._allowed = allowed
        self._reads_all = (
            overwrite or allowed.overwrite_edited or allowed.restore_rejected or bool(wanted.subjects.names)
        )
        self._check = UpToDateCheck(wanted)
        self._listings: dict[str, frozenset[str]] = {}

    def decide(self, target: Target) -> Task:
        """Decide what to do with a photo.

        The stamps of the photo and its sidecar are enough if an earlier run found them up to date. Otherwise a few
        values of the sidecar are compared, and if that does not settle it, all of them. The photo itself is opened only
        if its size is the recorded one and any other part of its stamp changed.

        Raises:
            OutputError: The output cannot be read or written.
        """
        stamp = self._stamp(target)
        check_content = self._check_content or self._may_have_changed(target)
        if (
            stamp is not None
            and not self._reads_all
            and not check_content
            and (task := self._decide_fast(target, stamp)) is not None
        ):
            return task
        content = b"" if stamp is None else self._read(target)
        record, fault = self._parse(target, content)
        names: tuple[str, ...] = ()
        recorded = () if record is None else record.people
        if record is not None and self._wanted.subjects.names:
            regions = read_regions(target.source.path)
            names = tuple(dict.fromkeys(region.name for region in regions))
            record = with_names(record, regions)
        if record is not None:
            target = target.for_format(format_called(record.source.format), self._wanted.settings.format)
        task = decide(
            target,
            record,
            self._present(target, record),
            self._wanted,
            lambda: _sha256(target.source.path),
            fault=fault,
            overwrite=self._overwrite,
            check_content=check_content,
            allowed=self._allowed,
            is_retouched=lambda shot: self._is_retouched(target, shot, record),
        )
        self._remember(task, stamp)
        if task.is_due:
            return replace(task, stamp=stamp)
        if task.action is Action.SKIP and record is not None and not self._read_only:
            asked = self._wanted.subjects.names
            people = names_to_record(record.people, recorded, asked, record.settings.metadata)
            self._update(task, replace(record, people=people), content)
        return replace(task, names=names) if names else task

    def list_folder(self, folder: str, names: frozenset[str]) -> None:
        """Take the names in a folder of the output, which then need not be listed again."""
        self._listings[folder] = names

    def forget_listings(self) -> None:
        """List all folders again, because files were moved."""
        self._listings.clear()

    def record(self, target: Target) -> Sidecar | None:
        """Return the sidecar of a photo; None without a readable one.

        Raises:
            OutputError: It cannot be read.
        """
        return None if self.is_new(target) else self._parse(target, self._read(target))[0]

    def is_new(self, target: Target) -> bool:
        """Say whether a photo has no sidecar."""
        return target.sidecar_name not in self._names(str(target.folder))

    def suspend(self, task: Task) -> Task:
        """Return a task to keep until its turn comes, without its sidecar: 100,000 of these would take 450 MB."""
        return replace(task, record=None)

    def resume(self, task: Task) -> Task:
        """Return a suspended task with its sidecar, or decide again if somebody changed the sidecar in the meantime.

        Raises:
            OutputError: The output cannot be read or written.
        """
        if self._stamp(task.target) != task.stamp:
            return self.decide(task.target)
        if task.stamp is None:
            return task
        return replace(task, record=self._parse(task.target, self._read(task.target))[0])

    def save(self, *, merge: bool = False) -> None:
        """Remember for the next run which photos are up to date.

        Args:
            merge: Whether to keep what other runs remember. They must not do so meanwhile.

        Raises:
            OutputError: The output cannot be written.
        """
        if self._index is not None and not self._read_only:
            self._index.save(merge=merge)

    def _decide_fast(self, target: Target, stamp: Stamp) -> Task | None:
        """Recognise an up-to-date photo without parsing its whole sidecar; None if that does not settle it."""
        path, folder = _key(target)
        # The names in the target's own folder are enough, unless the template makes folders below it.
        in_folders = "/" in target.crop_names[0]
        present = self._present(target, None) if in_folders else self._names(str(target.folder))
        no_subject = None if self._index is None else self._index.find(path, stamp, folder)
        if no_subject is None:
            no_subject = self._check.check(self._read(target), target, present)
            if no_subject is None:
                return None
            if self._index is not None:
                self._index.add(path, stamp, folder, no_subject=no_subject)
        elif not no_subject and not all([name in present for name in self._wanted_files(target)]):
            return None
        shots = () if no_subject else self._wanted.shots
        return Task(target, self._wanted.settings, Action.SKIP, "unchanged", shots, no_subject=no_subject)

    def _wanted_files(self, target: Target) -> list[str]:
        names = [name for shot, name in zip(SHOT_TYPES, target.crop_names, strict=True) if shot in self._wanted.shots]
        return [*names, *(name + XMP_SUFFIX for name in names)] if self._wanted.settings.xmp.has_files else names

    def _stamp(self, target: Target) -> Stamp | None:
        """Return the stamps of the photo and its sidecar; None if there is no sidecar."""
        folder, name = str(target.folder), target.sidecar_name
        if name not in self._names(folder):
            return None
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116 - 100,000 times
        except OSError:
            return _photo_stamp(target), (-1, -1)
        return _photo_stamp(target), (status.st_size, status.st_mtime_ns)

    def _may_have_changed(self, target: Target) -> bool:
        if self._index is None:
            return False
        path, folder = _key(target)
        return self._index.may_have_changed(path, _photo_stamp(target), folder)

    def _remember(self, task: Task, stamp: Stamp | None) -> None:
        """Let the next run recognise the photo as it is now.

        A photo is not remembered if only its content shows that it changed, or if its content was not compared.
        Otherwise a run that ends before the photo is cropped would leave nothing by which the next run could notice
        the change.
        """
        if self._index is None:
            return
        source, record = task.target.source, task.record
        path, folder = _key(task.target)
        if task.action is Action.SKIP and stamp is not None and not _has_hand_work(record):
            self._index.add(path, stamp, folder, no_subject=task.no_subject)
        elif (
            (task.reason != PHOTO_CHANGED and not self._overwrite)
            or record is None
            or (record.source.size_bytes, record.source.mtime) != (source.size_bytes, iso_mtime(source.mtime_ns))
        ):
            self._index.add_photo(path, _photo_stamp(task.target), folder)

    def _read(self, target: Target) -> bytes:
        path = f"{target.folder}/{target.sidecar_name}"
        try:  # not `open`: making its objects takes longer than reading
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            try:
                return os.read(descriptor, MAX_BYTES + 1)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, IsADirectoryError):
            return b""
        except OSError as error:  # not replaced, because it may hold boxes that were set by hand
            raise OutputError(
                f"{path}: the sidecar cannot be read: {error.strerror}", hint="fix its permissions, or move it away"
            ) from error

    def _present(self, target: Target, record: Sidecar | None) -> set[str]:
        """Return which files of the photo exist, under the names of this run and those in the sidecar."""
        names = {target.sidecar_name, *target.crop_names, *(name + XMP_SUFFIX for name in target.crop_names)}
        if record is not None:
            names |= {shot.file for shot in record.all_crops if shot.file is not None and is_inside(shot.file)}
            names |= {target.crop_name(shot.key) + XMP_SUFFIX for shot in record.more_crops}
        return {name for name in names if self._exists(str(target.folder), name)}

    def _exists(self, folder: str, name: str) -> bool:
        if "/" not in name:
            return name in self._names(folder)
        parent, _, last = name.rpartition("/")
        return last in self._names(f"{folder}/{parent}")

    def _names(self, folder: str) -> frozenset[str]:
        if (names := self._listings.get(folder)) is None:
            try:
                names = frozenset(os.listdir(folder))  # noqa: PTH208 - names alone, for 100,000 photos
            except (FileNotFoundError, NotADirectoryError, ValueError):
                names = frozenset()
            except OSError as error:
                if error.errno in _IMPOSSIBLE_FOLDERS:
                    return frozenset()
                raise OutputError(
                    f"{folder}: {error.strerror}", hint="fix the permissions of the output folder"
                ) from error
            self._listings[folder] = names
        return names

    def _parse(self, target: Target, content: bytes) -> tuple[Sidecar | None, str]:
        """Return a sidecar with what somebody rejected, or None and why it cannot be read.

        An empty sidecar counts as none: it holds no one's work.
        """
        if not content:
            return None, ""
        try:
            record = sidecars.parse(content)
        except (ShotcropError, ValueError, RecursionError) as error:
            return None, sidecars.fault(error)
        record = record.with_crops(self._checked(target, shot) for shot in record.all_crops)
        return with_rejections(record, self._present(target, record), self._allowed), ""

    def _checked(self, target: Target, shot: ShotRecord) -> ShotRecord:
        """Return a shot without files that it must not name. Anybody may have edited the sidecar."""
        if shot.file is not None and not self._may_name(target, shot.file):
            shot = replace(shot, file=None)
        if shot.replaced is not None and not self._may_name(target, shot.replaced.file):
            shot = replace(shot, replaced=None)
        return shot

    def _may_name(self, target: Target, name: str) -> bool:
        if "/" not in name:
            return is_inside(name)
        return can_name(target.folder, name, self._root.resolve())

    def _is_retouched(self, target: Target, shot: ShotRecord, record: Sidecar | None) -> bool:
        if shot.file is None or not self._exists(str(target.folder), shot.file):
            return False
        times = (target.source.mtime_ns, *recorded_times(record))
        return is_retouched(target.folder / shot.file, shot, times)

    def _update(self, task: Task, record: Sidecar, content: bytes) -> None:
        """Write the photo's path and time and the settings into the sidecar, so that the next run is fast."""
        photo = task.target.source
        source = replace(record.source, path=str(photo.path), mtime=iso_mtime(photo.mtime_ns))
        settings = record.settings if task.reason == REJECTED else task.settings
        updated = replace(record, source=source, settings=settings).to_bytes()
        stranded = [xmp for shot in record.all_crops if (xmp := self._stranded_xmp(task.target, shot)) is not None]
        if updated != content or stranded:
            put_in_place([NewFile(task.target.sidecar, updated)], root=self._root, obsolete=stranded)

    def _stranded_xmp(self, target: Target, shot: ShotRecord) -> Path | None:
        name = target.crop_name(shot.key)
        is_there = shot.file is None and self._exists(str(target.folder), name + XMP_SUFFIX)
        return stranded_xmp(target.folder / name, shot) if is_there else None


def _has_hand_work(record: Sidecar | None) -> bool:
    """Say whether every run should read a sidecar, because it has something to report."""
    if record is None:
        return False
    return bool(record.rejected or record.pending or any(shot.rejected or shot.retouched for shot in record.all_crops))


def _key(target: Target) -> tuple[str, str]:
    """Return what the index calls a photo: its sidecar below the output folder, and its folder."""
    return f"{target.source.folder.relative}/{target.sidecar_name}", str(target.source.folder.path)


def _photo_stamp(target: Target) -> PhotoStamp:
    source = target.source
    return source.size_bytes, source.mtime_ns, source.ctime_ns, source.inode


def _sha256(path: Path) -> str:
    """Return the hash of a photo; empty if it cannot be read, which decoding will then report."""
    try:
        return hash_file(path)
    except OSError:
        return ""
