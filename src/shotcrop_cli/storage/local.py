"""A folder of this machine as a storage: writing stays atomic, and the lock stays that of the operating system."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.output_folder import open_output
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.storage.interface import ABSENT, ANY, MTIME_KEY, Changed, Content, Entry


class LocalStorage:
    """A folder of this machine; see `Storage`.

    Args:
        root: The folder. It need not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = str(self._root)

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        """See `Storage.list`. The names of the folder are all in memory, because they are in another order there."""
        first, names = os.fsencode(start), []
        for folder, _, files in os.walk(self._root):
            relative = Path(folder).relative_to(self._root).as_posix()
            prefix = "" if relative == "." else f"{relative}/"
            names += [name for file in files if (name := prefix + file).startswith(below)]
        for name in sorted(names, key=os.fsencode):
            if os.fsencode(name) >= first and (entry := self.stat(name)) is not None:
                yield entry

    def stat(self, name: str) -> Entry | None:
        """See `Storage.stat`."""
        path = self._root / name
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return Entry(name, status.st_size, status.st_mtime_ns, f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")

    def read(self, name: str, tag: str = "") -> Content:
        """See `Storage.read`."""
        entry = self.stat(name)
        if entry is None:
            raise FileNotFoundError(name)
        if tag not in ("", entry.tag):
            raise Changed(name)
        data = (self._root / name).read_bytes()
        return Content(data, entry.tag, {MTIME_KEY: _seconds(entry.mtime_ns)})

    def write(self, name: str, data: bytes, tag: str = ANY, metadata: Mapping[str, str] | None = None) -> str:
        """See `Storage.write`. The file is written under another name, synced and renamed."""
        entry = self.stat(name)
        if tag != ANY and tag != (ABSENT if entry is None else entry.tag):
            raise Changed(name)
        mtime = (metadata or {}).get(MTIME_KEY)
        mtime_ns = None if mtime is None else nanoseconds(mtime)
        put_in_place([NewFile(self._root / name, data, mtime_ns)], root=self._root)
        written = self.stat(name)
        return "" if written is None else written.tag

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def hold(self, wait: float, on_wait: Callable[[], None], shard: Shard | None) -> Iterator[Callable[[], None]]:
        """See `Storage.hold`."""
        with open_output(self._root, wait, on_wait, shard):
            yield lambda: None


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}"


def seconds(nanoseconds: int) -> str:
    """Write a time for `MTIME_KEY`."""
    return _seconds(nanoseconds)


def nanoseconds(text: str) -> int | None:
    """Read a time of `MTIME_KEY`; None if it is none."""
    whole, _, part = text.partition(".")
    try:
        return int(whole) * 1_000_000_000 + int(f"{part[:9]:<09}" if part else 0)
    except ValueError:
        return None
