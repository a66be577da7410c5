"""The two steps of a photo on copies of its files; see `pipeline.steps`."""

from __future__ import annotations

from dataclasses import replace

from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.pipeline.loaded_photo import LoadedPhoto, RunContext
from shotcrop_cli.pipeline.steps import Steps, failed, finish, load
from shotcrop_cli.remote.staging import Staging


class RemoteSteps:
    """Copies the files of a photo before its first step, and removes the copies after its last one.

    Args:
        staging: Where the copies are.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self.steps = Steps(self._load, self._finish)

    def _load(
        self,
        task: Task,
        thumbnail_size: tuple[int, int] | None,
        *,
        include_crops: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> LoadedPhoto | PhotoResult:
        try:
            self._staging.bring(task.target)
        except PhotoError as error:
            return self._done(task, failed(task.target, error))
        loaded = load(task, thumbnail_size, include_crops=include_crops, max_pixels=max_pixels)
        return self._done(task, loaded) if isinstance(loaded, PhotoResult) else loaded

    def _finish(self, loaded: LoadedPhoto, run: RunContext) -> PhotoResult:
        task = loaded.task
        try:
            result = finish(loaded, run)
            if result.status is PhotoStatus.FAILED and self._staging.retry(task.target):
                result = finish(loaded, run)
        except ShotcropError as error:
            error.message = self._staging.show_text(error.message)
            error.args = (error.message,)
            raise
        return self._done(task, result)

    def _done(self, task: Task, result: PhotoResult) -> PhotoResult:
        shown = self._staging.shown(result)
        prefix = f"{shown.source}: "
        self._staging.release(task.target)
        return replace(shown, reason=shown.reason.removeprefix(prefix))
