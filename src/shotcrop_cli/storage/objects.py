"""Object stores through fsspec: what all have in common, and objects in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.install_hint import add_extras
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.storage.interface import ABSENT, ANY, Changed, Content, Entry, Storage, StorageError
from shotcrop_cli.storage.lease import hold_lease
from shotcrop_cli.storage.location import SCHEMES
from shotcrop_cli.storage.redact import redact

_FIX_CREDENTIALS = "renew your credentials or permissions, then run again; finished photos are kept"
FIX_DENIED = "allow what docs/object-stores.md lists, then run again"
_FIX_CONNECTION = "check that the store can be reached, then run again; finished photos are kept"


def open_objects(url: str) -> Storage:
    """Open a folder of an object store.

    Args:
        url: Its URL in canonical form.

    Raises:
        ShotcropError: The library for this kind of store is missing.
    """
    scheme = url.partition("://")[0]
    try:
        if scheme == "s3":
            from shotcrop_cli.storage.s3 import S3Storage

            return S3Storage(url)
        if scheme == "gs":
            from shotcrop_cli.storage.gcs import GcsStorage

            return GcsStorage(url)
        if scheme == "az":
            from shotcrop_cli.storage.azure import AzureStorage

            return AzureStorage(url)
        import fsspec

        return FsspecStorage(url, fsspec.filesystem(scheme))
    except ImportError as error:
        extra = SCHEMES[scheme]
        raise ShotcropError(
            f"{url}: {scheme}:// support is not installed ({error.name or error})", hint=add_extras(extra)
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ShotcropError(f"{url}: cannot be opened: {redact(str(error))}", hint=_FIX_CREDENTIALS) from error


class FsspecStorage:
    """A folder of an object store; see `Storage`.

    Writing is conditional where the object must not exist yet. Where it must have a tag, that is compared before.

    Args:
        url: Its URL in canonical form.
        filesystem: A file system of fsspec.
    """

    def __init__(self, url: str, filesystem: Any) -> None:
        self.url = url
        self._files = filesystem
        self._root = filesystem._strip_protocol(url)

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        """See `Storage.list`. fsspec has no pages, so the listing of this store is in memory as a whole."""
        with self._errors(below):
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
        entries = [self._entry(path[len(self._root) + 1 :], info) for path, info in found.items()]
        first = start.encode()
        for entry in sorted(entries, key=lambda entry: entry.name.encode()):
            if entry.name.startswith(below) and entry.name.encode() >= first:
                yield entry

    def stat(self, name: str) -> Entry | None:
        """See `Storage.stat`."""
        try:
            with self._errors(name):
                info = self._files.info(self._path(name))
        except FileNotFoundError:
            return None
        return None if info["type"] == "directory" else self._entry(name, info)

    def read(self, name: str, tag: str = "") -> Content:
        """See `Storage.read`."""
        entry = None if tag else self.stat(name)
        if not tag and entry is None:
            raise FileNotFoundError(name)
        with self._errors(name):
            data = self._files.cat_file(self._path(name))
        return Content(data, tag if entry is None else entry.tag)

    def write(self, name: str, data: bytes, tag: str = ANY, metadata: Mapping[str, str] | None = None) -> str:
        """See `Storage.write`."""
        if tag not in (ANY, ABSENT):
            entry = self.stat(name)
            if entry is None or entry.tag != tag:
                raise Changed(name)
        try:
            with self._errors(name):
                mode = "create" if tag == ABSENT else "overwrite"
                self._files.pipe_file(self._path(name), data, mode=mode)
        except FileExistsError:
            raise Changed(name) from None
        written = self.stat(name)
        return "" if written is None else written.tag

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            with self._errors(name):
                self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    @contextmanager
    def hold(self, wait: float, on_wait: Callable[[], None], shard: Shard | None) -> Iterator[Callable[[], None]]:
        """See `Storage.hold`."""
        with hold_lease(self, wait, on_wait, shard) as check:
            yield check

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _entry(self, name: str, info: Mapping[str, Any]) -> Entry:
        moment = next((info[key] for key in _TIMES if info.get(key)), None)
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        since = moment.timestamp() if isinstance(moment, datetime) else float(moment or 0)
        mtime_ns = round(since * 1_000_000) * 1_000
        tag = next((str(info[key]).strip('"') for key in _TAGS if info.get(key)), f"{info['size']}-{mtime_ns}")
        return Entry(name, int(info["size"]), mtime_ns, tag)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn the errors of the libraries into ours, without secrets."""
        try:
            yield
        except (Changed, StorageError):
            raise
        except Exception as error:  # each library has its own
            raise self._translated(name, error) from None

    def _no_bucket(self) -> StorageError:
        what = "container" if self.url.startswith("az:") else "bucket"
        return StorageError(f"{self.url}: there is no such {what}", hint=f"check its name, or make the {what}")

    def _translated(self, name: str, error: Exception) -> Exception:
        """Return our error for one of a library."""
        shown = f"{self.url}/{name}" if name else self.url
        if isinstance(error, (FileNotFoundError, FileExistsError)):
            return type(error)(name)
        if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
            return StorageError(f"{shown}: access denied: {redact(str(error))}", hint=_FIX_CREDENTIALS)
        what = redact(f"{type(error).__name__}: {error}")
        return StorageError(f"{shown}: the store does not answer as it should: {what}", hint=_FIX_CONNECTION)


_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_TAGS = ("generation", "ETag", "etag")
