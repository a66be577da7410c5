"""Refuse URLs where only a path of this machine will do."""

from __future__ import annotations

import os
import re

from shotcrop_cli.errors import ShotcropError

# A path object has one slash where the user wrote two. Names of one letter are drives of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_FILE = "file"


def refuse_remote(path: str | os.PathLike[str]) -> None:
    """Refuse a path with a scheme, such as `s3://bucket/photos`, because a folder `s3:` would be made for it.

    Raises:
        ShotcropError: The path begins with a scheme.
    """
    text = os.fsdecode(path)
    if (scheme := _SCHEME.match(text)) is None:
        return
    name, rest = scheme[1], text[scheme.end() :]
    shown = f"{name}://{'/' if name == _FILE else ''}{rest}"
    if name == _FILE:
        raise ShotcropError(f"{shown}: shotcrop takes paths, not URLs", hint=f"write /{rest}")
    raise ShotcropError(
        f"{shown}: this has to be a local path; {name}:// is not supported yet",
        hint="copy or mount it, and name the local path",
    )
