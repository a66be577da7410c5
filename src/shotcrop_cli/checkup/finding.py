"""What is looked at, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from shotcrop_cli.errors import ExitCode


class State(str, Enum):
    """How a thing is."""

    OK = "ok"
    NOTE = "note"
    """Photos are cropped nevertheless, and it is good to know."""
    PROBLEM = "problem"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        subject: What.
        state: How it is.
        found: What was found, in words.
        remedy: The command that mends it, or what else to do; empty when nothing need be done.
        exit_code: What a problem makes the process answer.
    """

    subject: str
    state: State
    found: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True, slots=True)
class Patient:
    """What to look at besides the machine.

    Args:
        model: As for `shotcrop crop`.
        device: As for `shotcrop crop`.
        output: Output folder, None for none.
    """

    model: str | None = None
    device: str = "auto"
    output: Path | None = None


Check = Callable[[Patient], Iterator[Finding]]
"""Yields what it finds; the error that it raises is a finding, too."""


def ok(subject: str, found: str) -> Finding:
    """Return that a thing is as it should be."""
    return Finding(subject, State.OK, found)


def note(subject: str, found: str, remedy: str = "") -> Finding:
    """Return what is good to know."""
    return Finding(subject, State.NOTE, found, remedy)


def problem(subject: str, found: str, remedy: str, exit_code: ExitCode) -> Finding:
    """Return what a run would end with."""
    return Finding(subject, State.PROBLEM, found, remedy, exit_code)


def worst(findings: Iterable[Finding]) -> ExitCode:
    """Return what the process answers: the code of the first problem, since later ones may follow from it."""
    return next((finding.exit_code for finding in findings if finding.state is State.PROBLEM), ExitCode.OK)


def gigabytes(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / 1e9:.1f} GB"
