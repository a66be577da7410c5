"""Photos that were found, and what was passed over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with photos, shared by all of them.

    Args:
        path: Absolute path.
        relative: Path below the folder that the user named.
    """

    path: Path
    relative: PurePath


@dataclass(frozen=True, slots=True)
class Source:
    """A photo file that was found.

    Args:
        folder: Where it lies.
        name: Its file name.
        size_bytes: Its size.
        mtime_ns: Its modification time, nanoseconds since the epoch.
    """

    folder: Folder
    name: str
    size_bytes: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        """Absolute path."""
        return self.folder.path / self.name

    @property
    def relative(self) -> PurePath:
        """Path below the folder that the user named, the file's name alone for a named file."""
        return self.folder.relative / self.name


@dataclass(frozen=True, slots=True)
class Passed:
    """A path that was passed over, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a search found.

    Args:
        sources: The photos, each once, in the order of the named paths and sorted by name within each; those
            that only links lead to come last.
        skipped: What looks like a photo, or was named as one, and is none.
        unreadable: Folders and files that could not be looked at.
        roots: The absolute folders that the relative paths of the photos start from, each once.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Passed, ...]
    unreadable: tuple[Passed, ...]
    roots: tuple[Path, ...]
