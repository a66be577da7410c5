"""Read what docs/training.md names: recipe keys, and the figures of a run's log."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "training.md"


def documented(heading: str, stage: int | None = None) -> list[str]:
    """Return the names in the first column of the table with this first heading.

    Args:
        heading: `key` or `figure`.
        stage: Only rows whose second column names this stage.
    """
    names = []
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-:| ]+\n((?:\|.*\n)+)", PAGE.read_text("utf-8"), re.MULTILINE)
    for row in table.splitlines():
        first, stages = row.strip("| ").split(" | ")[:2]
        if stage is None or str(stage) in stages:
            names += re.findall(r"`([^`]+)`", first)
    return names
