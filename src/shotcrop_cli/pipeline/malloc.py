"""Keep the memory of finished photos for the next ones."""

from __future__ import annotations

import ctypes

_OPTIONS = (
    (-8, 1),  # M_ARENA_MAX: one heap for all threads, because photos are decoded in one thread and freed in another
    (-3, 32 << 20),  # M_MMAP_THRESHOLD: the largest possible value; Pillow asks for 16 MiB at a time
    (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: amount of free memory at the end of the heap that is given back
)
"""Options by their numbers in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let the C library reuse freed memory instead of giving it back to the system, for the rest of the process.

    The system clears every page that it hands out. For large photos that took a quarter of the processor time in our
    measurements. Call this before other threads start. It does nothing if the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # other libraries have no mallopt, and Windows has no such handle
        return
    for option, value in _OPTIONS:
        mallopt(option, value)
