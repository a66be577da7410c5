"""What earlier runs left in the output folder: the thin edge around `plan.decide`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.plan import Decision, Job, decide
from shotcrop_cli.library.store import NewFile, is_temporary, put_in_place
from shotcrop_cli.settings import CropSettings
from shotcrop_cli.shots import ModelIdentity
from shotcrop_cli.sidecar import Sidecar, iso_mtime


class Ledger:
    """Reads the state of the output, each folder listed once, and decides job by job.

    Args:
        root: The output folder.
        model: The model of this run.
        settings: The settings of this run.
        overwrite: Whether everything is done again.
        read_only: Whether to leave the output exactly as it is, for a dry run.
    """

    def __init__(
        self, root: Path, model: ModelIdentity, settings: CropSettings, *, overwrite: bool, read_only: bool
    ) -> None:
        self._root = root
        self._model_sha256 = model.sha256
        self._settings_hash = settings.hash
        self._overwrite = overwrite
        self._read_only = read_only
        self._listings: dict[Path, frozenset[str]] = {}

    def decide(self, job: Job) -> Decision:
        """Tell whether a photo has to be done.

        Raises:
            OutputError: The output cannot be read, or not be tidied up after a killed run.
        """
        present = self._names(job.folder)
        sidecar = self._sidecar(job) if job.sidecar.name in present else None
        if self._overwrite and sidecar is not None:
            return Decision(True, "overwritten on request")
        decision = decide(
            job,
            sidecar,
            present,
            model_sha256=self._model_sha256,
            settings_hash=self._settings_hash,
            digest=lambda: _digest(job.source.path),
        )
        if sidecar is not None and decision.sha256 is not None and not decision.due and not self._read_only:
            self._renew(job, sidecar)
        return decision

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            try:
                names = frozenset(os.listdir(folder))  # noqa: PTH208 - names alone, for 100,000 photos
                if not self._read_only:
                    for name in filter(is_temporary, names):
                        (folder / name).unlink(missing_ok=True)
            except (FileNotFoundError, NotADirectoryError):
                names = frozenset()
            except OSError as error:
                raise OutputError(
                    f"{folder}: {error.strerror}", hint="fix the permissions of the output folder"
                ) from error
            self._listings[folder] = names
        return self._listings[folder]

    def _sidecar(self, job: Job) -> Sidecar | None:
        try:
            return sidecars.read(job.sidecar)
        except (ShotcropError, FileNotFoundError):
            return None

    def _renew(self, job: Job, sidecar: Sidecar) -> None:
        """Record the photo's new time, so that the next run need not hash it again."""
        source = replace(sidecar.source, mtime=iso_mtime(job.source.mtime_ns))
        put_in_place([NewFile(job.sidecar, replace(sidecar, source=source).to_bytes())], root=self._root)


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
