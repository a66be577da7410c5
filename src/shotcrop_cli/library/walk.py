"""Walk folders and keep the photos that are wanted."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.imaging.formats import FORMATS, Format
from shotcrop_cli.library.ignored import NO_MEDIA, is_junk_file, is_junk_folder, is_photo_library
from shotcrop_cli.library.output_folder import LOCK_NAME, OutputFolders, file_id
from shotcrop_cli.library.selection import Filter, Selection, Wildcard
from shotcrop_cli.library.source import Folder, Passed, Source

_NOTHING: frozenset[int] = frozenset()
_MARKS = frozenset({LOCK_NAME, NO_MEDIA})


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on the way.

    Args:
        folder: Its paths.
        real: Its real path, without a `/` at the end.
        below: What relative paths in it start with: empty, or its own with a `/` behind it.
        whole: Whether every photo in it is asked for.
        wildcard: The pattern that it was found by.
        reached: How much of the pattern it matches.
    """

    folder: Folder
    real: str
    below: str = ""
    whole: bool = True
    wildcard: Wildcard | None = None
    reached: frozenset[int] = _NOTHING


class Walk:
    """Walks one folder after the other.

    Args:
        selection: What the user asked for.
        crops: What is never taken for photos.

    Attributes:
        found: The photos by real path, so that one that several ways lead to counts once.
        skipped: What looks like a photo and is none.
        unreadable: What could not be looked at.
        matched: The patterns that something matched.
    """

    def __init__(self, selection: Selection, crops: OutputFolders) -> None:
        self.found: dict[str, Source] = {}
        self.skipped: list[Passed] = []
        self.unreadable: list[Passed] = []
        self.matched: set[Wildcard] = set()
        self._recursive = selection.recursive
        self._hidden = selection.hidden
        self._follows = selection.follow_symlinks
        patterns = selection.includes or selection.excludes
        self._filter = Filter(selection.includes, selection.excludes) if patterns else None
        self._crops = crops
        self._links: deque[tuple[Place, str]] = deque()
        self._entered: set[tuple[tuple[int, int], bool, frozenset[int]]] = set()

    def folder(self, start: Place, status: os.stat_result) -> None:
        """Walk a folder that the user named."""
        if self._is_new(start, status):
            self._descend(start)

    def links(self) -> None:
        """Follow the links that were met.

        To be called last, so that the crops of a photo stay where they are when somebody links to it.
        """
        while self._links:
            self._follow(*self._links.popleft())

    def file(self, folder: Folder, name: str, relative: str, real: str, status: os.stat_result) -> bool:
        """Take a file that the user named, hidden or not.

        Args:
            folder: Where it lies.
            name: Its file name.
            relative: Its relative path.
            real: Its real path.
            status: Its status.

        Returns:
            Whether it was taken.
        """
        if format_of_name(name) is None or is_junk_file(name):
            self.skipped.append(Passed(folder.path / name, "not a photo by its name"))
            return False
        return (self._filter is None or self._filter.takes(relative)) and self._take(folder, name, real, status)

    def passes_over(self, folder: Path, *, named: bool = False) -> bool:
        """Tell whether a folder is never looked into because of its name.

        Args:
            folder: The folder.
            named: Whether the user named it and has to be told.
        """
        if is_photo_library(folder.name):
            self.skipped.append(Passed(folder, "a photo program's library: export from it, or name its originals"))
            return True
        if not is_junk_folder(folder.name):
            return False
        if named:
            self.skipped.append(Passed(folder, "a folder of thumbnails, deleted files or the like"))
        return True

    def _descend(self, start: Place) -> None:
        # A stack of our own: trees may be deeper than Python's.
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
            self.unreadable.append(Passed(place.folder.path, f"cannot be listed: {error.strerror}"))
            return iter(())
        # A folder that was named itself is wanted in spite of .nomedia.
        if place.below and not _MARKS.isdisjoint(entry.name for entry in entries):
            self._match(place)
            return iter(())
        return iter(entries)

    def _visit(self, place: Place, entry: os.DirEntry[str]) -> Place | None:
        """Take a file; return a folder that is to be walked."""
        name = entry.name
        if name[0] == "." and (not self._hidden or is_junk_file(name)):
            return None
        try:
            if entry.is_symlink():
                if self._follows:
                    self._links.append((place, name))
            elif entry.is_dir(follow_symlinks=False):
                return self._below(place, name, f"{place.real}/{name}", entry.stat(follow_symlinks=False))
            elif self._wants(place, name):
                self._take(place.folder, name, f"{place.real}/{name}", entry.stat(follow_symlinks=False))
        except OSError as error:
            self.unreadable.append(Passed(place.folder.path / name, f"cannot be looked at: {error.strerror}"))
        return None

    def _follow(self, place: Place, name: str) -> None:
        path = place.folder.path / name
        try:
            status = path.stat()
        except OSError as error:
            if self._wants(place, name):
                reason = f"a link that leads nowhere ({error.strerror}): renew or delete it, or leave links alone"
                self.unreadable.append(Passed(path, reason))
            return
        real = os.path.realpath(path)
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._crops.contain(real if is_folder else os.path.dirname(real)):  # noqa: PTH120
            self._match(place)
        elif is_folder:
            if (below := self._below(place, name, real.rstrip("/"), status)) is not None:
                self._descend(below)
        elif self._wants(place, name):
            self._take(place.folder, name, real, status)

    def _wants(self, place: Place, name: str) -> bool:
        """Tell whether a file is asked for and a photo by its name."""
        if not place.whole:
            if place.wildcard is None or not place.wildcard.accepts(place.wildcard.step(place.reached, name)):
                return False
            self._match(place)
        return format_of_name(name) is not None and (self._filter is None or self._filter.takes(place.below + name))

    def _take(self, folder: Folder, name: str, real: str, status: os.stat_result) -> bool:
        if not stat.S_ISREG(status.st_mode):
            self.skipped.append(Passed(folder.path / name, "not a regular file"))
            return False
        if real not in self.found:
            self.found[real] = Source(folder, name, status.st_size, status.st_mtime_ns)
        return True

    def _below(self, place: Place, name: str, real: str, status: os.stat_result) -> Place | None:
        """Return a folder in a folder if it is to be walked."""
        wildcard = place.wildcard
        reached = _NOTHING if wildcard is None else wildcard.step(place.reached, name)
        whole = (place.whole and self._recursive) or (wildcard is not None and wildcard.accepts(reached))
        if not whole and not reached:
            return None
        if self._filter is not None and not self._filter.enters(place.below + name):
            return None
        path = place.folder.path / name
        if self.passes_over(path):
            return None
        folder = Folder(path, place.folder.relative / name)
        below = Place(folder, real, f"{place.below}{name}/", whole, wildcard, reached)
        if self._crops.is_own(status):
            self._match(below)
            return None
        if not self._is_new(below, status):
            return None
        if whole:
            self._match(below)
            if format_of_name(name) is not None:
                self.skipped.append(Passed(path, "a folder, looked into"))
        return below

    def _is_new(self, place: Place, status: os.stat_result) -> bool:
        """Guard against loops, which only links make."""
        if not self._follows:
            return True
        key = (file_id(status), place.whole, place.reached)
        if key in self._entered:
            return False
        self._entered.add(key)
        return True

    def _match(self, place: Place) -> None:
        if place.wildcard is not None:
            self.matched.add(place.wildcard)


def format_of_name(name: str) -> Format | None:
    """Return the format that a file name's extension promises, None when it is no photo's."""
    dot = name.rfind(".")
    return FORMATS.get(name[dot:].lower()) if dot > 0 else None


def _name_bytes(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)
