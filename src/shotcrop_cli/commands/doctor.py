"""`shotcrop doctor`: what works on this machine, and how to mend what does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shotcrop_cli.console import is_plain, result
from shotcrop_cli.options import device_option, json_option, model_option

if TYPE_CHECKING:
    from shotcrop_cli.checkup import Finding

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command("doctor")
@model_option
@device_option
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also look whether crops can be written to DIR.",
)
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, model: str | None, device: str, output: Path | None, as_json: bool) -> None:
    """Say what works on this machine, and for each problem the command that mends it.

    Looks at versions, codecs, the execution providers that really work, the model's hashes, one photo from file to
    crops, and where things lie. Nothing is changed and no network is used. The exit code is 0 when there is no problem,
    otherwise the one that a run with this problem would end with.
    """
    from shotcrop_cli.checkup import Patient, examine, exit_code

    findings = examine(Patient(model, device, output))
    if as_json:
        documents = [{field.name: getattr(finding, field.name) for field in fields(finding)} for finding in findings]
        result(json.dumps(documents, ensure_ascii=False, indent=2))
    else:
        _print_table(findings)
    ctx.exit(exit_code(findings))


def _print_table(findings: Sequence[Finding]) -> None:
    if is_plain(sys.stdout):
        for finding in findings:
            result(f"{finding.state!s:9}{finding.subject:25}{finding.found}")
            if finding.remedy:
                result(f"{'':34}-> {finding.remedy}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("state", "subject"):
        table.add_column(name, no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in findings:
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n-> {finding.remedy}", style="bold")
        state = str(finding.state)
        table.add_row(Text(state, style=_STYLES[state]), Text(finding.subject), found)
    Console(file=sys.stdout, highlight=False).print(table)
