"""The run of `shotcrop apply`: write crops again as their sidecars say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.edits import save_edit, sidecar_of
from shotcrop_cli.library.output_folder import open_output, read_roots
from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.recrop import is_pending, output_root, recrop_task, sidecars_in
from shotcrop_cli.library.remote import refuse_remote
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult
from shotcrop_cli.model.lazy import LazyComposer
from shotcrop_cli.resources import usable_processors
from shotcrop_cli.run_options import ApplyOptions
from shotcrop_cli.runs.run import Run, tell_waiting
from shotcrop_cli.storage.location import UrlPath, is_url

if TYPE_CHECKING:
    from shotcrop_cli.library.edits import EditsFile, PhotoEdit
    from shotcrop_cli.pipeline.steps import Steps
    from shotcrop_cli.remote.apply_run import RemoteApply
    from shotcrop_cli.remote.staging import Staging

_IN_FLIGHT = 8
"""Photos that may wait to be written while others are decoded."""


class ApplyRun(Run):
    """Writes crops as sidecars and edits say, without a model."""

    def __init__(self, options: ApplyOptions, reporter: Reporter) -> None:
        super().__init__(options, reporter)
        self._options = options

    def run(self) -> RunResult:
        """Apply all sidecars."""
        urls = [path for path in self._options.sidecars if is_url(path)]
        if not urls:
            for named in self._options.photos:
                refuse_remote(named)
        roots: dict[Path, list[Path]] = {}
        for path in self._options.sidecars:
            if path not in urls:
                roots.setdefault(output_root(path), []).append(path)
        self.reporter.start()
        with self.summed_up():
            for url in urls:
                self._apply_to_objects(url)
            for root, paths in roots.items():
                if self._options.dry_run:
                    for task in self._tasks(root, paths):
                        self.add_planned(task)
                else:
                    self._apply_below(root, paths)
            if not any(self.results.counts.values()):
                self.reporter.info("nothing to apply: no edited box, caption or alternative text was found")
        return self.final

    def _apply_to_objects(self, named: Path) -> None:
        """Apply a sidecar, or those of a folder, in an object store."""
        from shotcrop_cli.remote.apply_run import RemoteApply, output_of
        from shotcrop_cli.remote.steps import RemoteSteps

        options = self._options
        output, name = output_of(named)
        remote = RemoteApply(output, options.photos, self, self.allowed)
        tell = partial(tell_waiting, UrlPath(output.url), self.reporter)
        with remote.opened(options.wait, tell, writes=not options.dry_run) as staging:
            self.show = staging.shown
            edits = options.edits
            tasks = remote.tasks(staging, name) if edits is None else self._edited_objects(remote, staging, edits)
            if not options.dry_run:
                self._write(tasks, staging.root, RemoteSteps(staging).steps)
                return
            for task in tasks:
                self.add_planned(task)
                staging.release(task.target)

    def _edited_objects(self, remote: RemoteApply, staging: Staging, edits: EditsFile) -> Iterator[Task]:
        """Do what `_edited_tasks` does in an object store."""
        for edit in edits.photos:
            try:
                path = sidecar_of(staging.root, edit.photo)
                readable = remote.bring(staging, edit.photo)
                yield from self._edited_task(path, staging.root, readable, edit)
            except FileNotFoundError:
                reason = f"it has no sidecar in {UrlPath(staging.output.url)}"
                self.add(PhotoResult(staging.root / edit.photo, PhotoStatus.FAILED, reason=reason))
            except ShotcropError as error:
                self.add(PhotoResult(staging.root / edit.photo, PhotoStatus.FAILED, reason=str(error)))

    def _apply_below(self, root: Path, paths: Iterable[Path]) -> None:
        from shotcrop_cli.pipeline.steps import LOCAL_STEPS

        with open_output(root, self._options.wait, lambda: tell_waiting(root, self.reporter)):
            self._write(self._tasks(root, paths), root, LOCAL_STEPS)

    def _write(self, due: Iterable[Task], root: Path, steps: Steps) -> None:
        from shotcrop_cli.imaging.lossless import MISSING, is_installed
        from shotcrop_cli.pipeline.loaded_photo import RunContext
        from shotcrop_cli.pipeline.runner import run

        def tasks() -> Iterator[Task]:
            warned = is_installed()
            for task in due:
                if task.settings.lossless and not warned:
                    self.reporter.warn(MISSING)
                    warned = True
                yield task

        run(
            tasks(),
            LazyComposer(_no_model),
            RunContext(
                root,
                reproducible=self._options.reproducible,
                max_pixels=self._options.max_pixels,
                allowed=self._options.allowed,
            ),
            workers=self._options.workers or usable_processors(),
            batch_size=_IN_FLIGHT,
            report=self.add,
            steps=steps,
        )

    def _tasks(self, root: Path, paths: Iterable[Path]) -> Iterator[Task]:
        """Yield what to crop, each sidecar once, and report what cannot be cropped."""
        photo_roots = self._options.photos or read_roots(root)
        if self._options.edits is not None:
            yield from self._edited_tasks(root, photo_roots, self._options.edits)
            return
        seen: set[Path] = set()
        for named in paths:
            for path in sidecars_in(named) if named.is_dir() else (named,):
                if (real := path.resolve()) in seen:
                    continue
                seen.add(real)
                try:
                    task = recrop_task(path, root, photo_roots)
                except (ShotcropError, FileNotFoundError) as error:
                    self.add(PhotoResult(path, PhotoStatus.FAILED, reason=str(error).removeprefix(f"{path}: ")))
                    continue
                if task.shots and (not named.is_dir() or is_pending(task, self.allowed)):
                    yield task

    def _edited_tasks(self, root: Path, photo_roots: Sequence[Path], edits: EditsFile) -> Iterator[Task]:
        """Save the edits of a file, yield what to crop then, and report what cannot be saved or cropped."""
        for edit in edits.photos:
            try:
                yield from self._edited_task(sidecar_of(root, edit.photo), root, photo_roots, edit)
            except FileNotFoundError:
                self.add(PhotoResult(root / edit.photo, PhotoStatus.FAILED, reason=f"it has no sidecar in {root}"))
            except ShotcropError as error:
                self.add(PhotoResult(root / edit.photo, PhotoStatus.FAILED, reason=str(error)))

    def _edited_task(self, path: Path, root: Path, photo_roots: Sequence[Path], edit: PhotoEdit) -> Iterator[Task]:
        """Save an edit, and yield what to crop then."""
        save_edit(path, root, edit, dry_run=self.dry_run)
        task = recrop_task(path, root, photo_roots)
        if task.shots and (is_pending(task, self.allowed) or self.dry_run):
            yield task
        else:
            self.add(PhotoResult(task.target.source.path, PhotoStatus.DONE, path, rejected=task.rejected))


def _no_model() -> NoReturn:
    raise AssertionError("sidecars are applied without a model")
