"""What earlier runs left in the output folder: the thin edge around `plan.decide`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.glance import Glance
from shotcrop_cli.library.names import is_inside
from shotcrop_cli.library.plan import XMP_ENDING, Decision, Job, Wanted, Work, decide
from shotcrop_cli.library.store import NewFile, put_in_place
from shotcrop_cli.sidecar import LARGEST, Sidecar, iso_mtime

_NOBODY = Decision(Work.NOTHING, "unchanged", no_subject=True)


class Ledger:
    """Reads the state of the output, each folder listed once, and decides job by job.

    Args:
        root: The output folder.
        wanted: What this run would make.
        overwrite: Whether everything is done again.
        read_only: Whether to leave the output exactly as it is, for a dry run.
    """

    def __init__(self, root: Path, wanted: Wanted, *, overwrite: bool = False, read_only: bool = False) -> None:
        self._root = root
        self._wanted = wanted
        self._glance = Glance(wanted)
        self._unchanged = Decision(Work.NOTHING, "unchanged", wanted.shots)
        self._overwrite = overwrite
        self._read_only = read_only
        self._listings: dict[str, frozenset[str]] = {}

    def decide(self, job: Job) -> Decision:
        """Tell what a photo needs.

        An up-to-date photo is told by its file's size and time, a glance at the sidecar and the names in its
        folder; the photo itself is opened only when its time changed.

        Raises:
            OutputError: The output cannot be read or written.
        """
        content = self._content(job)
        if content is not None and not self._overwrite:
            names = self._names(str(job.folder))
            # Templates that make folders of their own are worth a closer look.
            there = self._present(job, None) if "/" in job.files[0] else names
            if self._glance.is_current(content, job, there):
                return _NOBODY if self._glance.shows_nobody(content) else self._unchanged
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

    def _content(self, job: Job) -> bytes | None:
        folder, name = str(job.folder), job.sidecar_name
        if name not in self._names(folder):
            return None
        try:  # not `open`, whose objects cost more than the reading itself
            descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return b""
        try:
            return os.read(descriptor, LARGEST + 1)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

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
        """Record the photo's new time and the settings, so that a glance is enough for the next run."""
        source = replace(record.source, mtime=iso_mtime(job.source.mtime_ns))
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
