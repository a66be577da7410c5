"""Walk through folders and collect the photos that the user asked for."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.library.ignored import NO_MEDIA, is_ignored_file, is_ignored_folder, is_photo_library
from shotcrop_cli.library.output_folder import LOCK_NAME, OutputFolders, file_id
from shotcrop_cli.library.selection import Filter, Selection, Wildcard
from shotcrop_cli.library.source import Folder, Ignored, Source

_NO_PROGRESS: frozenset[int] = frozenset()
_MARKERS = frozenset({LOCK_NAME, NO_MEDIA})


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on the walk.

    Args:
        folder: Its paths.
        real: Its real path, without a `/` at the end.
        prefix: What the relative paths in it start with: empty, or its own relative path and a `/`.
        whole: Whether every photo in it is asked for.
        wildcard: The pattern that led here.
        progress: How much of the pattern it matches, see `Wildcard.step`.
    """

    folder: Folder
    real: str
    prefix: str = ""
    whole: bool = True
    wildcard: Wildcard | None = None
    progress: frozenset[int] = _NO_PROGRESS


class Walk:
    """Walks one folder after the other.

    Args:
        selection: Which photos to crop.
        outputs: The output folders, which are never searched.

    Attributes:
        found: The photos by real path, so that a photo with several paths counts once.
        skipped: Paths that look like photos but are not.
        unreadable: Files and folders that cannot be read.
        matched: The patterns that something matched.
    """

    def __init__(self, selection: Selection, outputs: OutputFolders) -> None:
        self.found: dict[str, Source] = {}
        self.skipped: list[Ignored] = []
        self.unreadable: list[Ignored] = []
        self.matched: set[Wildcard] = set()
        self._recursive = selection.recursive
        self._hidden = selection.hidden
        self._follow_symlinks = selection.follow_symlinks
        patterns = selection.includes or selection.excludes
        self._filter = Filter(selection.includes, selection.excludes) if patterns else None
        self._outputs = outputs
        self._links: deque[tuple[Place, str]] = deque()
        self._entered: set[tuple[tuple[int, int], bool, frozenset[int]]] = set()

    def folder(self, start: Place, status: os.stat_result) -> None:
        """Walk a folder that the user named."""
        if self._is_new(start, status):
            self._descend(start)

    def links(self) -> None:
        """Follow the links that the walk came across.

        Call this last. Then the crops of a photo keep their place in the output if somebody adds a link to the photo.
        """
        while self._links:
            self._follow(*self._links.popleft())

    def file(self, folder: Folder, name: str, relative: str, real: str, status: os.stat_result) -> bool:
        """Take a file that the user named, even if it is hidden.

        Args:
            folder: Its folder.
            name: Its file name.
            relative: Its relative path.
            real: Its real path.
            status: Its status.

        Returns:
            Whether it was taken.
        """
        if format_of_name(name) is None or is_ignored_file(name):
            self.skipped.append(Ignored(folder.path / name, "not a photo by its name", named=True))
            return False
        return (self._filter is None or self._filter.accepts_photo(relative)) and self._take(folder, name, real, status)

    def ignores(self, folder: Path, *, named: bool = False) -> bool:
        """Say whether a folder is never searched because of its name, and note why.

        Args:
            folder: The folder.
            named: Whether the user named it and should learn that it is ignored.
        """
        if is_photo_library(folder.name):
            reason = "a photo program's library; export its photos, or name the folder of its originals"
            self.skipped.append(Ignored(folder, reason, named=named))
            return True
        if not is_ignored_folder(folder.name):
            return False
        if named:
            self.skipped.append(Ignored(folder, "a folder of thumbnails, deleted files or similar", named=True))
        return True

    def _descend(self, start: Place) -> None:
        # An explicit stack, because trees may be deeper than Python's recursion limit.
        stack = [(start, self._entries(start))]
        while stack:
            place, entries = stack[-1]
            for entry in entries:
                if (below := self._visit(place, entry)) is not None:
                    stack.append((below, self._entries(below)))
                    break
            else:
                stack.pop()

    def _entries(self, place: Place) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(place.folder.path) as listing:
                entries = sorted(listing, key=_name_bytes)
        except OSError as error:
            self._match(place)
            self.unreadable.append(Ignored(place.folder.path, f"cannot be listed: {error.strerror}"))
            return iter(())
        # A folder that the user named is searched in spite of .nomedia.
        if place.prefix and not _MARKERS.isdisjoint(entry.name for entry in entries):
            self._match(place)
            return iter(())
        return iter(entries)

    def _visit(self, place: Place, entry: os.DirEntry[str]) -> Place | None:
        """Take a file, or return a folder to walk next."""
        name = entry.name
        if name[0] == "." and (not self._hidden or is_ignored_file(name)):
            return None
        try:
            if entry.is_symlink():
                if self._follow_symlinks:
                    self._links.append((place, name))
            elif entry.is_dir(follow_symlinks=False):
                return self._below(place, name, f"{place.real}/{name}", entry.stat(follow_symlinks=False))
            elif self._is_wanted(place, name):
                self._take(place.folder, name, f"{place.real}/{name}", entry.stat(follow_symlinks=False))
        except OSError as error:
            self.unreadable.append(Ignored(place.folder.path / name, f"cannot be accessed: {error.strerror}"))
        return None

    def _follow(self, place: Place, name: str) -> None:
        path = place.folder.path / name
        try:
            status = path.stat()
        except OSError as error:
            if self._is_wanted(place, name):
                self.unreadable.append(
                    Ignored(path, f"a broken link ({error.strerror}); fix or delete it, or do not follow links")
                )
            return
        real = os.path.realpath(path)
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._outputs.contain(real if is_folder else os.path.dirname(real)):  # noqa: PTH120
            self._match(place)
        elif is_folder:
            if (below := self._below(place, name, real.rstrip("/"), status)) is not None:
                self._descend(below)
        elif self._is_wanted(place, name):
            self._take(place.folder, name, real, status)

    def _is_wanted(self, place: Place, name: str) -> bool:
        """Say whether a file is asked for and has the name of a photo."""
        if not place.whole:
            if place.wildcard is None or not place.wildcard.accepts(place.wildcard.step(place.progress, name)):
                return False
            self._match(place)
        return format_of_name(name) is not None and (
            self._filter is None or self._filter.accepts_photo(place.prefix + name)
        )

    def _take(self, folder: Folder, name: str, real: str, status: os.stat_result) -> bool:
        if not stat.S_ISREG(status.st_mode):
            self.skipped.append(Ignored(folder.path / name, "not a regular file"))
            return False
        if real not in self.found:
            self.found[real] = Source(
                folder, name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
            )
        return True

    def _below(self, place: Place, name: str, real: str, status: os.stat_result) -> Place | None:
        """Return a subfolder if it should be walked."""
        wildcard = place.wildcard
        progress = _NO_PROGRESS if wildcard is None else wildcard.step(place.progress, name)
        whole = (place.whole and self._recursive) or (wildcard is not None and wildcard.accepts(progress))
        if not whole and not progress:
            return None
        if self._filter is not None and not self._filter.accepts_folder(place.prefix + name):
            return None
        path = place.folder.path / name
        if self.ignores(path):
            return None
        folder = Folder(path, place.folder.relative / name)
        below = Place(folder, real, f"{place.prefix}{name}/", whole, wildcard, progress)
        if self._outputs.is_own(status):
            self._match(below)
            return None
        if not self._is_new(below, status):
            return None
        if whole:
            self._match(below)
            if format_of_name(name) is not None:
                self.skipped.append(Ignored(path, "a folder; its photos are searched"))
        return below

    def _is_new(self, place: Place, status: os.stat_result) -> bool:
        """Prevent endless loops, which only links can make."""
        if not self._follow_symlinks:
            return True
        key = (file_id(status), place.whole, place.progress)
        if key in self._entered:
            return False
        self._entered.add(key)
        return True

    def _match(self, place: Place) -> None:
        if place.wildcard is not None:
            self.matched.add(place.wildcard)


def _name_bytes(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)
