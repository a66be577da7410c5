"""Read what earlier runs left in the output folder, and decide with it what each photo needs."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.imaging.formats import format_called
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.plan import PHOTO_CHANGED, XMP_SUFFIX, Action, Target, Task, Wanted, decide
from shotcrop_cli.library.up_to_date import Index, PhotoStamp, Stamp, UpToDateCheck
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import MAX_BYTES, Sidecar, iso_mtime

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
    ) -> None:
        self._root = root
        self._wanted = wanted
        self._overwrite = overwrite
        self._read_only = read_only
        self._index = index
        self._check_content = check_content
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
            and not self._overwrite
            and not check_content
            and (task := self._decide_fast(target, stamp)) is not None
        ):
            return task
        content = None if stamp is None else self._read(target)
        record = None if content is None else _parse(content)
        if record is not None:
            target = target.for_format(format_called(record.source.format), self._wanted.settings.format)
        task = decide(
            target,
            record,
            self._present(target, record),
            self._wanted,
            lambda: _sha256(target.source.path),
            overwrite=self._overwrite,
            check_content=check_content,
        )
        self._remember(task, stamp)
        if task.is_due:
            return replace(task, stamp=stamp)
        if record is not None and not self._read_only:
            self._update(target, record, content)
        return task

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
        if task.stamp is None or task.damaged:
            return task
        return replace(task, record=_parse(self._read(task.target)))

    def save(self) -> None:
        """Remember for the next run which photos are up to date.

        Raises:
            OutputError: The output cannot be written.
        """
        if self._index is not None and not self._read_only:
            self._index.save()

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
        return [*names, *(name + XMP_SUFFIX for name in names)] if self._wanted.settings.xmp else names

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
        if not task.is_due and stamp is not None:
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
            names |= {shot.file for shot in record.shots if shot.file is not None and is_inside(shot.file)}
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

    def _update(self, target: Target, record: Sidecar, content: bytes | None) -> None:
        """Write the photo's path and time and the settings into the sidecar, so that the next run is fast."""
        source = replace(record.source, path=str(target.source.path), mtime=iso_mtime(target.source.mtime_ns))
        updated = replace(record, source=source, settings=self._wanted.settings).to_bytes()
        if updated != content:
            put_in_place([NewFile(target.sidecar, updated)], root=self._root)


def _key(target: Target) -> tuple[str, str]:
    """Return what the index calls a photo: its sidecar below the output folder, and its folder."""
    return f"{target.source.folder.relative}/{target.sidecar_name}", str(target.source.folder.path)


def _photo_stamp(target: Target) -> PhotoStamp:
    source = target.source
    return source.size_bytes, source.mtime_ns, source.ctime_ns, source.inode


def _parse(content: bytes) -> Sidecar | None:
    try:
        return sidecars.parse(content)
    except (ShotcropError, ValueError, RecursionError):
        return None


def _sha256(path: Path) -> str:
    """Return the hash of a photo; empty if it cannot be read, which decoding will then report."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.sha256()
            while chunk := file.read(1 << 20):
                sha256.update(chunk)
    except OSError:
        return ""
    return sha256.hexdigest()
