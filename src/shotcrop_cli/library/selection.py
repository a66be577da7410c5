"""Which photos the user asked for: the paths, and the patterns that narrow them down."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Selection:
    """What to look at.

    Args:
        paths: Photos, folders, and patterns such as `2026/**/*.jpg` that the shell left as they are.
        listed: Names read from a list, in place of the paths; then there is at most one path, the folder that
            the names are relative to.
        recursive: Whether folders are looked into at every depth, or only the files directly in them are taken.
        includes: Patterns in the style of `.gitignore`, one of which a photo has to match, if there are any.
        excludes: Such patterns again; a photo or folder that matches is left out.
        follow_symlinks: Whether links to photos and folders are followed.
        hidden: Whether hidden photos and folders are taken too.
    """

    paths: tuple[Path, ...]
    listed: tuple[Path, ...] | None = None
    recursive: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    follow_symlinks: bool = False
    hidden: bool = False


class Filter:
    """Includes and excludes, matched against paths relative to the folder that the user named.

    Args:
        includes: As in `Selection`.
        excludes: As in `Selection`.

    Raises:
        ShotcropError: A pattern can match nothing.
    """

    def __init__(self, includes: Sequence[str] = (), excludes: Sequence[str] = ()) -> None:
        self._includes = _compile("--include", includes)
        self._excludes = _compile("--exclude", excludes)
        # A folder with something in it that is excepted from an exclude has to be looked into.
        self._prunes = self._excludes is not None and all(pattern.include for pattern in self._excludes.patterns)

    def takes(self, relative: str) -> bool:
        """Tell whether a photo is wanted.

        Args:
            relative: Its path, `/` between the parts.
        """
        path = _one_line(relative)
        if self._excludes is not None and self._excludes.match_file(path):
            return False
        return self._includes is None or self._includes.match_file(path)

    def enters(self, relative: str) -> bool:
        """Tell whether a folder may hold wanted photos.

        Args:
            relative: Its path, `/` between the parts and none behind the last.
        """
        return not (
            self._prunes and self._excludes is not None and self._excludes.match_file(f"{_one_line(relative)}/")
        )


def _compile(flag: str, patterns: Sequence[str]) -> GitIgnoreSpec | None:
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    # On a command line `#recycle` is no comment.
    lines = [_one_line(f"\\{pattern}" if pattern.startswith("#") else pattern) for pattern in patterns]
    for pattern, line in zip(patterns, lines, strict=True):
        try:
            compiled = GitIgnoreSpec.from_lines([line], backend="simple").patterns
        except (ValueError, re.error):
            compiled = ()
        if not any(part.include is not None for part in compiled):
            raise ShotcropError(
                f"{flag} {pattern!r}: not a pattern", hint="write it as in .gitignore, such as '*.png' or 'drafts/'"
            )
    # Not the faster engines that pathspec uses where it finds them: they cannot take names that are no UTF-8.
    return GitIgnoreSpec.from_lines(lines, backend="simple")


def _one_line(text: str) -> str:
    """Put another control character in place of newlines, which the `.` of a regular expression does not match."""
    return text.replace("\n", "\v") if "\n" in text else text


_ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A pattern, matched one folder at a time, so that a walk knows early where it cannot match.

    `*`, `?` and `[...]` stand for characters of one name, and `**` for any number of folders.

    Args:
        base: The fixed folder that it starts with.
        parts: Patterns of the names below.
    """

    base: Path
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, path: Path) -> Wildcard | None:
        """Split a path at its first pattern; None when it holds none."""
        first = next((at for at, part in enumerate(path.parts) if glob.has_magic(part)), None)
        if first is None:
            return None
        # `a/**` is all that is in the folder `a`, and nothing when `a` is a file.
        everything = ("*",) if path.name == _ANY_DEPTH else ()
        return cls(Path(*path.parts[:first]), (*path.parts[first:], *everything))

    @property
    def start(self) -> frozenset[int]:
        """How much of it the base folder matches."""
        return self._closed({0})

    def step(self, reached: frozenset[int], name: str) -> frozenset[int]:
        """Go on to something in a folder.

        Args:
            reached: How much of the pattern the folder matches, as numbers of parts.
            name: What is in the folder.

        Returns:
            How much of the pattern that matches; empty when nothing below can match either.
        """
        matched = set()
        for at in reached:
            if at < len(self.parts):
                if self.parts[at] == _ANY_DEPTH:
                    matched.add(at)
                elif fnmatchcase(name, self.parts[at]):
                    matched.add(at + 1)
        return self._closed(matched)

    def accepts(self, reached: frozenset[int]) -> bool:
        """Tell whether all of the pattern is matched."""
        return len(self.parts) in reached

    def _closed(self, reached: set[int]) -> frozenset[int]:
        """Add what is reached because `**` also stands for no folder at all."""
        closed = set(reached)
        for at, part in enumerate(self.parts):
            if at in closed and part == _ANY_DEPTH:
                closed.add(at + 1)
        return frozenset(closed)


def read_list(path: str, *, null: bool) -> tuple[Path, ...]:
    """Read names as `find` and `git ls-files` write them.

    Args:
        path: The file, `-` for standard input.
        null: Whether each name ends with a NUL instead of a line's end.

    Raises:
        ShotcropError: The list cannot be read, or its names end with NUL and `null` is false.
    """
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ShotcropError(
            f"{path}: the list of photos cannot be read: {error.strerror}", hint="check --files-from"
        ) from error
    if null:
        names = content.split(b"\0")
    elif b"\0" in content:
        raise ShotcropError(f"{path}: the names in this list end with NUL", hint="add -0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return tuple(Path(os.fsdecode(name)) for name in names if name.strip())
