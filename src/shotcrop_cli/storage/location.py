"""Recognise URLs of object stores, and open what they lead to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.storage.interface import Storage

SCHEMES = {"s3": "s3", "gs": "gcs", "az": "azure", "memory": ""}
"""The schemes of object stores, each with the extra that brings its library."""
_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_FILE = "file"
# A path object has one slash where the user wrote two. Names of one letter are drives of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")


class UrlPath(type(Path())):  # type: ignore[misc]
    """A URL as a path, to be shown and split but not to be opened: `str` gives `s3://bucket/a.jpg`."""

    def __str__(self) -> str:
        return _SCHEME.sub(r"\1://", super().__str__(), count=1)

    def __fspath__(self) -> str:
        return str(self)


def is_url(path: str | os.PathLike[str]) -> bool:
    """Say whether a path is the URL of an object store.

    Raises:
        ShotcropError: It has a scheme that shotcrop does not know, or holds a password.
    """
    return _split(os.fsdecode(path)) is not None


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as it is, and that of a `file://` URL without its scheme."""
    text = os.fsdecode(path)
    if (scheme := _SCHEME.match(text)) is not None and scheme[1].lower() == _FILE:
        return Path("/" + text[scheme.end() :])
    return Path(path)


def place(path: str | os.PathLike[str]) -> Path:
    """Return what a user named as a path: of this machine, or one that shows a URL."""
    return UrlPath(canonical(path)) if is_url(path) else local_path(path)


def canonical(path: str | os.PathLike[str]) -> str:
    """Return the URL of an object store in its one form: two slashes, none at the end."""
    parts = _split(os.fsdecode(path))
    assert parts is not None
    return f"{parts[0]}://{parts[1]}"


def open_storage(path: str | os.PathLike[str]) -> Storage:
    """Open a folder: of an object store if the path is a URL, else of this machine.

    Raises:
        ShotcropError: The library for this kind of store is missing, or the URL is wrong.
    """
    if not is_url(path):
        from shotcrop_cli.storage.local import LocalStorage

        return LocalStorage(local_path(path))
    from shotcrop_cli.storage.objects import open_objects

    return open_objects(canonical(path))


def _split(text: str) -> tuple[str, str] | None:
    """Return scheme and rest of a URL; None for a path of this machine."""
    if (scheme := _SCHEME.match(text)) is None:
        return None
    lower, rest = scheme[1].lower(), text[scheme.end() :].rstrip("/")
    name = _ALIASES.get(lower, lower)
    if name == _FILE:
        return None
    if name not in SCHEMES:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise ShotcropError(
            f"{scheme[1]}://{rest}: {scheme[1]}:// is not supported yet",
            hint=f"use a path or a URL with {known}, or mount it",
        )
    if "@" in rest.partition("/")[0]:
        raise ShotcropError(
            f"{name}://: the URL holds a user or a password",
            hint="leave them out, shotcrop finds credentials as docs/object-stores.md says",
        )
    parts = [part for part in rest.split("/") if part]
    if not parts:
        raise ShotcropError(f"{name}://: the URL names no bucket", hint=f"write {name}://BUCKET/FOLDER")
    if ".." in parts or "." in parts:
        raise ShotcropError(f"{name}://{rest}: `.` and `..` mean nothing in a URL", hint="write the whole URL")
    return name, "/".join(parts)
