"""The log of a run as a file, for readers that need no training library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOG = "log.jsonl"
BEST = "best"
"""Folder in a run folder with the best model on the held-back photos."""


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a `log.jsonl`, none if there is no such file. An incomplete line is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines
