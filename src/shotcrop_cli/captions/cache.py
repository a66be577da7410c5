"""Answers of captioners that are kept on this machine, so that the same crops are not paid for twice."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec

from shotcrop_cli.shots import PhotoText


class CaptionCache:
    """A folder with a file for each answer. What cannot be read or written is left out: a cache is no promise.

    Args:
        folder: The folder; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> PhotoText | None:
        """Return the answer to a request; None if there is none."""
        try:
            return msgspec.json.decode(self._path(key).read_bytes(), type=PhotoText)
        except (OSError, ValueError, RecursionError):
            return None

    def put(self, key: str, text: PhotoText) -> None:
        """Keep an answer."""
        path = self._path(key)
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(msgspec.json.encode(text))
            os.replace(temporary, path)  # noqa: PTH105 - Path.replace is the same
        except OSError:
            with suppress(OSError):
                temporary.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
