"""Memory of photos that are done, kept for the next ones."""

from __future__ import annotations

import ctypes

_OPTIONS = (
    (-8, 1),  # M_ARENA_MAX: one heap for all threads, since photos are decoded in one and dropped in another
    (-3, 32 << 20),  # M_MMAP_THRESHOLD: the most there is; Pillow asks for 16 MiB at once
    (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: free memory at the end of the heap from which it is given back
)
"""By their numbers in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Have the C library hand out again what was freed, instead of giving it back to the system.

    The system clears each page that it hands out, which is a quarter of the processor time that large photos take [O].
    To be called before other threads begin. Where the C library is not glibc, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # other libraries have none, and Windows has no such handle
        return
    for option, value in _OPTIONS:
        mallopt(option, value)
