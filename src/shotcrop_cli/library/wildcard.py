"""Patterns for paths, such as `2026/**/*.jpg`, that the shell did not expand."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

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
