"""The interface of a storage, which local folders and object stores have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.shard import Shard

ANY = "*"
"""The tag that `Storage.write` gets if it may replace whatever is there."""
ABSENT = ""
"""The tag of an object that does not exist."""
MTIME_KEY = "mtime"
"""Metadata of an object: the modification time of the file that it was, in seconds, as rclone writes it."""
PHOTO_TAG_KEY = "shotcrop-photo"
"""Metadata of a sidecar: the tag of the photo that was cropped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing.

    Args:
        name: Its name below the root of the storage, with `/` between the parts.
        size_bytes: Its size.
        mtime_ns: When it was written, in nanoseconds since the epoch.
        tag: Changes with its content: an etag or a generation. Empty if the storage has none.
    """

    name: str
    size_bytes: int
    mtime_ns: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """An object that was read.

    Args:
        data: Its whole content.
        tag: See `Entry`.
        metadata: What whoever wrote it has added.
    """

    data: bytes
    tag: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class Changed(Exception):
    """An object is not the expected one any more: somebody wrote or removed it in the meantime.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class StorageError(OutputError):
    """A storage cannot be reached or refuses the request, so that all further ones would fail, too."""


class Denied(StorageError):
    """Access to one object is denied."""


class Storage(Protocol):
    """A folder of this machine or of an object store.

    Names are relative to this folder. Each method retries what may pass, such as a server that asks to slow down.
    A method that cannot do its work raises `StorageError`, or `FileNotFoundError` if the object is missing.
    """

    url: str
    """Where it is, without a `/` at the end."""

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        """Yield all objects in the order of their names as UTF-8, without holding all of them in memory.

        Args:
            start: Yield only names that are not less than this.
            below: Yield only names that start with this.
        """

    def stat(self, name: str) -> Entry | None:
        """Look up one object; None if there is none."""

    def read(self, name: str, tag: str = "") -> Content:
        """Read a whole object.

        Args:
            name: Its name.
            tag: The tag that it must have; empty if it does not matter.

        Raises:
            Changed: It has another tag.
        """

    def write(self, name: str, data: bytes, tag: str = ANY, metadata: Mapping[str, str] | None = None) -> str:
        """Write a whole object: afterwards it has its old content or the new one, nothing between.

        Args:
            name: Its name.
            data: Its content.
            tag: The tag that it must have so far: `ABSENT` if it must not exist, `ANY` if it does not matter.
            metadata: What to add.

        Returns:
            Its new tag.

        Raises:
            Changed: It has another tag.
        """

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""

    def hold(
        self, wait: float, on_wait: Callable[[], None], shard: Shard | None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Let no other run of the same photos write here; see `library.output_folder.open_output`.

        Yields:
            What raises a `StorageError` if another run has taken over.
        """
