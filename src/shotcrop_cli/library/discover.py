"""Find the photos below the paths a user names, always in the same order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import format_of
from shotcrop_cli.library.lock import LOCK_NAME

_JUNK_FOLDERS = frozenset({"@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information"})
"""What NAS boxes and Windows put among photos: thumbnails and deleted files [O]."""
_NO_MEDIA = ".nomedia"


@dataclass(frozen=True, slots=True)
class Source:
    """A photo file that was found.

    Args:
        path: Absolute path.
        relative: Path below the folder that the user named, the file's name alone for a named file.
        size_bytes: Its size.
        mtime_ns: Its modification time, nanoseconds since the epoch.
    """

    path: Path
    relative: PurePath
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A path that was passed over, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a walk found.

    Args:
        sources: The photos, each once, in the order of the named paths and sorted by name within each.
        ignored: Named files that are no photos by their extension.
        unreadable: Folders and files that could not be looked at.
    """

    sources: tuple[Source, ...]
    ignored: tuple[Passed, ...]
    unreadable: tuple[Passed, ...]


def discover(paths: Sequence[Path], output: Path) -> Discovery:
    """Walk files and folders.

    Below a folder, hidden files and folders, junk folders, folders with a `.nomedia` file, symbolic links
    and anything but regular files are left out, and so is every folder that shotcrop has written crops to.

    Args:
        paths: Files and folders as the user named them.
        output: Where crops go; never taken for input.

    Raises:
        ShotcropError: A path does not exist, is neither file nor folder, or lies among crops.
    """
    walk = _Walk(output)
    for path in paths:
        walk.add(path)
    return Discovery(tuple(walk.sources.values()), tuple(walk.ignored), tuple(walk.unreadable))


class _Walk:
    def __init__(self, output: Path) -> None:
        self._output = output.resolve()
        self.sources: dict[Path, Source] = {}  # by real path, so that overlapping arguments count once
        self.ignored: list[Passed] = []
        self.unreadable: list[Passed] = []

    def add(self, named: Path) -> None:
        real = named.resolve()
        if real == self._output or self._output in real.parents:
            raise ShotcropError(
                f"{named}: lies in the output folder {self._output}", hint="name another --output folder"
            )
        try:
            status = named.stat()
        except OSError as error:
            raise ShotcropError(f"{named}: {error.strerror}", hint="check the path") from error
        # Absolute, but with the links and names that the user knows.
        path = Path(os.path.abspath(named))  # noqa: PTH100 - Path.absolute keeps `..`
        if stat.S_ISDIR(status.st_mode):
            if (real / LOCK_NAME).exists():
                raise ShotcropError(
                    f"{named}: holds crops of an earlier run", hint="name the folder of the photos instead"
                )
            for source in self._folder(path, PurePath(), real):
                self.sources.setdefault(real / source.relative, source)
        elif not stat.S_ISREG(status.st_mode):
            raise ShotcropError(f"{named}: neither a file nor a folder", hint="name photos or folders of photos")
        elif format_of(path) is None:
            self.ignored.append(Passed(path, "not a photo by its extension"))
        else:
            source = Source(path, PurePath(path.name), status.st_size, status.st_mtime_ns)
            self.sources.setdefault(real, source)

    def _folder(self, folder: Path, relative: PurePath, real: Path) -> Iterator[Source]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.unreadable.append(Passed(folder, f"cannot be listed: {error.strerror}"))
            return
        if relative.parts and any(entry.name in (_NO_MEDIA, LOCK_NAME) for entry in entries):
            return  # a folder that was named itself is wanted in spite of .nomedia
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _JUNK_FOLDERS and real / entry.name != self._output:
                    yield from self._folder(Path(entry.path), relative / entry.name, real / entry.name)
            elif entry.is_file(follow_symlinks=False):
                path = Path(entry.path)
                if format_of(path) is None:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError as error:
                    self.unreadable.append(Passed(path, f"cannot be looked at: {error.strerror}"))
                    continue
                yield Source(path, relative / entry.name, status.st_size, status.st_mtime_ns)
