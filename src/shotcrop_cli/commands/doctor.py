"""`shotcrop doctor`: check this machine and name a fix for each problem."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shotcrop_cli.cli.config import ERROR_KEY
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.log import one_line
from shotcrop_cli.cli.options import device_option, json_option, model_option
from shotcrop_cli.cli.streams import fold, is_plain, result, terminal_width, wrap

if TYPE_CHECKING:
    from shotcrop_cli.checkup.finding import Finding

_STATE_WIDTH, _SUBJECT_WIDTH = 9, 18
"""Columns for the state and the subject of a finding."""
_NARROW = 80
"""Below so many columns, the text begins on a row of its own."""
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command(
    "doctor",
    cls=Command,
    example=("check a GPU and an output folder", "shotcrop doctor --device cuda -o ~/shots"),
    reports_bad_configuration=True,
)
@model_option
@device_option
@option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also check that shotcrop can write crops to DIR.",
)
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, model: str | None, device: str, output: Path | None, as_json: bool) -> None:
    """Check this machine and name a fix for each problem.

    The checks cover versions, codecs, execution providers, the model's hashes, one photo from file to crops, and the
    folders that shotcrop uses. They change nothing and use no network.

    Without problems the exit code is 0. Otherwise it is the one that a run with the first problem would have.
    """
    from shotcrop_cli.checkup.examination import examine
    from shotcrop_cli.checkup.finding import Scope, exit_code

    examination = examine(Scope(model, device, output, ctx.meta.get(ERROR_KEY)))
    if as_json:
        findings = list(examination)
        result(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        findings = _print_each(examination)
        result(f"\n{_summary(findings)}")
    ctx.exit(exit_code(findings))


def _print_each(examination: Iterable[Finding]) -> list[Finding]:
    """Print each finding at once, since some checks take seconds."""
    findings = []
    for finding in examination:
        _print(finding)
        findings.append(finding)
    return findings


def _print(finding: Finding) -> None:
    """Print a finding in columns, and its fix below; a narrow terminal gets the text on a row of its own."""
    state = f"{finding.state!s:{_STATE_WIDTH}}"
    subject = f"{finding.subject:{_SUBJECT_WIDTH - 1}} "
    is_narrow = 0 < (terminal_width(sys.stdout) or _asked_columns()) < _NARROW
    indent = _STATE_WIDTH + (0 if is_narrow else _SUBJECT_WIDTH)
    margin = " " * indent
    if is_narrow:
        lines = [(state + subject).rstrip(), _broken(finding.found, margin, indent)]
    else:
        lines = [_broken(finding.found, state + subject, indent)]
    fix = _broken(finding.fix, f"{margin}Fix: ", indent) if finding.fix else ""
    if not is_plain(sys.stdout):
        lines[0] = click.style(state, fg=_COLOURS[str(finding.state)], bold=True) + lines[0].removeprefix(state)
        fix = fix and click.style(fix, bold=True)
    for line in filter(None, [*lines, fix]):
        result(line)


def _broken(text: str, prefix: str, indent: int) -> str:
    """Break a line where the terminal ends; elsewhere only if somebody asks for a number of columns."""
    if terminal_width(sys.stdout) or not (columns := _asked_columns()):
        return fold(one_line(text), sys.stdout, prefix, indent)
    return wrap(one_line(text), columns, prefix, indent)


def _asked_columns() -> int:
    """Return the columns that the environment variable COLUMNS asks for, as for help pages; 0 for none."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isascii() and columns.isdecimal() else 0


def _summary(findings: Sequence[Finding]) -> str:
    states = [str(finding.state) for finding in findings]
    counts = [(states.count(word), word) for word in ("problem", "note")]
    return ", ".join(f"{count or 'no'} {word}{'' if count == 1 else 's'}" for count, word in counts).capitalize() + "."
