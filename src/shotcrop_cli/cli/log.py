"""The log: lines of text for people or of JSON for programs, in a file that may be rotated."""

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

LOG_FORMATS = ("text", "json")

DETAIL, INFO, NOTICE, WARNING, ERROR = logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR
"""What is said with `--verbose`, by default, however quiet, and of things that are wrong [O: syslog's notice]."""

LEVEL_NAMES = {DETAIL: "detail", INFO: "info", NOTICE: "notice", WARNING: "warning", ERROR: "error"}

FIELDS = "fields"
"""Attribute of a record that holds what a program wants beside the message."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte of a file name."""


def one_line(text: str) -> str:
    """Return a text on one line, its control characters spelled out: file names may hold any."""
    return text.translate(_CONTROL)


def local_time(seconds: float) -> str:
    """Write a time with its offset, in whole seconds.

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
    """Writes one JSON object: `time`, `level`, `message`, and what else the record has."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        entry = {
            "time": local_time(record.created),
            "level": LEVEL_NAMES[record.levelno],
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        # JSON's own spelling of a lone surrogate is the one of Python's escapes.
        return json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter of one of `LOG_FORMATS`."""
    return JsonFormatter() if log_format == "json" else TextFormatter()


class LogFile(WatchedFileHandler):
    """Appends to a file, and to its successor once it has been rotated away.

    Args:
        path: The file; it and its folder are made when missing.
        log_format: One of `LOG_FORMATS`.

    Raises:
        OutputError: The file cannot be opened.
    """

    def __init__(self, path: Path, log_format: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # In text a name that is no UTF-8 keeps its bytes, so that it can be copied from the log.
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
        except OSError:  # of the check for rotation
            self.handleError(record)

    def close(self) -> None:
        """Close the file; what could not be written has been told."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once on stderr that the log is incomplete: photos are worth more than their log."""
        if not self._has_failed:
            self._has_failed = True
            print(f"warning: {self.baseFilename}: cannot be written: {sys.exc_info()[1]}", file=sys.stderr)
