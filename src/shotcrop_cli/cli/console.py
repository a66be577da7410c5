"""Everything said to people goes to stderr and the log through here; stdout carries results alone."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

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
from shotcrop_cli.errors import OutputError

_PLAIN_PROGRESS_SECONDS = 30.0
"""How often a run without a terminal says how far it got [O]."""
_COLOURS = {WARNING: "yellow", ERROR: "red"}
"""Levels whose name stands before what is said."""
_TIMED = "timed"
"""Attribute of a record that is of no use without its time, which only the log gives to all."""
_CONTEXT_KEY = "shotcrop.console"


class Progress(Protocol):
    """What shows how far a run got."""

    def advance(self) -> None:
        """Count one photo."""
        ...


class Console:
    """Speaks to people as loudly as they asked for, and writes the log.

    A context: the log file is open within it. The errors that end the command are told by the same console.

    Args:
        quiet: Say nothing but warnings and errors.
        verbose: Say what becomes of every photo.
        log_file: File to append everything to, however quiet; None for none.
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
        # No logger of the process's own: libraries that log stay out of what people read.
        self._logger = logging.Logger("shotcrop", DETAIL)
        self._logger.addHandler(self._stderr)

    def __enter__(self) -> Console:
        """Open the log file."""
        if (context := click.get_current_context(silent=True)) is not None:
            context.meta[_CONTEXT_KEY] = self
        if self._log_path is not None:
            self._log_file = LogFile(self._log_path, self._log_format)
            self._logger.addHandler(self._log_file)
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
        """Whether anybody hears what `detail` and `photo` say."""
        return self.verbose or self._log_file is not None

    def info(self, text: str) -> None:
        """Say something of interest to everybody."""
        self._say(INFO, text)

    def detail(self, text: str) -> None:
        """Say something that only `--verbose` asks for."""
        self._say(DETAIL, text)

    def always(self, text: str) -> None:
        """Say something however quiet."""
        self._say(NOTICE, text)

    def warn(self, text: str) -> None:
        """Warn, however quiet."""
        self._say(WARNING, text)

    def error(self, text: str) -> None:
        """Report an error, however quiet."""
        self._say(ERROR, text)

    def photo(self, source: Path, status: str, reason: str = "") -> None:
        """Say what became of a photo, as a detail that a program finds by its fields in a JSON log.

        Args:
            source: The photo.
            status: How it ended.
            reason: Why, if that needs saying.
        """
        text = f"{source}: {status}" + (f", {reason}" if reason else "")
        self._say(DETAIL, text, {"source": str(source), "status": status, "reason": reason or None})

    @contextmanager
    def progress(self, total: int) -> Iterator[Progress]:
        """Show progress: a bar on a terminal, now and then a line with the time elsewhere.

        Args:
            total: Number of photos to do.
        """
        if self.quiet or total == 0 or self._stderr.as_json or is_plain(sys.stderr):
            yield _PlainProgress(self._say_progress, total)
            return
        from tqdm import tqdm

        with tqdm(total=total, unit="img", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:
            self._stderr.bar_is_up = True
            try:
                yield _BarProgress(bar)
            finally:
                self._stderr.bar_is_up = False

    def _say_progress(self, done: int, total: int) -> None:
        self._say(INFO, f"{done}/{total} photos", {"done": done, "total": total}, timed=True)

    def _say(self, level: int, text: str, fields: Mapping[str, object] | None = None, *, timed: bool = False) -> None:
        self._logger.log(level, text, extra={FIELDS: fields or {}, _TIMED: timed})


def console_of(context: click.Context) -> Console:
    """Return the console of the command that has run, or one that speaks as by default."""
    console = context.meta.get(_CONTEXT_KEY)
    return console if isinstance(console, Console) else Console()


def result(text: str) -> None:
    """Write one line of results to stdout, as UTF-8 whatever the locale and however odd the file names.

    Raises:
        OutputError: The line cannot be written, on a full disk, say.
        BrokenPipeError: Whoever was reading has gone.
    """
    try:
        if sys.stdout is None:
            raise OSError(None, "it is closed")
        click.echo(text.encode("utf-8", "backslashreplace"))
    except BrokenPipeError:
        raise
    except OSError as error:
        hang_up(sys.stdout)
        raise OutputError(
            f"stdout: results cannot be written: {error.strerror}", hint="free space or send them elsewhere"
        ) from error


def keep_stdout_for_results() -> None:
    """Let `sys.stdout` alone write to stdout: a C library or a child process that prints does so on stderr."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller; a photo that got this number would receive what is printed
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace", closefd=False)
    if sys.stdout is None:
        return
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(private, "w", encoding=sys.stdout.encoding, errors="backslashreplace")


def hang_up(stream: TextIO | None) -> None:
    """Let whatever is left to write to a broken stream vanish, or the interpreter would complain of it at exit."""
    if stream is None:
        return
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def is_plain(stream: TextIO) -> bool:
    """Tell whether a stream gets neither bars nor colour: no terminal, a dumb one, or NO_COLOR (see no-color.org)."""
    return not stream.isatty() or os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))


class _Stderr(logging.Handler):
    """Writes lines for people, above the progress bar when there is one."""

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
        except BrokenPipeError:
            raise  # as when results have no reader: nobody wants the rest
        except OSError:
            pass  # of a full disk, say; the photos are worth more than what is said of them

    def _for_people(self, record: logging.LogRecord) -> str:
        line = one_line(record.getMessage())
        if getattr(record, _TIMED, False):
            line = f"{local_time(record.created)} {line}"
        if record.levelno not in _COLOURS:
            return line
        label = f"{LEVEL_NAMES[record.levelno]}: "
        return (label if is_plain(sys.stderr) else click.style(label, fg=_COLOURS[record.levelno])) + line


class _BarProgress:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self) -> None:
        self._bar.update()


class _PlainProgress:
    def __init__(self, say: Callable[[int, int], None], total: int) -> None:
        self._say, self._total = say, total
        self._count = 0
        self._said = time.monotonic()

    def advance(self) -> None:
        self._count += 1
        if time.monotonic() - self._said >= _PLAIN_PROGRESS_SECONDS:
            self._said = time.monotonic()
            self._say(self._count, self._total)
