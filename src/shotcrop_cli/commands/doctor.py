"""`shotcrop doctor`: check this machine and name a fix for each problem."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shotcrop_cli.cli.console import is_plain, result
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.log import one_line
from shotcrop_cli.cli.options import device_option, json_option, model_option

if TYPE_CHECKING:
    from shotcrop_cli.checkup.finding import Finding

_STATE_WIDTH, _SUBJECT_WIDTH = 9, 18
"""Columns that the longest state and all but the oddest providers fit into [O]."""
_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command(
    "doctor", cls=Command, example=("check a GPU and an output folder", "shotcrop doctor --device cuda -o ~/shots")
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
    from shotcrop_cli.checkup.finding import Patient, worst

    examination = examine(Patient(model, device, output))
    if as_json:
        findings = list(examination)
        result(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        findings = _print_each(examination)
        result(f"\n{_summary(findings)}")
    ctx.exit(worst(findings))


def _print_each(examination: Iterable[Finding]) -> list[Finding]:
    """Print findings as they are made: some take seconds."""
    tell, findings = _tell_plainly if is_plain(sys.stdout) else _tell_in_colour, []
    for finding in examination:
        tell(finding)
        findings.append(finding)
    return findings


def _tell_plainly(finding: Finding) -> None:
    result(f"{finding.state!s:{_STATE_WIDTH}}{finding.subject:{_SUBJECT_WIDTH}}{one_line(finding.found)}")
    if finding.remedy:
        result(f"{'':{_STATE_WIDTH + _SUBJECT_WIDTH}}-> {one_line(finding.remedy)}")


def _tell_in_colour(finding: Finding) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    state = str(finding.state)
    row = Table.grid()
    row.add_column(width=_STATE_WIDTH)
    row.add_column(width=max(_SUBJECT_WIDTH, len(finding.subject) + 1))
    row.add_column(overflow="fold")
    row.add_row(Text(state, _STYLES[state]), finding.subject, Text(one_line(finding.found)))
    console = Console(file=sys.stdout, highlight=False, markup=False)
    console.print(row)
    if finding.remedy:
        # The terminal breaks it, so that it is copied as the one line that it is.
        indent = " " * (_STATE_WIDTH + _SUBJECT_WIDTH)
        console.print(Text(f"{indent}-> {one_line(finding.remedy)}", "bold"), soft_wrap=True)


def _summary(findings: Sequence[Finding]) -> str:
    states = [str(finding.state) for finding in findings]
    counts = [(states.count(word), word) for word in ("problem", "note")]
    return ", ".join(f"{count or 'no'} {word}{'' if count == 1 else 's'}" for count, word in counts).capitalize() + "."
