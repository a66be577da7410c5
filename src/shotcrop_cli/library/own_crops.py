"""Recognise crops and sheets that shotcrop made, wherever somebody copied them, so that they are not cropped again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from shotcrop_cli.imaging.metadata.xmp import OWN_CROP
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import MAX_BYTES, SCHEMA_ID

OWN_CROP_REASON = "a crop or sheet that shotcrop made; to crop it, add --include-crops"
_START_BYTES, _END_BYTES = 32 << 10, 16 << 10
"""Where the metadata of most formats is (our choice)."""
_NAME = re.compile(rf"(.+)\.(?:[a-z0-9]+-)?(?:{'|'.join(map(str, SHOT_TYPES))})(?:-[a-z0-9_-]+)?\.\w+")
"""The name of a crop by the default template."""


def is_own_crop(path: Path, content: bytes) -> bool:
    """Say whether shotcrop made a file: by the mark in its metadata, or by the sidecar that was copied along.

    Args:
        path: The file.
        content: Its content.
    """
    return OWN_CROP in content or _is_in_sidecar(path)


def looks_like_own_crop(path: Path) -> bool:
    """Say whether a file seems to be a crop by shotcrop, without reading the whole of it."""
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
            file.seek(max(len(start), path.stat().st_size - _END_BYTES))
            return is_own_crop(path, start + file.read(_END_BYTES))
    except (OSError, ValueError):
        return False


def _is_in_sidecar(path: Path) -> bool:
    """Say whether there is a sidecar for a file next to it. Crops with `--metadata none` have no mark."""
    if (name := _NAME.fullmatch(path.name)) is None:
        return False
    try:
        with path.with_name(name[1] + SIDECAR_SUFFIX).open("rb") as file:
            document = json.loads(file.read(MAX_BYTES))
        files = [shot["file"] for shot in (*document["shots"], *document.get("more_crops", ()))]
        return document["schema"] == SCHEMA_ID and path.name in files
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
