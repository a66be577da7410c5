"""Messages for people: on stderr, with a progress bar on terminals, and in the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import click

from shotcrop_cli.cli.log import (
    DETAIL,
    ERROR,
    FIELDS,
    INFO,
    LEVEL_NAMES,
    NOTICE,
    WARNING,
    LogFile,
    formatter,
    local_time,
    one_line,
)
from shotcrop_cli.cli.streams import fold, is_plain, terminal_width

_PLAIN_PROGRESS_SECONDS = 30.0
"""How often a run without a terminal prints its progress."""
_COLOURS = {WARNING: "yellow", ERROR: "red"}
"""Levels whose name comes before the message."""
_TIMED = "timed"
"""Attribute of a record that stderr shows with its time, as the log shows every record."""
_ERASE_LINE = "\r\x1b[K"
"""Also erases the `^C` that the terminal has echoed after the bar."""
_CONTEXT_KEY = "shotcrop.console"
NOTES_KEY = "shotcrop.notes"
"""Key of `Context.meta` that keeps what a command finds before it has a console; shown with `--verbose`."""


class Progress(Protocol):
    """Shows the progress of a run."""

    def advance(self, count: int = 1) -> None:
        """Count photos that are done."""
        ...


class Console:
    """Prints the messages that the user asked for, and writes the log.

    A context manager: the log file is open within it. The same console reports the error that ends the command.

    Args:
        quiet: Print only warnings and errors.
        verbose: Print the result of every photo.
        log_file: File to append all messages to, even if `quiet`; None for none.
        log_format: `text` or `json`, for the log file; without one, for stderr.

    Raises:
        OutputError: On entry, when the log file cannot be opened.
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, log_file: Path | None = None, log_format: str = "text"
    ) -> None:
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self._log_path, self._log_format = log_file, log_format
        self._log_file: LogFile | None = None
        self._stderr = _Stderr(as_json=log_format == "json" and log_file is None)
        self._stderr.setLevel(NOTICE if quiet else DETAIL if verbose else INFO)
        # Not a logger of the logging hierarchy: messages of libraries stay out of it.
        self._logger = logging.Logger("shotcrop", DETAIL)
        self._logger.addHandler(self._stderr)

    def __enter__(self) -> Console:
        """Open the log file."""
        context = click.get_current_context(silent=True)
        if self._log_path is not None:
            self._log_file = LogFile(self._log_path, self._log_format)
            self._logger.addHandler(self._log_file)
        if context is not None:
            context.meta[_CONTEXT_KEY] = self
            for note in context.meta.get(NOTES_KEY, ()):
                self.detail(note)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Close the log file."""
        if self._log_file is not None:
            self._logger.removeHandler(self._log_file)
            self._log_file.close()
            self._log_file = None

    @property
    def tells_details(self) -> bool:
        """Whether anybody reads what `detail` and `photo` print."""
        return self.verbose or self._log_file is not None

    def info(self, text: str) -> None:
        """Print a message."""
        self._say(INFO, text)

    def detail(self, text: str) -> None:
        """Print a message with `--verbose` only."""
        self._say(DETAIL, text)

    def always(self, text: str) -> None:
        """Print a message even with `--quiet`."""
        self._say(NOTICE, text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._say(WARNING, text)

    def error(self, text: str) -> None:
        """Print an error."""
        self._say(ERROR, text)

    def photo(self, source: Path, status: str, reason: str = "", words: str = "") -> None:
        """Print the result of a photo with `--verbose`; a JSON log has it in fields.

        Args:
            source: The photo.
            status: How it ended.
            reason: Why; empty for no reason.
            words: The status for people; empty for the status itself.
        """
        text = f"{source}: {words or status}" + (f", {reason}" if reason else "")
        self._say(DETAIL, text, {"source": str(source), "status": status, "reason": reason or None})

    @contextmanager
    def progress(self, total: int) -> Iterator[Progress]:
        """Show progress: a bar on a terminal, elsewhere a line every 30 seconds.

        Args:
            total: Number of photos to do.
        """
        if self.quiet or total == 0 or self._stderr.as_json or is_plain(sys.stderr):
            yield _PlainProgress(self._say_progress, total)
            return
        from tqdm import tqdm

        bar = tqdm(total=total, unit="photo", file=sys.stderr, ncols=_bar_width(), leave=False)
        self._stderr.bar_is_up = True
        try:
            yield _BarProgress(bar)
        finally:
            self._stderr.bar_is_up = False
            bar.close()
            sys.stderr.write(_ERASE_LINE)

    def _say_progress(self, done: int, total: int) -> None:
        self._say(INFO, f"{done}/{total} photos", {"done": done, "total": total}, timed=True)

    def _say(self, level: int, text: str, fields: Mapping[str, object] | None = None, *, timed: bool = False) -> None:
        self._logger.log(level, text, extra={FIELDS: fields or {}, _TIMED: timed})


def console_of(context: click.Context) -> Console:
    """Return the console of the command that has run, or a default one."""
    console = context.meta.get(_CONTEXT_KEY)
    return console if isinstance(console, Console) else Console()


class _Stderr(logging.Handler):
    """Writes lines for people, above the progress bar if there is one."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json
        self.bar_is_up = False
        self._json = formatter("json")

    def emit(self, record: logging.LogRecord) -> None:
        line = self._json.format(record) if self.as_json else self._for_people(record)
        try:
            if self.bar_is_up:
                from tqdm import tqdm

                tqdm.write(line, file=sys.stderr)
            else:
                click.echo(line, file=sys.stderr, color=True)
        except OSError:
            pass  # a full disk, a closed pipe, a terminal that is gone: the photos matter more than the messages

    def _for_people(self, record: logging.LogRecord) -> str:
        line = one_line(record.getMessage())
        if getattr(record, _TIMED, False):
            line = f"{local_time(record.created)} {line}"
        if record.levelno not in _COLOURS:
            return fold(line, sys.stderr)
        label = f"{LEVEL_NAMES[record.levelno]}: "
        folded = fold(line, sys.stderr, prefix=label)
        if is_plain(sys.stderr):
            return folded
        return click.style(label, fg=_COLOURS[record.levelno]) + folded.removeprefix(label)


def _bar_width() -> int | None:
    """Return the columns of the bar: the terminal echoes `^C` after it, which must not begin a new row."""
    width = terminal_width(sys.stderr)
    return max(1, width - len("^C") - 1) if width else None


class _BarProgress:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self, count: int = 1) -> None:
        self._bar.ncols = _bar_width()
        self._bar.update(count)


class _PlainProgress:
    def __init__(self, say: Callable[[int, int], None], total: int) -> None:
        self._say, self._total = say, total
        self._count = 0
        self._said = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self._count += count
        if time.monotonic() - self._said >= _PLAIN_PROGRESS_SECONDS:
            self._said = time.monotonic()
            self._say(self._count, self._total)
