"""Figures as tables: in the terminal, and between their marks in a document."""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figures:
    """A table.

    Args:
        title: What it shows, one line.
        headings: Of its columns.
        rows: Its cells.
        names: How many columns on the left are words; the others are numbers.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1

    def as_table(self) -> Table:
        """Return what a terminal shows."""
        table = Table(title=self.title)
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="left" if place < self.names else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_markdown(self) -> str:
        """Return what a document shows."""
        rules = tuple("---" if place < self.names else "---:" for place in range(len(self.headings)))
        rows = "".join(f"| {' | '.join(row)} |\n" for row in (self.headings, rules, *self.rows))
        return f"{self.title}:\n\n{rows}"


def machine(*packages: str) -> str:
    """Say what was measured on: processors, memory, system and the versions of those packages that are installed."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = [f"{package} {number}" for package in packages if (number := _version(package))]
    return ", ".join(
        (
            f"{cores()} cores of {_processor()}",
            f"{gigabytes:.0f} GB",
            f"{platform.system()} {platform.machine()}",
            f"Python {platform.python_version()}",
            *versions,
        )
    )


def cores() -> int:
    """Return how many processors this process may use; `taskset` gives it fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    text = facts.read_text("utf-8", "replace") if facts.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def add_markdown(parser: argparse.ArgumentParser) -> None:
    """Add the flag that `publish` takes."""
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="a document whose table is written anew")


def publish(mark: str, tables: Sequence[Figures], notes: Sequence[str], document: Path | None) -> None:
    """Print tables and, where a document is named, put them between its marks.

    Args:
        mark: The name that the marks `<!-- measured: NAME -->` and `<!-- end: NAME -->` bear.
        tables: What was measured.
        notes: What else to say, a sentence each.
        document: A Markdown file, None for none.
    """
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 120)  # a pipe has no width of its own: let no figure be cut off there
    for table in tables:
        console.print(table.as_table())
    for note in notes:
        console.print(note)
    if document is not None:
        content = "\n".join([*(f"{note}\n" for note in notes), *(table.as_markdown() for table in tables)])
        document.write_text(replaced(document.read_text("utf-8"), mark, content), "utf-8")


def replaced(text: str, mark: str, content: str) -> str:
    """Return a document with other content between two marks.

    Raises:
        SystemExit: The document has no such marks.
    """
    between = re.compile(
        rf"(?<=<!-- measured: {re.escape(mark)} -->\n).*(?=<!-- end: {re.escape(mark)} -->)", re.DOTALL
    )
    new, count = between.subn(lambda _: f"\n{content}\n", text)
    if count != 1:
        raise SystemExit(f"the document needs <!-- measured: {mark} --> and, below it, <!-- end: {mark} -->, once")
    return new
