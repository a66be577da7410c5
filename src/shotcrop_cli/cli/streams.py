"""stdout for results, stderr for everything else, and what a terminal needs."""

from __future__ import annotations

import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

import click

from shotcrop_cli.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_WORD = re.compile(r"""(?<!\S)'[^']*'\S* | (?<!\S)"[^"]*"\S* | \S+""", re.VERBOSE)
"""What stays on one line. Quoted text does, or the spaces of `fold` would change a command."""


def result(text: str, *, folded: bool = False) -> None:
    """Write one line of results to stdout, as UTF-8 in any locale and with any file name.

    Args:
        text: The line.
        folded: Whether a terminal breaks it between words.

    Raises:
        OutputError: The line cannot be written, for example because the disk is full.
        BrokenPipeError: The reader has closed the pipe.
    """
    try:
        if sys.stdout is None:
            raise OSError(None, "it is closed")
        click.echo((fold(text, sys.stdout) if folded else text).encode("utf-8", "backslashreplace"))
    except BrokenPipeError:
        raise
    except OSError as error:
        hang_up(sys.stdout)
        raise OutputError(
            f"stdout: results cannot be written: {error.strerror}", hint="free space, or send stdout elsewhere"
        ) from error


def keep_stdout_for_results() -> None:
    """Give `sys.stdout` a descriptor of its own; what a C library or a child process prints goes to stderr."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller; a photo that got this number would receive our output
            os.open(os.devnull, os.O_RDWR)
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    buffer = io.BufferedWriter(_Messages(2))
    sys.stderr = io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=True)
    if sys.stdout is None:
        return
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(private, "w", encoding=sys.stdout.encoding, errors="backslashreplace")


class _Messages(io.RawIOBase):
    """Writes to a descriptor. What cannot be written is lost, because photos matter more than messages about them.

    Args:
        descriptor: An open descriptor, which stays open.
    """

    name = "<stderr>"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: Buffer, /) -> int:
        """Write what the reader takes. A terminal that is gone, a closed pipe and a full disk take everything."""
        try:
            return os.write(self._descriptor, data)
        except OSError:
            return memoryview(data).nbytes

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)


def hang_up(stream: TextIO | None) -> None:
    """Discard what is left to write to a broken stream, since the interpreter would report it at exit."""
    if stream is None:
        return
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def is_plain(stream: TextIO) -> bool:
    """Return whether a stream gets no bar and no colour: no terminal, a dumb one, or NO_COLOR (see no-color.org)."""
    return not stream.isatty() or os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))


def terminal_width(stream: TextIO) -> int:
    """Return the columns of the terminal that a stream writes to; 0 for none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return 0


def fold(text: str, stream: TextIO, prefix: str = "", indent: int = 0) -> str:
    """Let a terminal break a line between words.

    Spaces fill each row, so the line stays one line when it is copied. A command can be pasted.

    Args:
        text: A text without control characters; runs of spaces count as one on a terminal.
        stream: What it will be written to.
        prefix: Start of the line, which is kept as it is.
        indent: Columns to leave free before the second row and all others; fewer before a long word.
    """
    width = terminal_width(stream)
    return "".join(_rows(text, width, prefix, indent)) if width > indent else prefix + text


def wrap(text: str, width: int, prefix: str = "", indent: int = 0) -> str:
    """Break a line between words by newlines, where there is no terminal that could do it; see `fold`."""
    return "\n".join(row.rstrip() for row in _rows(text, width, prefix, indent)) if width > indent else prefix + text


def _rows(text: str, width: int, prefix: str, indent: int) -> Iterator[str]:
    """Yield the rows of a line; all but the last fill the width, unless a single word is longer."""
    row, separator = prefix, ""
    for word in _WORD.findall(text):
        if separator and _columns(row) + 1 + _columns(word) > width:
            yield row + " " * (-_columns(row) % width)
            row, separator = " " * max(0, min(indent, width - _columns(word))), ""
        row, separator = row + separator + word, " "
    yield row


def _columns(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
