"""Leases: what keeps two runs from working on one output of an object store, which has no locks.

A run writes an object that says who it is, renews it while it works, and marks it as free at its end. Writing is
conditional, so that only one of two runs gets it. A run that was killed leaves its lease, which others may take after
`TTL_SECONDS`, or at once on the same machine, where they see that its process is gone.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.errors import LockedError
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.storage.interface import ABSENT, Changed, Entry, Storage, StorageError

TTL_SECONDS = 120.0
"""A lease that was not renewed for this time is free (our choice: four times what a busy store takes)."""
_RENEW_SECONDS = 30.0
_POLL_SECONDS = 2.0
_SHARD = re.compile(re.escape(LOCK_NAME) + r"\.(\d+)-of-(\d+)")


@contextmanager
def hold_lease(
    storage: Storage, wait: float, on_wait: Callable[[], None], shard: Shard | None
) -> Iterator[Callable[[], None]]:
    """Hold the lease of an output, or of one shard of it.

    Args:
        storage: The output.
        wait: Seconds to wait for another run to end; infinity to wait as long as it takes.
        on_wait: Called once if the run has to wait.
        shard: The part of the library that this run crops; None for all of it.

    Yields:
        What raises a `StorageError` if another run took the lease over.

    Raises:
        LockedError: Another run holds it.
    """
    deadline = time.monotonic() + wait
    is_waiting = False
    lease = _Lease(storage, LOCK_NAME if shard is None else f"{LOCK_NAME}.{shard.number}-of-{shard.count}")
    while (left := lease.acquire(shard)) is not None:
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{storage.url}: another run is still using this output",
                hint=f"wait for it with --wait; if it was killed, its lease ends in {left:.0f} s",
            )
        if not is_waiting:
            is_waiting = True
            on_wait()
        time.sleep(min(_POLL_SECONDS * random.uniform(0.5, 1.0), max(0.0, deadline - time.monotonic())))
    renewal = threading.Thread(target=lease.keep, name="lease", daemon=True)
    renewal.start()
    try:
        yield lease.check
    finally:
        lease.done.set()
        renewal.join()
        lease.release()


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who holds a lease.

    Args:
        run: Names the run; empty if no one holds it.
        machine: Its machine.
        process: Its process there, and when that started.
    """

    run: str = ""
    machine: str = ""
    process: str = ""

    def to_bytes(self) -> bytes:
        document = {"run": self.run, "machine": self.machine, "process": self.process}
        return (json.dumps(document) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes) -> _Holder:
        try:
            document = json.loads(data)
            return cls(*(str(document[key]) for key in ("run", "machine", "process")))
        except (ValueError, TypeError, KeyError):
            return cls()

    @property
    def is_dead(self) -> bool:
        """Whether it is known that the run is over."""
        if not self.run:
            return True
        return (
            bool(self.machine)
            and self.machine == _machine()
            and _process(self.process.partition(" ")[0]) != (self.process)
        )


class _Lease:
    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, name
        self._me = _Holder(uuid.uuid4().hex, _machine(), _process(str(os.getpid())))
        self._tag = ABSENT
        self._renewed = time.monotonic()
        self._lost = ""
        self.done = threading.Event()

    def acquire(self, shard: Shard | None) -> float | None:
        """Take the lease; or return the seconds after which another one ends if it is not renewed."""
        others = {entry.name: entry for entry in self._storage.list(below=LOCK_NAME)}
        left = self._busy(others.values(), shard)
        if left is not None:
            return left
        own = others.get(self._name)
        try:
            self._tag = self._storage.write(self._name, self._me.to_bytes(), ABSENT if own is None else own.tag)
        except Changed:
            if not self._is_ours():
                return TTL_SECONDS
        self._renewed = time.monotonic()
        # Another run of another kind may have done the same at the same moment. Then both give way.
        rivals = (entry for entry in self._storage.list(below=LOCK_NAME) if entry.name != self._name)
        if (left := self._busy(rivals, shard)) is not None:
            self.release()
        elif shard is not None:
            with suppress(Changed):  # so that a search for photos recognises the output
                self._storage.write(LOCK_NAME, _Holder().to_bytes(), ABSENT)
        return left

    def _busy(self, entries: Iterable[Entry], shard: Shard | None) -> float | None:
        longest = None
        for entry in entries:
            if not _excludes(entry.name, shard):
                continue
            age = time.time() - entry.mtime_ns / 1e9
            try:
                holder = _Holder.parse(self._storage.read(entry.name).data)
            except FileNotFoundError:
                continue
            if not holder.is_dead and age < TTL_SECONDS:
                longest = max(longest or 0.0, TTL_SECONDS - age)
        return longest

    def keep(self) -> None:
        """Renew the lease until `done`."""
        while not self.done.wait(_RENEW_SECONDS):
            try:
                self._tag = self._storage.write(self._name, self._me.to_bytes(), self._tag)
                self._renewed = time.monotonic()
            except Changed:
                if not self._is_ours():
                    self._lost = "another run has taken over this output"
                    return
            except StorageError as error:
                if time.monotonic() - self._renewed > TTL_SECONDS:
                    self._lost = f"the lease could not be renewed: {error}"
                    return

    def _is_ours(self) -> bool:
        """Say whether an answer was lost, and the lease was written all the same."""
        try:
            content = self._storage.read(self._name)
        except (StorageError, FileNotFoundError):
            return False
        if _Holder.parse(content.data) != self._me:
            return False
        self._tag, self._renewed = content.tag, time.monotonic()
        return True

    def check(self) -> None:
        """Raise a `StorageError` if the lease is lost."""
        if self._lost:
            raise StorageError(f"{self._storage.url}: {self._lost}", hint="see what else writes there, and run again")

    def release(self) -> None:
        """Mark the lease as free. It is not deleted, because a run may lack the right to do that."""
        with suppress(Changed, StorageError, FileNotFoundError):
            self._storage.write(self._name, _Holder().to_bytes(), self._tag)


def _excludes(name: str, shard: Shard | None) -> bool:
    """Say whether the run with this lease and ours must not work at the same time."""
    if shard is None or name == LOCK_NAME:
        return True
    other = _SHARD.fullmatch(name)
    return other is None or int(other[2]) != shard.count or int(other[1]) == shard.number


def _machine() -> str:
    """Name this machine, so that a process number means the same; empty if that is not certain."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _process(number: str) -> str:
    """Return the number of a process and when it started; empty if there is none."""
    try:
        status = Path(f"/proc/{int(number)}/stat").read_text("utf-8", "replace")
        return f"{number} {status.rpartition(')')[2].split()[19]}"
    except (OSError, ValueError, IndexError):
        return ""
