"""Exit codes and the one exception type that carries them to the command line."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit code of the process."""

    OK = 0
    """Everything is done or was already up to date."""
    SOME_FAILED = 1
    """At least one photo failed; all others are done."""
    USAGE = 2
    """An option, a path or a configuration value is wrong."""
    MODEL = 3
    """The model is missing, unreadable or not a ShotCrop model."""
    DEVICE = 4
    """The requested device or execution provider is not available."""
    OUTPUT = 5
    """The output folder is not writable or the disk is full."""
    LOCKED = 6
    """Another run holds the lock of this output folder."""
    EMPTY = 7
    """No photos were found, and `--fail-if-empty` makes that an error."""
    UNFINISHED = 8
    """`--max-time` ended the run, and photos are left for the next one."""
    NOT_BETTER = 9
    """`learn` found no style that is better for this person than the model."""
    BUG = 70
    """A bug in shotcrop (EX_SOFTWARE of sysexits.h)."""
    INTERRUPTED = 130
    """Stopped by SIGINT (128 + 2)."""
    BROKEN_PIPE = 141
    """The reader of the results has closed the pipe (128 + 13, SIGPIPE)."""
    TERMINATED = 143
    """Stopped by SIGTERM (128 + 15)."""


class ShotcropError(Exception):
    """An error that the user can fix.

    Args:
        message: What happened, in one line that begins with the file, option or model.
        hint: The fix: a command or an instruction, in one line; empty for none.
        exit_code: Exit code of a run that this error ends.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "", exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return with_fix(self.message, self.hint) if self.hint else self.message


NO_CURRENT_FOLDER = "the current folder does not exist any more"


def with_fix(message: str, fix: str) -> str:
    """Return a message and its fix in one line."""
    stop = "" if message.endswith((".", "?", "!")) else "."
    return f"{message}{stop} Fix: {fix}"


class ModelError(ShotcropError):
    """The model cannot be found, read or trusted."""

    exit_code = ExitCode.MODEL


class DeviceError(ShotcropError):
    """An explicitly requested device or provider is unavailable."""

    exit_code = ExitCode.DEVICE


class OutputError(ShotcropError):
    """The output folder cannot be written."""

    exit_code = ExitCode.OUTPUT


class LockedError(ShotcropError):
    """Another run works on the same output folder."""

    exit_code = ExitCode.LOCKED


class EmptyError(ShotcropError):
    """There are no photos to crop."""

    exit_code = ExitCode.EMPTY


class PhotoError(ShotcropError):
    """One photo cannot be read or written; the run goes on."""

    exit_code = ExitCode.SOME_FAILED


class AnswerError(ShotcropError):
    """A model's answer cannot be read as a triple of shots."""

    exit_code = ExitCode.SOME_FAILED


class CaptionError(ShotcropError):
    """A captioner gave no usable captions.

    Args:
        message: What happened, in one line.
        hint: The fix; empty for none.
        ends_asking: Whether every other request would fail, too, for example because the key is wrong.
        answered: Whether there was an answer, but a wrong one, so that it helps to ask again.
    """

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, message: str, *, hint: str = "", ends_asking: bool = False, answered: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.ends_asking = ends_asking
        self.answered = answered


class InputError(ShotcropError, ValueError):
    """An argument of the Python API has a value that it cannot have."""


class NoPeopleError(ShotcropError):
    """A crop was asked for of a photo in which the model found no people."""

    exit_code = ExitCode.SOME_FAILED
