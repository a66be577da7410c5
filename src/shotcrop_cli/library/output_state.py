"""What earlier runs left in the output folder: the thin edge around `plan.decide`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.plan import XMP_ENDING, Decision, Job, Wanted, Work, decide
from shotcrop_cli.library.up_to_date import Glance, Index, Look
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import LARGEST, Sidecar, iso_mtime

_NOBODY = Decision(Work.NOTHING, "unchanged", no_subject=True)


class Ledger:
    """Reads the state of the output, each folder listed once, and decides job by job.

    Args:
        root: The output folder.
        wanted: What this run would make.
        overwrite: Whether everything is done again.
        read_only: Whether to leave the output exactly as it is, for a dry run.
        index: What earlier runs have seen; None to read every sidecar.
    """

    def __init__(
        self,
        root: Path,
        wanted: Wanted,
        *,
        overwrite: bool = False,
        read_only: bool = False,
        index: Index | None = None,
    ) -> None:
        self._root = root
        self._index = index
        self._wanted = wanted
        self._glance = Glance(wanted)
        self._unchanged = Decision(Work.NOTHING, "unchanged", wanted.shots)
        self._overwrite = overwrite
        self._read_only = read_only
        self._listings: dict[str, frozenset[str]] = {}

    def decide(self, job: Job) -> Decision:
        """Tell what a photo needs.

        An up-to-date photo is told by the sizes and times of its file and its sidecar, where an earlier run has read
        that, else by the photo's and a glance at the sidecar, and by the names in its folder. The photo itself is
        opened only when its time changed.

        Raises:
            OutputError: The output cannot be read or written.
        """
        look = self._look(job)
        if look is not None and not self._overwrite and (decision := self._at_a_glance(job, look)) is not None:
            return decision
        content = None if look is None else self._content(job)
        record = None if content is None else _record(content)
        decision = decide(
            job,
            record,
            self._present(job, record),
            self._wanted,
            lambda: _digest(job.source.path),
            overwrite=self._overwrite,
        )
        if not decision.due and record is not None and not self._read_only:
            self._renew(job, record)
        return decision

    def save(self) -> None:
        """Keep what was seen for the next run.

        Raises:
            OutputError: The output cannot be written.
        """
        if self._index is not None and not self._read_only:
            self._index.save()

    def _at_a_glance(self, job: Job, look: Look) -> Decision | None:
        """Decide what needs nothing without parsing anything; None where that is not enough."""
        path, folder = f"{job.source.folder.relative}/{job.sidecar_name}", str(job.source.folder.path)
        # Templates that make folders of their own are worth a closer look than at one folder's names.
        there = self._present(job, None) if "/" in job.files[0] else self._names(str(job.folder))
        nobody = None if self._index is None else self._index.recall(path, look, folder)
        if nobody is None:
            content = self._content(job)
            if not self._glance.is_current(content, job, there):
                return None
            nobody = self._glance.shows_nobody(content)
            if self._index is not None:
                self._index.add(path, look, folder, nobody=nobody)
        elif not nobody and not all([file in there for file in self._wanted_files(job)]):
            return None
        return _NOBODY if nobody else self._unchanged

    def _wanted_files(self, job: Job) -> list[str]:
        files = [file for shot, file in zip(SHOT_TYPES, job.files, strict=True) if shot in self._wanted.shots]
        return [*files, *(file + XMP_ENDING for file in files)] if self._wanted.settings.xmp else files

    def _look(self, job: Job) -> Look | None:
        """Stat the sidecar; None when there is none."""
        folder, name = str(job.folder), job.sidecar_name
        if name not in self._names(folder):
            return None
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116 - 100,000 times
        except OSError:
            return job.source.size_bytes, job.source.mtime_ns, -1, -1
        return job.source.size_bytes, job.source.mtime_ns, status.st_size, status.st_mtime_ns

    def _content(self, job: Job) -> bytes:
        path = f"{job.folder}/{job.sidecar_name}"
        try:  # not `open`, whose objects cost more than the reading itself
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            try:
                return os.read(descriptor, LARGEST + 1)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, IsADirectoryError):
            return b""
        except OSError as error:  # it may hold boxes that were set by hand
            raise OutputError(
                f"{path}: the sidecar cannot be read: {error.strerror}", hint="mend its permissions, or move it away"
            ) from error

    def _present(self, job: Job, record: Sidecar | None) -> set[str]:
        """Return which files of the photo exist, those that an earlier run gave other names included."""
        names = {job.sidecar_name, *job.files, *(name + XMP_ENDING for name in job.files)}
        if record is not None:
            names |= {shot.file for shot in record.shots if shot.file is not None and is_inside(shot.file)}
        return {name for name in names if self._exists(str(job.folder), name)}

    def _exists(self, folder: str, name: str) -> bool:
        if "/" not in name:
            return name in self._names(folder)
        parent, _, last = name.rpartition("/")
        return last in self._names(f"{folder}/{parent}")

    def _names(self, folder: str) -> frozenset[str]:
        if (names := self._listings.get(folder)) is None:
            try:
                names = frozenset(os.listdir(folder))  # noqa: PTH208 - names alone, for 100,000 photos
            except (FileNotFoundError, NotADirectoryError):
                names = frozenset()
            except OSError as error:
                raise OutputError(
                    f"{folder}: {error.strerror}", hint="fix the permissions of the output folder"
                ) from error
            self._listings[folder] = names
        return names

    def _renew(self, job: Job, record: Sidecar) -> None:
        """Record where the photo lies, its new time and the settings, so that a glance is enough for the next run."""
        source = replace(record.source, path=str(job.source.path), mtime=iso_mtime(job.source.mtime_ns))
        renewed = replace(record, source=source, settings=self._wanted.settings)
        put_in_place([NewFile(job.sidecar, renewed.to_bytes())], root=self._root)


def _record(content: bytes) -> Sidecar | None:
    try:
        return sidecars.parse(content)
    except (ShotcropError, ValueError, RecursionError):
        return None


def _digest(path: Path) -> str:
    """Hash a file; one that cannot be read hashes to nothing, and is then found out when it is decoded."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.sha256()
            while chunk := file.read(1 << 20):
                sha256.update(chunk)
    except OSError:
        return ""
    return sha256.hexdigest()
