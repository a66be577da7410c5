"""Show measured figures as tables, in the terminal and between two marks in a Markdown file."""

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
        title: One line above it.
        headings: The names of its columns.
        rows: Its cells.
        names: How many columns on the left hold words; the others hold numbers.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1

    def as_table(self) -> Table:
        """Return the table for the terminal."""
        table = Table(title=self.title)
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="left" if place < self.names else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_markdown(self) -> str:
        """Return the table as Markdown."""
        rules = tuple("---" if place < self.names else "---:" for place in range(len(self.headings)))
        rows = "".join(f"| {' | '.join(row)} |\n" for row in (self.headings, rules, *self.rows))
        return f"{self.title}:\n\n{rows}"


def machine(*packages: str) -> str:
    """Describe the machine: processors, memory, system, and the versions of the installed packages."""
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
    """Return how many processors this process may use. `taskset` limits them."""
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
    """Add the option that `publish` takes."""
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="replace the table in this Markdown file")


def publish(mark: str, tables: Sequence[Figures], notes: Sequence[str], document: Path | None) -> None:
    """Print tables and write them between the marks of a document, if one is given.

    Args:
        mark: NAME in the marks `<!-- measured: NAME -->` and `<!-- end: NAME -->`.
        tables: The measured figures.
        notes: Sentences above the tables.
        document: A Markdown file, or None to print only.
    """
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 120)  # a pipe has no width: keep figures from being cut off
    for table in tables:
        console.print(table.as_table())
    for note in notes:
        console.print(note)
    if document is not None:
        content = "\n".join([*(f"{note}\n" for note in notes), *(table.as_markdown() for table in tables)])
        document.write_text(replaced(document.read_text("utf-8"), mark, content), "utf-8")


def replaced(text: str, mark: str, content: str) -> str:
    """Return a document with new content between two marks.

    Raises:
        SystemExit: The document does not have the marks exactly once.
    """
    between = re.compile(
        rf"(?<=<!-- measured: {re.escape(mark)} -->\n).*(?=<!-- end: {re.escape(mark)} -->)", re.DOTALL
    )
    new, count = between.subn(lambda _: f"\n{content}\n", text)
    if count != 1:
        raise SystemExit(
            f"the document needs exactly one <!-- measured: {mark} --> and, below it, one <!-- end: {mark} -->"
        )
    return new
