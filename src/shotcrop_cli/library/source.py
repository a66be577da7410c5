"""Photos that a search found, and paths that it ignored."""

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
    """A photo file that a search found.

    Args:
        folder: Its folder.
        name: Its file name.
        size_bytes: Its size.
        mtime_ns: Its modification time in nanoseconds since the epoch.
        ctime_ns: Time of the last change to its content or attributes, which programs cannot set.
        inode: Its number on the file system.
    """

    folder: Folder
    name: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0

    @property
    def path(self) -> Path:
        """Absolute path."""
        return self.folder.path / self.name

    @property
    def relative(self) -> PurePath:
        """Path below the folder that the user named; the file name alone if the user named the file."""
        return self.folder.relative / self.name


@dataclass(frozen=True, slots=True)
class Ignored:
    """A path that a search ignored.

    Args:
        path: The path.
        reason: Why.
        named: Whether the user named this very path.
    """

    path: Path
    reason: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """The result of a search.

    Args:
        sources: The photos, each once: in the order of the named paths, sorted by name within each. Photos that only
            links lead to come last.
        skipped: Paths that look like photos, or were named as photos, but are not.
        unreadable: Folders and files that could not be read.
        roots: The absolute folders that the relative paths of the photos start from, each once.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Ignored, ...]
    unreadable: tuple[Ignored, ...]
    roots: tuple[Path, ...]
