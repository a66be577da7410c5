"""`shotcrop crop` if photos or output are in an object store: list, decide, and crop part by part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shotcrop_cli.errors import EmptyError, PhotoError, ShotcropError
from shotcrop_cli.library.atomic_write import written_elsewhere
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.orphans import Orphan
from shotcrop_cli.library.output_folder import ROOTS_NAME
from shotcrop_cli.library.output_names import plan
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import PHOTO_CHANGED, Action, Target, Task, Wanted
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.remote.copies import CopiesFolder
from shotcrop_cli.remote.listing import PART_SIZE, Part, PhotoSearch, parts
from shotcrop_cli.remote.staging import Root, Staging
from shotcrop_cli.run_options import CropOptions
from shotcrop_cli.storage.interface import ABSENT, Changed, Entry, Storage
from shotcrop_cli.storage.location import UrlPath, is_url, local_path, open_storage

if TYPE_CHECKING:
    from shotcrop_cli.remote.tracking import RemoteTracker

_READERS = 16
"""Sidecars that are read at the same time (our choice)."""


class CropHost(Protocol):
    """What the run does with what is found here. It is that of local folders."""

    former: dict[Path, Orphan]

    def add(self, photo: PhotoResult) -> None:
        """Take the result of a photo."""

    def add_unchanged(self, task: Task) -> None:
        """Take a photo that is up to date."""

    def add_refused(self, task: Task) -> None:
        """Take a photo that must not be cropped."""

    def add_planned(self, task: Task) -> None:
        """Take a photo that a dry run would crop."""

    def note_changes(self, task: Task) -> None:
        """Count the options that changed since an earlier run made the crops of a photo."""

    def crop_part(self, due: Sequence[Task], state: OutputState, staging: Staging) -> bool:
        """Crop photos, and say whether to go on."""


@dataclass(slots=True)
class _Found:
    """Photos of one folder that are planned together.

    Args:
        sources: The photos.
        files: By the relative path of a photo, what the output has of it.
    """

    sources: list[Source]
    files: dict[str, dict[str, Entry]]


class RemoteCrop:
    """Crops the photos of a library if it or its output is in an object store.

    Args:
        options: What to do.
        host: Takes what is found.
        reporter: Receives messages.
        wanted: What the run would make.
    """

    def __init__(self, options: CropOptions, host: CropHost, reporter: Reporter, wanted: Wanted) -> None:
        self._options, self._host, self._reporter = options, host, reporter
        self._wanted = wanted
        if options.captions.endpoint is not None:
            raise ShotcropError(
                "--captions: a captioner cannot be used with object stores yet", hint="leave out --captions"
            )
        self._output = open_storage(options.output)
        self._found_any = False
        self.staging: Staging | None = None

    def work(self, wait: float) -> None:
        """List, decide and crop.

        Args:
            wait: Seconds to wait for another run on the same output.

        Raises:
            ShotcropError: The run cannot begin or go on.
        """
        options, output = self._options, self._output
        with CopiesFolder() as folder:
            staging = self.staging = Staging(folder, output, wants_records=self._reporter.wants_unchanged)
            roots = self._roots(staging)
            if options.dry_run:
                self._plan_all(staging, roots)
                return

            def tell_waiting() -> None:
                self._reporter.info(f"waiting for another run on {output.url} to end")

            with (
                output.hold(wait, tell_waiting, options.shard) as check,
                written_elsewhere(staging.root, staging.carry_out),
            ):
                staging.check = check
                add_roots(output, [root.storage.url for root in roots] or self._local_roots())
                self._reporter.start()
                self._crop_all(staging, roots)
        if staging.not_deleted:
            number = len(staging.not_deleted)
            self._reporter.warn(
                f"{number} object{'' if number == 1 else 's'} could not be deleted, because access is denied, "
                f"such as {staging.not_deleted[0]}"
            )

    def _roots(self, staging: Staging) -> list[Root]:
        """Open the folders of photos; none if the photos are on this machine."""
        paths = self._options.selection.paths
        remote = [path for path in paths if is_url(path)]
        if remote and len(remote) < len(paths):
            raise ShotcropError("photos are on this machine and in an object store", hint="crop them in two runs")
        if not remote and self._options.selection.listed and any(map(is_url, self._options.selection.listed)):
            raise ShotcropError("a list of URLs needs PATH, the folder that they are in", hint="name it, too")
        return [staging.add_root(open_storage(path)) for path in remote]

    def _local_roots(self) -> list[str]:
        return [str(local_path(path).absolute()) for path in self._options.selection.paths]

    def _crop_all(self, staging: Staging, roots: Sequence[Root]) -> None:
        from shotcrop_cli.remote.tracking import RemoteTracker

        def note(target: Target, orphan: Orphan) -> None:
            for path in (target.source.path, staging.show(target.source.path)):
                self._host.former[path] = orphan

        # A list of photos does not tell which others are gone.
        is_listed = self._options.selection.listed is not None
        tracker = None if is_listed else RemoteTracker(staging, roots, self._local_roots(), note)
        for found in self._parts(staging, roots):
            targets = self._targets(staging, found)
            state, strict = (
                OutputState(
                    staging.root,
                    self._wanted,
                    overwrite=self._options.overwrite,
                    check_content=self._options.check_content or is_strict,
                    allowed=self._options.allowed,
                )
                for is_strict in (False, True)
            )
            due = list(self._due(staging, targets, state, strict, tracker))
            if due and not self._host.crop_part(due, state, staging):
                return
            staging.clear()
        self._tell_empty()

    def _due(
        self,
        staging: Staging,
        targets: Sequence[Target],
        state: OutputState,
        strict: OutputState,
        tracker: RemoteTracker | None,
    ) -> Iterator[Task]:
        """Decide what to do with each photo, and report those with nothing to do."""
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
            suspects = list(readers.map(staging.bring_sidecar, targets))
            if self._options.allowed.overwrite_edited:  # whether a crop was edited shows in its content
                for target in targets:
                    if staging.names(target):
                        staging.bring(target)
        if tracker is not None:
            tracker.follow(targets)
        list_names(staging, targets, (state, strict))
        for target, is_suspect in zip(targets, suspects, strict=True):
            task = (strict if is_suspect else state).decide(target)
            if task.is_due and (other := self._other_photo(task)):
                self._host.add(PhotoResult(target.source.path, PhotoStatus.FAILED, reason=other))
            elif task.is_due:
                self._host.note_changes(task)
                yield state.suspend(task)
                continue
            elif task.action is Action.REFUSE:
                self._host.add_refused(task)
            else:
                self._host.add_unchanged(task)
            staging.release(target)

    def _other_photo(self, task: Task) -> str:
        """Say that crops would replace those of a photo of another library; empty if there is none."""
        if task.recorded_path is None or not is_url(recorded := str(task.recorded_path)):
            return ""
        url = UrlPath(recorded)
        if open_storage(url.parent).stat(url.name) is None:
            return ""
        hint = f"crop it to another --output, or move {task.target.sidecar} away"
        return str(PhotoError(f"its crops would replace those of {url}", hint=hint))

    def _plan_all(self, staging: Staging, roots: Sequence[Root]) -> None:
        """Say what is due, as far as the listings tell."""
        limit, planned = self._options.limit, 0
        for found in self._parts(staging, roots):
            for target in self._targets(staging, found):
                reason = self._reason(staging, target, found)
                if not reason:
                    self._host.add_unchanged(Task(target, self._wanted.settings, Action.SKIP, "unchanged"))
                elif limit is None or planned < limit:
                    planned += 1
                    shots = self._wanted.crops() if self._wanted.shots else ()
                    self._host.add_planned(Task(target, self._wanted.settings, Action.COMPOSE, reason, shots))
            staging.clear()
        self._tell_empty()

    def _reason(self, staging: Staging, target: Target, found: _Found) -> str:
        """Say why a photo is due; empty if the listings do not tell."""
        name = target.sidecar.relative_to(staging.root).as_posix()
        sidecar = found.files.get(target.source.relative.as_posix(), {}).get(name)
        if sidecar is None:
            return "new"
        if self._options.overwrite:
            return "overwritten on request"
        return PHOTO_CHANGED if target.source.mtime_ns > sidecar.mtime_ns else ""

    def _tell_empty(self) -> None:
        if self._found_any:
            return
        if self._options.fail_if_empty:
            raise EmptyError("no photos found", hint="check the URL")
        self._reporter.warn("no photos found")

    def _targets(self, staging: Staging, found: _Found) -> tuple[Target, ...]:
        """Name the files of photos, and report photos that cannot be cropped."""
        options = self._options
        keys = self._wanted.possible_crops()
        whole = plan(found.sources, staging.root, options.template, options.settings.format, keys=keys)
        for refused in whole.refused:
            self._host.add(PhotoResult(refused.source.path, PhotoStatus.FAILED, reason=refused.reason))
        for target in whole.targets:
            staging.expect(target, found.files.get(target.source.relative.as_posix(), {}))
        return whole.targets

    def _parts(self, staging: Staging, roots: Sequence[Root]) -> Iterator[_Found]:
        """Yield the photos part by part. A template of the user's own needs them all, to find equal names."""
        size = PART_SIZE if self._options.template.is_default else 1 << 62
        if not roots:
            yield from self._local_parts(staging, size)
        for root in roots:
            search = PhotoSearch(self._options.selection, self._output.url, root.storage.url)
            entries = search.photos(self._entries(root, self._options.selection))
            shard = self._options.shard
            mine = (entry for entry in entries if shard is None or shard.owns(Path(entry.name)))
            for part in parts(mine, self._output, size):
                self._found_any = True
                folders: dict[str, Folder] = {}
                yield _Found([staging.source(root, entry, folders) for entry in part.photos], part.files)
            for name, reason in search.skipped:
                path = UrlPath(root.storage.url, name)
                if not self._options.dry_run:
                    self._host.add(PhotoResult(path, PhotoStatus.SKIPPED, reason=reason))

    def _entries(self, root: Root, selection: Selection) -> Iterator[Entry]:
        """Yield the objects of a folder, or those of the list."""
        storage = root.storage
        if selection.listed is None:
            yield from storage.list()
            return
        names = set()
        for path in selection.listed:
            text = str(UrlPath(path)) if is_url(path) else path.as_posix()
            name = text.removeprefix(f"{storage.url}/")
            if is_url(path) and name == text:
                reason = f"outside of {storage.url}"
                self._host.add(PhotoResult(UrlPath(path), PhotoStatus.FAILED, reason=reason))
            else:
                names.add(name)
        for name in sorted(names, key=str.encode):
            if (entry := storage.stat(name)) is None:
                self._found_any = True
                missing = UrlPath(storage.url, name)
                self._host.add(PhotoResult(missing, PhotoStatus.FAILED, reason="cannot be accessed: it is gone"))
            else:
                yield entry

    def _local_parts(self, staging: Staging, size: int) -> Iterator[_Found]:
        """Yield photos of this machine, which are read where they are."""
        selection = self._options.selection
        here = replace(selection, paths=tuple(map(local_path, selection.paths)))
        found = discover(here, Path(self._output.url) if not is_url(self._output.url) else staging.root)
        for ignored in found.unreadable:
            self._host.add(PhotoResult(ignored.path, PhotoStatus.FAILED, reason=ignored.reason))
        shard = self._options.shard
        sources = [source for source in found.sources if shard is None or shard.owns(source.relative)]
        self._found_any = self._found_any or bool(sources or found.unreadable)
        by_root: dict[str, list[Source]] = {}
        for source in sources:
            by_root.setdefault(str(source.path)[: -len(source.relative.as_posix())], []).append(source)
        for group in by_root.values():
            ordered = sorted(group, key=lambda source: source.relative.as_posix().encode("utf-8", "surrogateescape"))
            known = {source.relative.as_posix(): source for source in ordered}
            entries = (Entry(name, source.size_bytes, source.mtime_ns) for name, source in known.items())
            part: Part
            for part in parts(entries, self._output, size):
                yield _Found([known[entry.name] for entry in part.photos], part.files)


def list_names(staging: Staging, targets: Iterable[Target], states: Sequence[OutputState]) -> None:
    """Tell what the output has of some photos, so that no folder is listed for it."""
    names: dict[str, set[str]] = {}
    for target in targets:
        for parent in {target.folder, *((target.folder / name).parent for name in target.crop_names)}:
            names.setdefault(str(parent), set())
        for name in staging.names(target):
            path = staging.root / name
            names.setdefault(str(path.parent), set()).add(path.name)
    for state in states:
        for folder, found in names.items():
            state.list_folder(folder, frozenset(found))


def add_roots(output: Storage, roots: Iterable[str]) -> None:
    """Add to the list of where the photos of an output come from; see `library.output_folder.add_roots`."""
    for _ in range(5):  # other shards may write it, too
        try:
            content = output.read(ROOTS_NAME)
            known, tag = read_roots_of(content.data), content.tag
        except FileNotFoundError:
            known, tag = [], ABSENT
        merged = list(dict.fromkeys((*known, *roots)))
        if merged == known:
            return
        with suppress(Changed):
            output.write(ROOTS_NAME, (json.dumps(merged, indent=2) + "\n").encode("ascii"), tag)
            return


def read_roots_of(data: bytes) -> list[str]:
    """Read the list of where photos come from; empty if it is damaged."""
    try:
        roots = json.loads(data)
    except (ValueError, RecursionError):
        return []
    is_list = isinstance(roots, list) and all(isinstance(root, str) for root in roots)
    return roots if is_list else []
