"""Find the photos that a user asked for, always in the same order."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath

from shotcrop_cli.errors import NO_CURRENT_FOLDER, ShotcropError
from shotcrop_cli.imaging.formats import HEIF, JPEG, RAW, format_of_name
from shotcrop_cli.library.output_folder import OutputFolders
from shotcrop_cli.library.remote import refuse_remote
from shotcrop_cli.library.selection import Selection, Wildcard
from shotcrop_cli.library.source import Discovery, Folder, Ignored
from shotcrop_cli.library.walk import Place, Walk


def discover(selection: Selection, output: Path) -> Discovery:
    """Search files and folders.

    Below a folder, the search ignores hidden files and folders, those of `ignored`, folders with a `.nomedia` file,
    symbolic links and everything that is not a regular file. It never searches a folder that shotcrop wrote crops to.
    If a RAW file is next to a JPEG or HEIC of the same name, only the latter is taken.

    Args:
        selection: Which photos to crop.
        output: The output folder, which is not searched.

    Raises:
        ShotcropError: A path does not exist or is in an output folder, or a pattern is invalid or matches nothing.
    """
    search = _Search(selection, output)
    if selection.listed is None:
        for path in selection.paths:
            search.add(path)
    else:
        search.add_listed(selection.listed, selection.paths)
    return search.finish()


class _Search:
    def __init__(self, selection: Selection, output: Path) -> None:
        self._outputs = OutputFolders(output)
        self._walk = Walk(selection, self._outputs)
        self._roots: dict[str, None] = {}
        self._wildcards: dict[Wildcard, Path] = {}
        self._folders: dict[str, tuple[Folder, str]] = {}  # of named and listed files, with their real paths

    def add(self, named: Path) -> None:
        """Search a path that the user named."""
        refuse_remote(named)
        if not os.path.lexists(named):
            named = Path(os.path.expanduser(named))  # noqa: PTH111 - for a quoted `~`; this function never fails
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
        if is_folder and self._outputs.is_own(status):
            raise ShotcropError(
                f"{named}: the folder of the photos and the output folder are the same",
                hint="choose another --output for the crops",
            )
        if self._outputs.contain(real if is_folder else os.path.dirname(real)):  # noqa: PTH120
            raise ShotcropError(
                f"{named}: inside the output folder of this or another run",
                hint="name the photos themselves, or choose another --output",
            )
        if not is_folder:
            self._add_file(path, os.path.dirname(path), status)  # noqa: PTH120
        elif not self._walk.ignores(Path(path), named=True):
            self._roots[path] = None
            self._walk.folder(Place(Folder(Path(path), PurePath()), real.rstrip("/")), status)

    def add_listed(self, names: tuple[Path, ...], paths: tuple[Path, ...]) -> None:
        """Take the files of a list."""
        base = _absolute(paths[0]) if paths else _current_folder()
        if len(paths) > 1 or (paths and not os.path.isdir(base)):  # noqa: PTH112
            raise ShotcropError(
                f"{', '.join(map(str, paths))}: with a list of names, PATH has to be the one folder they start from",
                hint="name that folder, or no path at all",
            )
        for name in names:
            try:
                refuse_remote(name)
            except ShotcropError as error:
                self._walk.unreadable.append(Ignored(name, str(error)))
                continue
            if base == "" and not name.is_absolute():
                self._walk.unreadable.append(Ignored(name, NO_CURRENT_FOLDER))
                continue
            path = _absolute(Path(base, name))
            root = base if base and path.startswith(f"{base.rstrip('/')}/") else "/"
            if root != base and paths:
                self._walk.unreadable.append(Ignored(Path(path), f"outside of {base}"))
                continue
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError as error:
                self._walk.unreadable.append(Ignored(Path(path), f"cannot be accessed: {error.strerror}"))
                continue
            if stat.S_ISDIR(status.st_mode):
                self._walk.skipped.append(Ignored(Path(path), "a folder; a list has to name photos"))
            else:
                self._add_file(path, root, status)

    def finish(self) -> Discovery:
        """Follow links, pair RAW files, and return what was found."""
        self._walk.links()
        for wildcard, named in self._wildcards.items():
            if wildcard not in self._walk.matched:
                raise ShotcropError(f"{named}: matches nothing", hint="check the pattern")
        self._drop_paired_raw()
        return Discovery(
            sources=tuple(self._walk.found.values()),
            skipped=tuple(dict.fromkeys(self._walk.skipped)),
            unreadable=tuple(dict.fromkeys(self._walk.unreadable)),
            roots=tuple(map(Path, self._roots)),
        )

    def _add_wildcard(self, wildcard: Wildcard, named: Path) -> None:
        path = _absolute(wildcard.base)
        real = os.path.realpath(path)
        if self._outputs.contain(real):
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
        if (known := self._folders.get(parent)) is None:
            folder = Folder(Path(parent), PurePath(relative).parent)
            known = self._folders[parent] = (folder, os.path.realpath(parent).rstrip("/"))
        folder, real_folder = known
        real = os.path.realpath(path) if os.path.islink(path) else f"{real_folder}/{name}"  # noqa: PTH114
        if self._outputs.contain(os.path.dirname(real)):  # noqa: PTH120
            return
        if self._walk.file(folder, name, relative, real, status):
            self._roots[root] = None

    def _drop_paired_raw(self) -> None:
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
                self._walk.skipped.append(Ignored(found.pop(real).path, f"the same photo as {pair.name}"))


def _absolute(path: Path) -> str:
    try:
        # Keep the links and names that the user knows, except where `..` leads back over a link.
        return os.path.realpath(path) if ".." in path.parts else os.path.abspath(path)  # noqa: PTH100
    except FileNotFoundError as error:
        raise ShotcropError(
            f"{path}: {NO_CURRENT_FOLDER}", hint="change to a folder that exists, or give the whole path"
        ) from error


def _current_folder() -> str:
    """Return the current folder; an empty text if it does not exist any more."""
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return ""


def _without_extension(real: str) -> tuple[str, str]:
    folder, _, name = real.rpartition("/")
    return folder, name.rpartition(".")[0].lower()
