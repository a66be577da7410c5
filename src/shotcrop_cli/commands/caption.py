"""`shotcrop caption`: let a captioner write the captions of finished crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from shotcrop_cli.api import caption_sidecars
from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.reporter import ConsoleReporter
from shotcrop_cli.run_options import RecaptionOptions


@click.command(
    "caption",
    cls=Command,
    example=("caption finished crops", "shotcrop caption ~/shots --captions ollama"),
)
@click.argument("paths", nargs=-1, required=True, metavar="OUT...", type=PlacePath(exists=True, path_type=Path))
@option_group(
    "Captions",
    option(
        "--captions",
        required=True,
        metavar="rules|strict|none|NAME|model:DIR",
        help="Who writes the captions: the rules, as in shotcrop crop, the captioner NAME of your configuration, which "
        "gets the crops, or the exported large model in DIR.",
    ),
    crop_options.language_option,
    crop_options.max_captions_option,
    crop_options.strict_captions_option,
    option("--renew", is_flag=True, help="Ask again about captions that are up to date. What you edited stays."),
    crop_options.dry_run_option,
    crop_options.wait_option,
)
@crop_options.caption_report_options
@crop_options.message_options
@click.pass_context
def caption_command(ctx: click.Context, /, **values: Any) -> None:
    """Write the captions of finished crops again.

    OUT is an output folder, a sidecar, or the URL of one. shotcrop makes no crops and needs no model. It skips photos
    whose captions are up to date. Captions that you edited stay, and the rules also keep those of a captioner.
    """
    captions = crop_options.to_captions(ctx, values)
    by_rule, language = crop_options.to_words(values, captions)
    if captions.endpoint is None and values["renew"]:
        raise click.UsageError("--renew needs --captions NAME.")
    options = RecaptionOptions(
        sidecars=values["paths"],
        captions=replace(captions, renew=values["renew"]),
        by_rule=by_rule if captions.endpoint is None else None,
        language=language,
        dry_run=values["dry_run"],
        wait=values["wait"],
        fail_fast=values["fail_fast"],
        keep_results=False,
    )
    report_options = crop_options.to_report_options(values)
    with crop_options.to_console(values) as console:
        result = caption_sidecars(options, ConsoleReporter(report_options, console))
    ctx.exit(result.exit_code)
