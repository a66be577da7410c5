"""Bytes that can be read only so often."""

from __future__ import annotations

import io

_READ_COST = 16
"""What each access counts for, in bytes, however little it reads [O]."""


class Metered(io.BytesIO):
    """A file in memory that hostile content cannot have read in circles.

    Thousands of entries of a directory may claim the same bytes, so that a small file costs gigabytes.

    Args:
        data: The content.
        limit: Bytes that may be read in all.
    """

    def __init__(self, data: bytes, limit: int) -> None:
        super().__init__(data)
        self._left = limit

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises:
            ValueError: The limit is reached.
        """
        data = super().read(size)
        self._left -= _READ_COST + len(data)
        if self._left < 0:
            raise ValueError("it is read in circles")
        return data
