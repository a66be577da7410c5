"""Decide when a file that appears in a watched folder is complete, and when to try a failed one again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.library.source import Source

QUIET_SECONDS = 3.0
"""A file is complete if its size and times have not changed for this long."""
FIRST_RETRY, LAST_RETRY = 60.0, 3600.0
"""Seconds until a photo that failed is tried again; they double each time, up to the second value."""

_Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class _Waiting:
    """A file that is not cropped yet.

    Args:
        stamp: Its size, times and number on the file system.
        due: When to crop it, on the monotonic clock.
        tries: How often it was tried with this stamp.
    """

    stamp: _Stamp
    due: float
    tries: int = 0


class Settling:
    """Remembers the files that wait, and only these: a file that is cropped is asked about no more.

    Args:
        quiet: Seconds without a change after which a file is complete.
        clock: The time in seconds.
    """

    def __init__(self, quiet: float = QUIET_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._waiting: dict[Path, _Waiting] = {}
        self._asked: set[Path] = set()

    def __len__(self) -> int:
        """How many files wait."""
        return len(self._waiting)

    @property
    def is_settling(self) -> bool:
        """Whether a file waits because it may still be written."""
        return any(one.tries == 0 for one in self._waiting.values())

    def is_ready(self, source: Source) -> bool:
        """Say whether a photo that is due may be cropped now. If so, it counts as tried."""
        path, now = source.path, self._clock()
        stamp = (source.size_bytes, source.mtime_ns, source.ctime_ns, source.inode)
        self._asked.add(path)
        one = self._waiting.get(path)
        if one is None or one.stamp != stamp:
            self._waiting[path] = _Waiting(stamp, now + self._quiet)
            return False
        if now < one.due:
            return False
        one.due = now + min(FIRST_RETRY * 2**one.tries, LAST_RETRY)
        one.tries += 1
        return True

    def end_look(self) -> None:
        """Forget the files that the last look did not ask about: they are cropped or gone."""
        for path in self._waiting.keys() - self._asked:
            del self._waiting[path]
        self._asked.clear()

    def seconds_left(self) -> float | None:
        """Return the seconds until the next file is due; None if none waits."""
        if not self._waiting:
            return None
        return max(0.0, min(one.due for one in self._waiting.values()) - self._clock())
