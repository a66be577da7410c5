"""What the checks return, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from shotcrop_cli.errors import ExitCode, ShotcropError


class State(str, Enum):
    """How serious a finding is."""

    OK = "ok"
    NOTE = "note"
    """A run works, but the user should know."""
    PROBLEM = "problem"
    """A run would fail."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    Args:
        subject: What was checked.
        state: How serious the result is.
        found: The result in words.
        fix: A command or an instruction that fixes it; empty if there is nothing to fix.
        exit_code: Exit code of a run with this problem.
    """

    subject: str
    state: State
    found: str
    fix: str = ""
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True, slots=True)
class Scope:
    """What to check besides the machine.

    Args:
        model: The model, as for `shotcrop crop`.
        device: The device, as for `shotcrop crop`.
        output: The output folder; None for none.
        bad_configuration: What is wrong with the configuration files; None if they are sound.
    """

    model: str | None = None
    device: str = "auto"
    output: Path | None = None
    bad_configuration: ShotcropError | None = None


Check = Callable[[Scope], Iterator[Finding]]
"""Yields its findings. An error that it raises becomes a finding, too."""


def ok(subject: str, found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(subject, State.OK, found)


def note(subject: str, found: str, fix: str = "") -> Finding:
    """Return a finding that the user should know."""
    return Finding(subject, State.NOTE, found, fix)


def problem(subject: str, found: str, fix: str, exit_code: ExitCode) -> Finding:
    """Return a problem."""
    return Finding(subject, State.PROBLEM, found, fix, exit_code)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return the exit code: that of the first problem, since it may have caused the others."""
    return next((finding.exit_code for finding in findings if finding.state is State.PROBLEM), ExitCode.OK)


def gigabytes(size: int) -> str:
    """Return a number of bytes in gigabytes."""
    return f"{size / 1e9:.1f} GB"
