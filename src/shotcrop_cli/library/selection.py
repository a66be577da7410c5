"""Which photos the user asked for: paths, patterns that the shell left as they are, lists, and --include/--exclude."""

from __future__ import annotations

import codecs
import glob
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from shotcrop_cli.errors import ShotcropError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which photos to crop.

    Args:
        paths: Photos, folders, and patterns such as `2026/**/*.jpg`.
        listed: Names from a list, used instead of the paths. Then there is at most one path: the folder that the names
            are relative to.
        recursive: Whether to search subfolders.
        includes: Patterns as in `.gitignore`, but caseless. If there are any, a photo has to match one of them.
        excludes: Patterns as in `.gitignore`, but caseless. Photos and folders that match one of them are left out.
        follow_symlinks: Whether to follow links to photos and folders.
        hidden: Whether to include hidden photos and folders.
    """

    paths: tuple[Path, ...]
    listed: tuple[Path, ...] | None = None
    recursive: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    follow_symlinks: bool = False
    hidden: bool = False


class Filter:
    """Applies includes and excludes to paths relative to the folder that the user named, whatever their case.

    Args:
        includes: As in `Selection`.
        excludes: As in `Selection`.

    Raises:
        ShotcropError: A pattern can match nothing.
    """

    def __init__(self, includes: Sequence[str] = (), excludes: Sequence[str] = ()) -> None:
        self._includes = _compile("--include", includes)
        self._excludes = _compile("--exclude", excludes)
        # If an exclude has an exception (`!`), an excluded folder may hold photos that are wanted.
        self._prunes = self._excludes is not None and all(pattern.include for pattern in self._excludes.patterns)

    def accepts_photo(self, relative: str) -> bool:
        """Say whether a photo passes.

        Args:
            relative: Its path with `/` between the parts.
        """
        path = _one_line(relative).lower()
        if self._excludes is not None and self._excludes.match_file(path):
            return False
        return self._includes is None or self._includes.match_file(path)

    def accepts_folder(self, relative: str) -> bool:
        """Say whether a folder may contain photos that pass.

        Args:
            relative: Its path with `/` between the parts and none at the end.
        """
        return not (
            self._prunes and self._excludes is not None and self._excludes.match_file(f"{_one_line(relative).lower()}/")
        )


def _compile(option: str, patterns: Sequence[str]) -> GitIgnoreSpec | None:
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    # In a .gitignore file `#recycle` is a comment, on a command line it is not.
    # Cameras write IMG.JPG and phones IMG.jpg, so patterns ignore case, as the extensions of photos do.
    lines = [_one_line(f"\\{pattern}" if pattern.startswith("#") else pattern).lower() for pattern in patterns]
    for pattern, line in zip(patterns, lines, strict=True):
        try:
            compiled = GitIgnoreSpec.from_lines([line], backend="simple").patterns
        except (ValueError, re.error):
            compiled = ()
        if not any(part.include is not None for part in compiled):
            raise ShotcropError(
                f"{option} {pattern!r}: not a pattern", hint="write it as in .gitignore, such as '*.png' or 'drafts/'"
            )
    # The faster backends of pathspec refuse names that are not UTF-8.
    return GitIgnoreSpec.from_lines(lines, backend="simple")


def _one_line(text: str) -> str:
    """Replace newlines, which `.` in a regular expression does not match, by another control character."""
    return text.replace("\n", "\v") if "\n" in text else text


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A pattern for paths, matched one folder at a time, so that a search does not enter folders that cannot match.

    `*`, `?` and `[...]` stand for characters of one name, and `**` for any number of folders.

    Args:
        base: The folder that the pattern starts with.
        parts: Patterns of the names below it.
    """

    base: Path
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, path: Path) -> Wildcard | None:
        """Split a path at its first pattern; None if it has none."""
        first = next((at for at, part in enumerate(path.parts) if glob.has_magic(part)), None)
        if first is None:
            return None
        # `a/**` means everything in the folder `a`, and nothing if `a` is a file.
        everything = ("*",) if path.name == _ANY_DEPTH else ()
        return cls(Path(*path.parts[:first]), (*path.parts[first:], *everything))

    @property
    def start(self) -> frozenset[int]:
        """The progress of the base folder; see `step`."""
        return self._closed({0})

    def step(self, progress: frozenset[int], name: str) -> frozenset[int]:
        """Match the name of something in a folder.

        Args:
            progress: Progress of the folder: the numbers of parts that its path may have matched.
            name: Name of a file or folder in it.

        Returns:
            The progress of that file or folder. If it is empty, nothing below can match.
        """
        matched = set()
        for at in progress:
            if at < len(self.parts):
                if self.parts[at] == _ANY_DEPTH:
                    matched.add(at)
                elif _matches(name, self.parts[at]):
                    matched.add(at + 1)
        return self._closed(matched)

    def accepts(self, progress: frozenset[int]) -> bool:
        """Say whether all parts are matched."""
        return len(self.parts) in progress

    def _closed(self, progress: set[int]) -> frozenset[int]:
        """Skip each `**` as well, because it also stands for no folder at all."""
        closed = set(progress)
        for at, part in enumerate(self.parts):
            if at in closed and part == _ANY_DEPTH:
                closed.add(at + 1)
        return frozenset(closed)


def _matches(name: str, pattern: str) -> bool:
    """Match a name as a shell does, but ignore the case of its extension: `*.jpg` matches `IMG.JPG`."""
    stem, dot, extension = pattern.rpartition(".")
    if dot and not glob.has_magic(extension):
        name_stem, name_dot, name_extension = name.rpartition(".")
        pattern, name = f"{stem}.{extension.lower()}", f"{name_stem}{name_dot}{name_extension.lower()}"
    return fnmatchcase(name, pattern)


def read_list(path: str, *, null: bool) -> tuple[Path, ...]:
    """Read a list of photos, as `find` and `git ls-files` write it.

    Args:
        path: The file; `-` for standard input.
        null: Whether each name ends with NUL instead of a newline.

    Raises:
        ShotcropError: The list cannot be read, it is damaged UTF-16, or its names end with NUL and `null` is false.
    """
    try:
        if path == "-" and sys.stdin is None:
            raise OSError(None, "standard input is closed")
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ShotcropError(
            f"{path}: the list of photos cannot be read: {error.strerror}", hint="check --files-from"
        ) from error
    try:
        content = content if null else _in_utf8(content)  # programs that write NUL write bytes as they are
    except UnicodeDecodeError as error:
        raise ShotcropError(f"{path}: this list is not valid UTF-16", hint="save it as UTF-8") from error
    if null:
        names = content.split(b"\0")
    elif b"\0" in content:
        raise ShotcropError(f"{path}: the names in this list end with NUL", hint="add -0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return tuple(Path(os.fsdecode(name)) for name in names if name.strip())


def _in_utf8(content: bytes) -> bytes:
    """Return a list in UTF-8 without a byte order mark. Other bytes stay as they are: a file name may have any.

    Windows PowerShell writes UTF-16, and Windows editors start UTF-8 with a mark.

    Raises:
        UnicodeDecodeError: It begins like UTF-16 or UTF-32, but is not.
    """
    for mark, encoding in _MARKS.items():  # that of UTF-16 is the start of that of UTF-32
        if content.startswith(mark):
            return content.decode(encoding).encode("utf-8", "surrogatepass")
    if content.startswith(codecs.BOM_UTF8):
        return content.removeprefix(codecs.BOM_UTF8)
    zeros = content[0::2].count(0), content[1::2].count(0)
    # Of names that end with NUL, at most one byte in five is NUL, and not always the second of a pair.
    if min(zeros) == 0 and 4 * max(zeros) > len(content) > 0:
        return content.decode("utf-16-be" if zeros[0] else "utf-16-le").encode("utf-8", "surrogatepass")
    return content


_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings with NUL bytes, by the mark that a text starts with."""
