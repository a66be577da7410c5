"""A file in memory that limits how much a parser reads from it."""

from __future__ import annotations

import io

_READ_COST = 16
"""Bytes that each read counts for, however short it is (our choice)."""


class LimitedReader(io.BytesIO):
    """A file in memory that stops parsers which read the same bytes again and again.

    Thousands of directory entries of a hostile file may point to the same bytes, so that a small file costs gigabytes.

    Args:
        data: The content.
        limit: Bytes that may be read in total.
    """

    def __init__(self, data: bytes, limit: int) -> None:
        super().__init__(data)
        self._left = limit

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any other file.

        Raises:
            ValueError: The limit is reached.
        """
        data = super().read(size)
        self._left -= _READ_COST + len(data)
        if self._left < 0:
            raise ValueError("the file refers to the same bytes too often")
        return data
