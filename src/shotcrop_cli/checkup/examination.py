"""Runs all checks."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from shotcrop_cli import install_hint
from shotcrop_cli.checkup import inference, machine, output, software
from shotcrop_cli.checkup.finding import Check, Finding, Scope, State, problem
from shotcrop_cli.errors import ExitCode, ShotcropError

CHECKS: tuple[tuple[str, Check], ...] = (
    ("versions", software.versions),
    ("libraries", software.libraries),
    ("codecs", software.codecs),
    ("extras", software.extras),
    ("ONNX Runtime", inference.runtime),
    ("providers", inference.providers),
    ("model", inference.model),
    ("one photo", inference.one_photo),
    ("processors", machine.processors),
    ("memory", machine.memory),
    ("GPUs", machine.gpus),
    ("temporary files", machine.temporary_files),
    ("configuration", machine.configuration),
    ("model cache", machine.model_cache),
    ("device cache", machine.device_cache),
    ("output", output.output),
)
"""The checks in order: a cause comes before its consequences."""


def examine(scope: Scope) -> Iterator[Finding]:
    """Run all checks and yield each finding at once. A check that raises an error is a problem."""
    problems: set[str] = set()
    for subject, check in CHECKS:
        for finding in _outcome(subject, check, scope):
            if finding.found in problems:  # one cause may fail several checks
                continue
            if finding.state is State.PROBLEM:
                problems.add(finding.found)
            yield finding


def _outcome(subject: str, check: Check, scope: Scope) -> Iterator[Finding]:
    try:
        yield from check(scope)
    except ShotcropError as error:
        yield problem(subject, error.message, error.hint, error.exit_code)
    except ImportError as error:
        yield problem(subject, str(error), install_hint.reinstall(), ExitCode.BUG)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        yield problem(subject, found, "report this with the output of `shotcrop doctor --json`", ExitCode.BUG)
