"""`shotcrop apply`: write crops again after their sidecars were edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shotcrop_cli.api import apply_sidecars
from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.reporter import ConsoleReporter
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.edits import read_edits
from shotcrop_cli.pipeline.malloc import keep_freed_memory
from shotcrop_cli.run_options import ApplyOptions
from shotcrop_cli.storage.location import is_url


@click.command("apply", cls=Command, example=("crop again where you edited a box", "shotcrop apply ~/shots"))
@click.argument("paths", nargs=-1, required=True, metavar="SIDECAR...", type=PlacePath(exists=True, path_type=Path))
@option_group(
    "Photos and output",
    option(
        "--edits",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Save the edits in FILE, from a page that shotcrop review --static made of this folder, and apply them.",
    ),
    option(
        "--photos",
        multiple=True,
        metavar="DIR|URL",
        type=PlacePath(exists=True, file_okay=False, path_type=Path),
        help="Read photos only from this folder; repeatable. Default: where crop found them.",
    ),
    crop_options.overwrite_edited_option,
    crop_options.dry_run_option,
    crop_options.wait_option,
    crop_options.reproducible_option,
    crop_options.jobs_option,
    crop_options.max_pixels_option,
)
@crop_options.report_options
@crop_options.message_options
@click.pass_context
def apply_command(ctx: click.Context, /, **values: Any) -> None:
    """Write crops again after you edited their sidecars.

    To move a crop, edit the box of a shot in a sidecar, in whole pixels of the upright photo, and apply it. Captions
    work the same way. This needs no model.

    SIDECAR is such a file, an output folder, or the URL of one. Of a folder, shotcrop applies the sidecars with edited
    boxes or captions. Later runs of shotcrop crop keep them. A box changes one crop: those of ratio sets have boxes of
    their own.
    """
    edits = None
    if values["edits"] is not None:
        edits = read_edits(values["edits"])
        if len(values["paths"]) != 1 or not (is_url(values["paths"][0]) or values["paths"][0].is_dir()):
            raise ShotcropError("--edits: it needs one output folder", hint="name the folder that the page shows")
    options = ApplyOptions(
        sidecars=values["paths"],
        photos=values["photos"],
        workers=values["jobs"],
        allowed=crop_options.to_allowed(values),
        dry_run=values["dry_run"],
        reproducible=values["reproducible"],
        wait=values["wait"],
        strict=values["strict"],
        max_pixels=values["max_pixels"],
        fail_fast=values["fail_fast"],
        keep_results=False,
        edits=edits,
    )
    report_options = crop_options.to_report_options(values)
    keep_freed_memory()  # before any threads start
    with crop_options.to_console(values) as console:
        result = apply_sidecars(options, ConsoleReporter(report_options, console))
    ctx.exit(result.exit_code)
