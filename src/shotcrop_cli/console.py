"""Everything said to people goes to stderr through here; stdout carries results alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import click

_PLAIN_PROGRESS_SECONDS = 30.0
"""How often a run without a terminal says how far it got [O]."""
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class Progress(Protocol):
    """What shows how far a run got."""

    def advance(self) -> None:
        """Count one photo."""
        ...


class Console:
    """Speaks to people as loudly as they asked for.

    Args:
        quiet: Say nothing but warnings and errors.
        verbose: Say what becomes of every photo.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self._bar_is_up = False

    def info(self, text: str) -> None:
        """Say something of interest to everybody."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Say something that only `--verbose` asks for."""
        if self.verbose:
            self._say(text)

    def always(self, text: str) -> None:
        """Say something however quiet."""
        self._say(text)

    def warn(self, text: str) -> None:
        """Warn, however quiet."""
        self._say(text, label=click.style("warning: ", fg="yellow"))

    def error(self, text: str) -> None:
        """Report an error, however quiet."""
        self._say(text, label=click.style("error: ", fg="red"))

    @contextmanager
    def progress(self, total: int) -> Iterator[Progress]:
        """Show progress: a bar on a terminal, now and then a line with the time elsewhere.

        Args:
            total: Number of photos to do.
        """
        if self.quiet or total == 0 or not sys.stderr.isatty():
            yield _PlainProgress(self, total)
            return
        from tqdm import tqdm

        with tqdm(total=total, unit="img", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:
            self._bar_is_up = True
            try:
                yield _BarProgress(bar)
            finally:
                self._bar_is_up = False

    def _say(self, text: str, label: str = "") -> None:
        line = label + one_line(text)
        if self._bar_is_up:
            from tqdm import tqdm

            tqdm.write(line if _may_colour() else click.unstyle(line), file=sys.stderr)
        else:
            click.echo(line, file=sys.stderr, color=None if _may_colour() else False)


def result(text: str) -> None:
    """Write one line of results to stdout, as UTF-8 whatever the locale and however odd the file names."""
    click.echo(text.encode("utf-8", "backslashreplace"))


def one_line(text: str) -> str:
    """Return a text on one line, its control characters spelled out: file names may hold any."""
    return text.translate(_CONTROL)


def _may_colour() -> bool:
    return not os.environ.get("NO_COLOR")  # see no-color.org


class _BarProgress:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self) -> None:
        self._bar.update()


class _PlainProgress:
    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._count = 0
        self._said = time.monotonic()

    def advance(self) -> None:
        self._count += 1
        if time.monotonic() - self._said >= _PLAIN_PROGRESS_SECONDS:
            self._said = time.monotonic()
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            self._console.info(f"{now} {self._count}/{self._total} photos")
