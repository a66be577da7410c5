"""`shotcrop apply` on an output in an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.library.atomic_write import written_elsewhere
from shotcrop_cli.library.hand_work import Allowed
from shotcrop_cli.library.name_template import NameTemplate, TemplateNames
from shotcrop_cli.library.output_folder import LOCK_NAME, ROOTS_NAME, not_an_output
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, Target, Task
from shotcrop_cli.library.recrop import is_pending, recrop_task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.remote.copies import CopiesFolder
from shotcrop_cli.remote.crop_run import read_roots_of
from shotcrop_cli.remote.listing import is_file_name, parts
from shotcrop_cli.remote.staging import Root, Staging
from shotcrop_cli.sidecar import FIX_SIDECAR, Sidecar, fault
from shotcrop_cli.storage.interface import Content, Entry, Storage
from shotcrop_cli.storage.location import UrlPath, is_url, open_storage


class ApplyHost(Protocol):
    """Takes the photos that cannot be cropped."""

    def add(self, photo: PhotoResult) -> None:
        """Take the result of a photo."""


def output_of(named: Path) -> tuple[Storage, str]:
    """Return the output that a sidecar or folder is in, and its name there.

    Raises:
        ShotcropError: No folder above it was written by `shotcrop crop`.
    """
    url = UrlPath(named)
    for folder in (url, *url.parents):
        if len(folder.parts) < 2:
            break
        storage = open_storage(folder)
        with suppress(FileNotFoundError):
            if storage.stat(LOCK_NAME) is not None:
                name = url.relative_to(folder).as_posix()
                return storage, "" if name == "." else name
    raise not_an_output(url)


class RemoteApply:
    """Finds the sidecars to apply in one output.

    Args:
        output: The output.
        photos: Folders to read photos from; empty for those that `crop` recorded.
        host: Takes the photos that cannot be cropped.
        allowed: What may be done to edited crops.
    """

    def __init__(self, output: Storage, photos: Sequence[Path], host: ApplyHost, allowed: Allowed) -> None:
        self._output, self._host, self._allowed = output, host, allowed
        if photos:
            self._photo_roots = [str(path) if is_url(path) else str(path.absolute()) for path in photos]
        else:
            try:
                self._photo_roots = read_roots_of(output.read(ROOTS_NAME).data)
            except FileNotFoundError:
                self._photo_roots = []
        self._roots: dict[str, Root] = {}

    @contextmanager
    def opened(self, wait: float, on_wait: Callable[[], None], *, writes: bool) -> Iterator[Staging]:
        """Hold the output, unless nothing is written, and yield a place for copies."""
        with CopiesFolder() as folder:
            staging = Staging(folder, self._output)
            if not writes:
                yield staging
                return
            with self._output.hold(wait, on_wait, None) as check, written_elsewhere(staging.root, staging.carry_out):
                staging.check = check
                yield staging

    def tasks(self, staging: Staging, name: str) -> Iterator[Task]:
        """Yield what to crop of a sidecar or of a folder, and report what cannot be cropped."""
        is_one = name.endswith(SIDECAR_SUFFIX)
        below = name if is_one or not name else f"{name}/"
        listed = (entry.name for entry in self._output.list(below=below))
        photos = (
            Entry(found.removesuffix(SIDECAR_SUFFIX), 0, 0)
            for found in listed
            if found.endswith(SIDECAR_SUFFIX)
            and is_file_name(found)
            and format_of_name(found.removesuffix(SIDECAR_SUFFIX)) is not None
        )
        found_any = False
        for part in parts(photos, self._output):
            for photo in part.photos:
                found_any = True
                path = staging.root / f"{photo.name}{SIDECAR_SUFFIX}"
                try:
                    task = self._task(staging, photo.name, part.files[photo.name], path, is_one=is_one)
                except ShotcropError as error:
                    shown = staging.show(path)
                    reason = staging.show_text(str(error)).removeprefix(f"{shown}: ")
                    self._host.add(PhotoResult(shown, PhotoStatus.FAILED, reason=reason))
                    continue
                if task is not None and task.shots and (is_one or is_pending(task, self._allowed)):
                    yield task
                elif task is not None:
                    staging.release(task.target)
        if is_one and not found_any:
            raise ShotcropError(f"{UrlPath(self._output.url, name)}: there is no such sidecar", hint="check the URL")

    def bring(self, staging: Staging, photo: str) -> list[Path]:
        """Copy a photo and what the output has of it, and return the folders that may be read.

        Args:
            staging: The place for copies.
            photo: The name of the photo below the output.

        Raises:
            FileNotFoundError: It has no sidecar.
            ShotcropError: Its sidecar or the photo cannot be read.
        """
        content = self._output.read(f"{photo}{SIDECAR_SUFFIX}")
        files = {entry.name: entry for entry in self._output.list(below=f"{photo}.") if is_file_name(entry.name)}
        return self._bring(staging, photo, files, content)

    def _task(self, staging: Staging, photo: str, files: dict[str, Entry], path: Path, *, is_one: bool) -> Task | None:
        """Return the task of a sidecar; None if nothing in it was edited and it is one of a folder."""
        content = self._output.read(f"{photo}{SIDECAR_SUFFIX}")
        record = self._parse(staging, path, content)
        if not (is_one or self._allowed.overwrite_edited or _is_edited(record)):
            return None
        return recrop_task(path, staging.root, self._bring(staging, photo, files, content))

    def _parse(self, staging: Staging, path: Path, content: Content) -> Sidecar:
        try:
            return sidecars.parse(content.data)
        except (ValueError, RecursionError) as error:
            raise ShotcropError(f"{staging.show(path)}: {fault(error)}", hint=FIX_SIDECAR) from error

    def _bring(self, staging: Staging, photo: str, files: dict[str, Entry], content: Content) -> list[Path]:
        path = staging.root / f"{photo}{SIDECAR_SUFFIX}"
        source, readable = self._source(staging, photo, self._parse(staging, path, content), path)
        target = Target(source, path.parent, TemplateNames(NameTemplate(), ""))
        staging.expect(target, files)
        staging.bring_sidecar(target, Content(content.data, content.tag, {}))
        staging.bring(target)
        return readable

    def _source(self, staging: Staging, photo: str, record: Sidecar, path: Path) -> tuple[Source, list[Path]]:
        """Find the photo, as `library.recrop.find_source` does, and return the folders that may be read."""
        here = [Path(root) for root in self._photo_roots if not is_url(root)]
        folder, _, name = photo.rpartition("/")
        recorded = str(record.source.path)
        for url in filter(is_url, self._photo_roots):
            if (root := self._roots.get(url)) is None:
                root = self._roots[url] = staging.add_root(open_storage(url))
            names = [recorded.removeprefix(f"{url}/")] if recorded.startswith(f"{url}/") else []
            for candidate in dict.fromkeys((*names, photo)):
                entry = root.storage.stat(candidate)
                if entry is not None and candidate.rpartition("/")[2] == name:
                    return staging.source(root, entry, {}), [root.copies]
        for local in (Path(recorded), *(root / photo for root in here)):
            if local.is_file() and any(local.is_relative_to(root) for root in here):
                status = local.stat()
                mirrored = Path(folder)
                return Source(Folder(local.parent, mirrored), local.name, status.st_size, status.st_mtime_ns), here
        raise PhotoError(
            f"{staging.show(path)}: its photo {recorded} is gone or not in a folder that shotcrop may read",
            hint="name the folder of the photos with --photos",
        )


def _is_edited(record: Sidecar) -> bool:
    return any(shot.is_pending(record.source) or shot.replaced is not None for shot in record.all_crops)
