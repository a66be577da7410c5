"""Which photos the user asked for: the paths, and the patterns that narrow them down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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
