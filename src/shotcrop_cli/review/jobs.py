"""Crop photos again in the background after their sidecars were edited, one at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.api import apply_sidecars
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.hand_work import KEEP_ALL, Allowed
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.run_options import ApplyOptions

_REMEMBERED = 1_000
"""Photos whose last result is kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """How the crops of a photo are doing.

    Args:
        state: `waiting`, `done` or `failed`.
        message: Why it failed, or what it kept; otherwise empty.
    """

    state: str
    message: str = ""


class Recropper:
    """A thread that applies edited sidecars, as `shotcrop apply` does.

    Args:
        files: The output.
        photos: Folders to read photos from; empty for those that `crop` recorded.
        on_done: Called with each sidecar that was applied.
    """

    def __init__(self, files: OutputFiles, photos: tuple[Path, ...], on_done: Callable[[Path], None]) -> None:
        self._files, self._photos, self._on_done = files, photos, on_done
        self._waiting: OrderedDict[Path, Allowed] = OrderedDict()
        self._results: OrderedDict[Path, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._ending = False
        self._at_work: Path | None = None
        self._thread = threading.Thread(target=self._work, name="recrop", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of photos that are not done."""
        with self._changed:
            return len(self._waiting) + (self._at_work is not None)

    def put(self, sidecar: Path, allowed: Allowed = KEEP_ALL) -> None:
        """Crop a photo again soon."""
        with self._changed:
            self._waiting[sidecar] = allowed
            self._results.pop(sidecar, None)
            self._changed.notify_all()

    def find(self, sidecar: Path) -> Job | None:
        """Return how a photo is doing; None if it was never put, or long ago."""
        with self._changed:
            if sidecar in self._waiting or self._at_work == sidecar:
                return Job("waiting")
            return self._results.get(sidecar)

    def finish(self, seconds: float) -> bool:
        """Finish what is waiting and end; return whether that succeeded in time."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                sidecar, allowed = self._waiting.popitem(last=False)
                self._at_work = sidecar
            job = self._apply(self._files.show(sidecar), allowed)
            self._refresh(sidecar)
            self._on_done(sidecar)
            with self._changed:
                self._at_work = None
                self._results[sidecar] = job
                while len(self._results) > _REMEMBERED:
                    self._results.popitem(last=False)
                self._changed.notify_all()

    def _refresh(self, sidecar: Path) -> None:
        with suppress(ShotcropError):  # whoever opens the photo next is told
            self._files.refresh(sidecar)

    def _apply(self, sidecar: Path, allowed: Allowed) -> Job:
        options = ApplyOptions((sidecar,), self._photos, workers=1, allowed=allowed, wait=float("inf"))
        try:
            result = apply_sidecars(options)
        except (ShotcropError, OSError) as error:
            return Job("failed", str(error))
        return next(map(_job, result.photos), Job("done"))


def _job(photo: PhotoResult) -> Job:
    if photo.status is PhotoStatus.FAILED:
        return Job("failed", photo.reason)
    if photo.kept:
        names = ", ".join(path.name for path in photo.kept)
        return Job("done", f"{names} stays as it is, because another program changed it.")
    return Job("done")
