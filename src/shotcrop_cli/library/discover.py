"""Find the photos that a user asked for, always in the same order."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import HEIF, JPEG, RAW
from shotcrop_cli.library.output_folder import OutputFolders
from shotcrop_cli.library.selection import Selection, Wildcard
from shotcrop_cli.library.source import Discovery, Folder, Passed, Source
from shotcrop_cli.library.walk import Place, Walk, format_of_name

__all__ = ["Discovery", "Folder", "Passed", "Source", "discover"]


def discover(selection: Selection, output: Path) -> Discovery:
    """Search files and folders.

    Below a folder, hidden files and folders, junk folders, folders with a `.nomedia` file, symbolic links
    and anything but regular files are left out, and so is every folder that shotcrop has written crops to.
    A RAW file beside a JPEG or HEIC of the same name is left to that.

    Args:
        selection: What the user asked for.
        output: Where crops go; never taken for input.

    Raises:
        ShotcropError: A path does not exist or lies among crops, or a pattern is none or matches nothing.
    """
    search = _Search(selection, output)
    if selection.listed is None:
        for path in selection.paths:
            search.add(path)
    else:
        search.add_listed(selection.listed, selection.paths)
    return search.end()


class _Search:
    def __init__(self, selection: Selection, output: Path) -> None:
        self._crops = OutputFolders(output)
        self._walk = Walk(selection, self._crops)
        self._roots: dict[str, None] = {}
        self._wildcards: dict[Wildcard, Path] = {}
        self._homes: dict[str, tuple[Folder, str]] = {}  # of named and listed files: their folder, its real path

    def add(self, named: Path) -> None:
        """Search a path that the user named."""
        if not os.path.lexists(named):
            named = Path(os.path.expanduser(named))  # noqa: PTH111 - quotes keep the shell from it; this never fails
        path = _absolute(named)
        if (wildcard := Wildcard.parse(named)) is not None and not os.path.lexists(path):
            self._add_wildcard(wildcard, named)
            return
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            raise ShotcropError(f"{named}: {error.strerror}", hint="check the path") from error
        real = os.path.realpath(path)
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._crops.contain(real if is_folder else os.path.dirname(real)):  # noqa: PTH120
            raise ShotcropError(
                f"{named}: lies in the output folder of this or another run",
                hint="name the photos themselves, or another --output",
            )
        if not is_folder:
            self._add_file(path, os.path.dirname(path), status)  # noqa: PTH120
        elif not self._walk.passes_over(Path(path), named=True):
            self._roots[path] = None
            self._walk.folder(Place(Folder(Path(path), PurePath()), real.rstrip("/")), status)

    def add_listed(self, names: tuple[Path, ...], paths: tuple[Path, ...]) -> None:
        """Search the files of a list."""
        base = _absolute(paths[0] if paths else Path())
        if len(paths) > 1 or not os.path.isdir(base):  # noqa: PTH112
            raise ShotcropError(
                f"{', '.join(map(str, paths))}: not the one folder that the names of a list start from",
                hint="name that folder, or no path at all",
            )
        for name in names:
            path = _absolute(Path(base, name))
            root = base if path.startswith(f"{base.rstrip('/')}/") else "/"
            if root != base and paths:
                self._walk.unreadable.append(Passed(Path(path), f"lies outside of {base}"))
                continue
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError as error:
                self._walk.unreadable.append(Passed(Path(path), f"cannot be looked at: {error.strerror}"))
                continue
            if stat.S_ISDIR(status.st_mode):
                self._walk.skipped.append(Passed(Path(path), "a folder, and lists are of photos"))
            else:
                self._add_file(path, root, status)

    def end(self) -> Discovery:
        """Follow links, pair files, and return what was found."""
        self._walk.links()
        for wildcard, named in self._wildcards.items():
            if wildcard not in self._walk.matched:
                raise ShotcropError(f"{named}: matches nothing", hint="check the pattern")
        self._leave_raw_to_its_pair()
        return Discovery(
            sources=tuple(self._walk.found.values()),
            skipped=tuple(dict.fromkeys(self._walk.skipped)),
            unreadable=tuple(dict.fromkeys(self._walk.unreadable)),
            roots=tuple(map(Path, self._roots)),
        )

    def _add_wildcard(self, wildcard: Wildcard, named: Path) -> None:
        path = _absolute(wildcard.base)
        real = os.path.realpath(path)
        if self._crops.contain(real):
            return
        self._wildcards[wildcard] = named
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return
        self._roots[path] = None
        folder = Folder(Path(path), PurePath())
        self._walk.folder(Place(folder, real.rstrip("/"), "", False, wildcard, wildcard.start), status)

    def _add_file(self, path: str, root: str, status: os.stat_result) -> None:
        parent, name = os.path.split(path)
        relative = path[len(root) :].lstrip("/")
        if (home := self._homes.get(parent)) is None:
            folder = Folder(Path(parent), PurePath(relative).parent)
            home = self._homes[parent] = (folder, os.path.realpath(parent).rstrip("/"))
        folder, real_folder = home
        real = os.path.realpath(path) if os.path.islink(path) else f"{real_folder}/{name}"  # noqa: PTH114
        if self._crops.contain(os.path.dirname(real)):  # noqa: PTH120
            return
        if self._walk.file(folder, name, relative, real, status):
            self._roots[root] = None

    def _leave_raw_to_its_pair(self) -> None:
        found = self._walk.found
        raws = [real for real, source in found.items() if format_of_name(source.name) is RAW]
        if not raws:
            return
        pairs = {
            _without_extension(real): source
            for real, source in found.items()
            if format_of_name(source.name) in (JPEG, HEIF)
        }
        for real in raws:
            if (pair := pairs.get(_without_extension(real))) is not None:
                self._walk.skipped.append(Passed(found.pop(real).path, f"one photo with {pair.name}"))


def _absolute(path: Path) -> str:
    # By the links and names that the user knows, except where `..` leads back over a link.
    return os.path.realpath(path) if ".." in path.parts else os.path.abspath(path)  # noqa: PTH100


def _without_extension(real: str) -> tuple[str, str]:
    folder, _, name = real.rpartition("/")
    return folder, name.rpartition(".")[0].lower()
