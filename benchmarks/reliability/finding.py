"""The result of one reliability test, as a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

HEADINGS = ("Test", "Repeats", "Result", "Promise")


@dataclass(frozen=True, slots=True)
class Finding:
    """The test of a promise.

    Args:
        what: What was done.
        how_often: In words.
        found: What was seen.
        violations: Where the promise was broken, one line each.
        skipped: Whether it could not be tested here.
    """

    what: str
    how_often: str
    found: str
    violations: tuple[str, ...] = ()
    skipped: bool = False

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The cells below `HEADINGS`."""
        verdict = "skipped" if self.skipped else "broken" if self.violations else "kept"
        return self.what, self.how_often, self.found, verdict


def cannot_mount(what: str) -> Finding:
    """Return the result of a test that needs root."""
    return Finding(what, "0", "this test mounts a file system and needs root", skipped=True)


def as_table(findings: Sequence[Finding]) -> Table:
    """Return the table for the terminal."""
    table = Table(show_lines=True)
    for heading in HEADINGS:
        table.add_column(heading)
    for finding in findings:
        table.add_row(*finding.row)
    return table


def as_markdown(findings: Sequence[Finding]) -> str:
    """Return the table as Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(finding.row for finding in findings)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
