"""The log: lines of text for people or of JSON for programs, in a file that other programs may rotate."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import suppress
from datetime import datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

from shotcrop_cli.errors import OutputError

DETAIL, INFO, NOTICE, WARNING, ERROR = logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR
"""Levels: with `--verbose`, by default, even with `--quiet` (as notice of syslog), and what is wrong."""

LEVEL_NAMES = {DETAIL: "detail", INFO: "info", NOTICE: "notice", WARNING: "warning", ERROR: "error"}

FIELDS = "fields"
"""Attribute of a record with the fields that a program needs besides the message."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that do not stand for a byte of a file name."""


def one_line(text: str) -> str:
    """Return a text on one line, with control characters escaped, since file names may contain any."""
    return text.translate(_CONTROL)


def local_time(seconds: float) -> str:
    """Return a time with its UTC offset, in whole seconds.

    Args:
        seconds: Since the epoch.
    """
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


class TextFormatter(logging.Formatter):
    """Writes `2026-03-01T04:05:06+01:00 warning: message`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        line = f"{local_time(record.created)} {LEVEL_NAMES[record.levelno]}: {one_line(record.getMessage())}"
        return _NO_BYTE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


class JsonFormatter(logging.Formatter):
    """Writes one JSON object with `time`, `level`, `message` and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        entry = {
            "time": local_time(record.created),
            "level": LEVEL_NAMES[record.levelno],
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        # JSON spells a lone surrogate as Python's escapes do.
        return json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for `text` or `json`."""
    return JsonFormatter() if log_format == "json" else TextFormatter()


class LogFile(WatchedFileHandler):
    """Appends to a file; if the file is renamed, continues in a new one.

    Args:
        path: The file. It and its folder are created if missing.
        log_format: `text` or `json`.

    Raises:
        OutputError: The file cannot be opened.
    """

    def __init__(self, path: Path, log_format: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A name that is not UTF-8 keeps its bytes in a text log, so that it can be copied.
            super().__init__(path, encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise OutputError(
                f"{path}: the log cannot be written: {error.strerror}", hint="choose another --log-file"
            ) from error
        self.setFormatter(formatter(log_format))
        self._has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record."""
        try:
            super().emit(record)
        except OSError:  # the check for rotation failed
            self.handleError(record)

    def close(self) -> None:
        """Close the file; errors have been reported."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Warn once that the log is incomplete, and go on: the photos matter more than their log."""
        if not self._has_failed:
            self._has_failed = True
            print(f"warning: {self.baseFilename}: cannot be written: {sys.exc_info()[1]}", file=sys.stderr)
