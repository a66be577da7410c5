"""`shotcrop crop`: crop photos of people into three shots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from shotcrop_cli.api import crop_photos
from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.config import SETS_KEY
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.delivery_options import people_options, set_options, to_sets, to_subjects
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.photo_filter import ALL_PHOTOS, NothingToShowError
from shotcrop_cli.cli.reporter import ConsoleReporter
from shotcrop_cli.cli.sheet_file import Look, draw_sheet
from shotcrop_cli.interchange.crop_rows import CropRow, rows_of
from shotcrop_cli.interchange.manifest_table import check_manifest, write_manifest
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto, recorded_photos
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.pipeline.malloc import keep_freed_memory
from shotcrop_cli.remote.open_output import opened
from shotcrop_cli.run_options import CropOptions, ModelOptions


@click.command(
    "crop",
    cls=Command,
    example=("crop 20 photos to see how it looks", "shotcrop crop ~/photos -o ~/shots --limit 20"),
)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=PlacePath(path_type=Path))
@option_group(
    "Output",
    option(
        "-o",
        "--output",
        required=True,
        metavar="DIR|URL",
        type=PlacePath(path_type=Path),
        help="Folder for the crops. It gets the same subfolders as each PATH.",
    ),
    crop_options.dry_run_option,
    option("--overwrite", is_flag=True, help="Crop finished photos again. What you edited stays."),
    crop_options.overwrite_edited_option,
    option(
        "--replace",
        is_flag=True,
        help="Replace finished crops if their names, format, shape or size change. Default: such photos fail.",
    ),
    crop_options.restore_rejected_option,
    option(
        "--check-content",
        is_flag=True,
        help="Read finished photos and compare their content, not only their size and times.",
    ),
    crop_options.wait_option,
    crop_options.max_time_option,
    crop_options.reproducible_option,
)
@crop_options.watch_options
@crop_options.selection_options
@people_options
@crop_options.look_options
@set_options
@crop_options.caption_options
@crop_options.review_options
@crop_options.model_group
@crop_options.ray_options
@crop_options.report_options
@crop_options.manifest_option
@crop_options.sheet_options
@crop_options.message_options
@click.pass_context
def crop_command(ctx: click.Context, /, **values: Any) -> None:
    """Crop photos of people into an establishing, a medium and a close-up shot.

    PATH is a photo, a folder of photos or a quoted pattern such as '~/photos/**/*.jpg'. PATH and the output may be
    URLs such as s3://bucket/photos. shotcrop never changes your photos.

    Run the same command again to continue an interrupted run. shotcrop skips finished photos unless the photo, the
    model or the options have changed.
    """
    crop_options.check_watch(values)
    names, sets = to_sets(values, ctx.meta.get(SETS_KEY, {}))
    captions = crop_options.to_captions(ctx, values)
    written, language = crop_options.to_words(values, captions)
    options = CropOptions(
        photos=crop_options.to_selection(values),
        output=values["output"],
        shots=crop_options.to_shots(values),
        settings=replace(crop_options.to_settings(values), sets=sets, captions=written, language=language),
        subjects=to_subjects(values),
        sets=names,
        template=NameTemplate.parse(values["name_template"]),
        model=ModelOptions(
            name=values["model"],
            offline=values["offline"],
            device=values["device"],
            providers=values["providers"],
            batch_size=values["batch_size"],
        ),
        captions=captions,
        workers=values["jobs"],
        overwrite=values["overwrite"],
        allowed=crop_options.to_allowed(values),
        check_content=values["check_content"],
        dry_run=values["dry_run"],
        limit=values["limit"],
        reproducible=values["reproducible"],
        wait=values["wait"],
        shard=values["shard"],
        max_time=values["max_time"],
        fail_if_empty=values["fail_if_empty"],
        include_crops=values["include_crops"],
        strict=values["strict"],
        max_pixels=values["max_pixels"],
        fail_fast=values["fail_fast"],
        min_score=values["min_score"],
        keep_results=False,
        ray=crop_options.to_ray(values),
    )
    report_options = crop_options.to_report_options(values)
    if (manifest := values["manifest"]) is not None:
        check_manifest(manifest)
    look = crop_options.to_sheet(values)
    keep_freed_memory()  # before any threads start
    with crop_options.to_console(values) as console:
        reporter = ConsoleReporter(report_options, console)
        if values["watch"]:
            from shotcrop_cli.watch import watch_photos  # only here: most runs watch nothing

            result = watch_photos(options, reporter, poll=values["poll"])
        else:
            result = crop_photos(options, reporter)
        if manifest is not None and not result.dry_run:
            _write_manifest(manifest, values["output"], console)
        if look is not None:
            _write_sheet(values["sheet"], look, values["output"], console, dry_run=result.dry_run)
    ctx.exit(result.exit_code)


def _write_manifest(path: Path, output: Path, console: Console) -> None:
    """Write the table of all crops in the output folder, those of earlier runs included."""

    def rows() -> Iterator[CropRow]:
        for photo in recorded_photos(output):
            if isinstance(photo, RecordedPhoto):
                yield from rows_of(photo)
            else:
                console.warn(f"not in {path}: {photo}")

    number = write_manifest(path, rows())
    console.info(f"{number} row{'' if number == 1 else 's'} in {path}")


def _write_sheet(path: Path, look: Look, output: Path, console: Console, *, dry_run: bool) -> None:
    """Draw all photos in the output folder, those of earlier runs included. Without crops, there is only a warning."""
    if dry_run:
        console.info(f"would draw a sheet with the layout {look.layout.value} to {path}")
        return
    try:
        with opened(output) as files:
            draw_sheet(files, path, look, ALL_PHOTOS, console, lambda file: console.info(f"sheet in {file}"))
    except NothingToShowError as error:
        console.warn(f"{path} is not written: {error.message}")
