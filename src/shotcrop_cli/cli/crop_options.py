"""The flags of `shotcrop crop`, in the groups that its options are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.param_types import AspectsType, PadType, ShotsType
from shotcrop_cli.cli.reporter import ReportOptions
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.framing import Framing
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.library.name_template import DEFAULT_TEMPLATE, FIELDS
from shotcrop_cli.library.selection import Selection, read_list
from shotcrop_cli.shots import SHOT_TYPES

Command = TypeVar("Command", bound=Callable[..., Any])
Flags = Mapping[str, Any]


def _all_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


selection_flags = _all_of(
    click.option("--recursive/--no-recursive", default=True, show_default=True, help="Whether folders below count."),
    click.option(
        "--include", multiple=True, metavar="GLOB", help="Only photos that match; may be given several times."
    ),
    click.option("--exclude", multiple=True, metavar="GLOB", help="No photos or folders that match; as --include."),
    click.option("--follow-symlinks", is_flag=True, help="Follow symbolic links to photos and folders."),
    click.option("--hidden", is_flag=True, help="Also hidden photos and folders."),
    click.option(
        "--files-from",
        type=click.Path(dir_okay=False, allow_dash=True),
        metavar="FILE|-",
        help="Only the photos that FILE names, one a line, - for stdin. PATH is then the folder that they lie in.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Do at most N photos; failed ones do not count."
    ),
)

look_flags = _all_of(
    click.option("--shots", type=ShotsType(), metavar="SHOT,...", help="Cut only these shots. Default: all three."),
    click.option(
        "--aspect",
        type=AspectsType(),
        multiple=True,
        metavar="SHOT=W:H,...",
        help="Width to height of a shot, such as close_up=1:1; W:H alone is for all.",
    ),
    click.option("--pad", type=PadType(), default="0%", show_default=True, help="Add so much on each side of a shot."),
    click.option("--min-size", type=click.IntRange(min=1), metavar="PX", help="Cut wider until the short side has PX."),
    click.option("--max-size", type=click.IntRange(min=1), metavar="PX", help="Shrink until the long side has PX."),
    click.option(
        "--format",
        type=click.Choice([str(form) for form in CropFormat]),
        default=str(CropFormat.SAME),
        show_default=True,
        help="Format of the crops.",
    ),
    click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of lossy formats."),
    click.option(
        "--lossless",
        is_flag=True,
        help="Copy crops out of JPEG photos instead of encoding them anew; may move them by a few pixels.",
    ),
    click.option(
        "--metadata",
        type=click.Choice([str(policy) for policy in MetadataPolicy]),
        default=str(MetadataPolicy.SAFE),
        show_default=True,
        help="What crops inherit: safe leaves out GPS, all keeps it, none is none.",
    ),
    click.option("--xmp", is_flag=True, help="Put an XMP file with the caption beside each crop."),
    click.option(
        "--name-template",
        default=DEFAULT_TEMPLATE,
        show_default=True,
        metavar="TEXT",
        help=f"Names of the crops, of {', '.join(f'{{{field}}}' for field in FIELDS)}; / makes folders.",
    ),
)

review_flags = _all_of(
    click.option(
        "--min-score",
        type=click.FloatRange(0.0, 1.0),
        metavar="X",
        help="Name photos for review with a crop that the model scores below X, 0 to 1. They are cut all the same.",
    ),
    click.option(
        "--review-list",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the paths of photos to review to FILE, fit for --files-from; needs --min-score.",
    ),
)

report_flags = _all_of(
    click.option("--strict", is_flag=True, help="A photo without a person is a failure."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
    click.option(
        "--failed-list",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the paths of failed photos to FILE, fit for --files-from.",
    ),
    click.option("-0", "--null", is_flag=True, help="Names in lists, read or written, end with NUL."),
)


def _patience(value: str) -> float:
    """Read a number of seconds, or `forever`."""
    try:
        seconds = math.inf if value == "forever" else float(value)
    except ValueError:
        seconds = -1.0
    if seconds >= 0.0 and (value == "forever" or math.isfinite(seconds)):
        return seconds
    raise click.BadParameter(f"{value!r} is neither a number of seconds nor forever.")


wait_flag = click.option(
    "--wait",
    type=_patience,
    default="0",
    metavar="SECONDS|forever",
    help="Wait so long for another run on the same output to end. Default: not at all.",
)


def console(flags: Flags) -> Console:
    """Return the console that the flags of `verbosity_options` and `log_options` ask for."""
    return Console(
        quiet=flags["quiet"], verbose=flags["verbose"], log_file=flags["log_file"], log_format=flags["log_format"]
    )


def selection(flags: Flags) -> Selection:
    """Return which photos the flags of `selection_flags` choose.

    Raises:
        click.UsageError: Neither photos nor a list of them are named.
        ShotcropError: The list cannot be read.
    """
    paths, files_from = tuple(flags["paths"]), flags["files_from"]
    if not paths and files_from is None:
        raise click.UsageError("Name photos or folders of photos, or give --files-from.")
    return Selection(
        paths=paths,
        listed=None if files_from is None else read_list(files_from, null=flags["null"]),
        recursive=flags["recursive"],
        includes=tuple(flags["include"]),
        excludes=tuple(flags["exclude"]),
        follow_symlinks=flags["follow_symlinks"],
        hidden=flags["hidden"],
    )


def settings(flags: Flags) -> CropSettings:
    """Return the look that the flags of `look_flags` choose."""
    aspects = {shot: aspect for given in flags["aspect"] for shot, aspect in given}
    return CropSettings(
        format=CropFormat(flags["format"]),
        quality=flags["quality"],
        metadata=MetadataPolicy(flags["metadata"]),
        xmp=flags["xmp"],
        framing=Framing(
            aspects=tuple((shot, aspects[shot]) for shot in SHOT_TYPES if shot in aspects),
            pad=flags["pad"],
            min_size=flags["min_size"],
        ),
        max_size=flags["max_size"],
        lossless=flags["lossless"],
    )


def report_options(flags: Flags) -> ReportOptions:
    """Return what the flags of `report_flags` and, where the command has them, `review_flags` want to be told.

    Raises:
        click.UsageError: A list of doubtful photos is wanted, and nothing is doubtful.
    """
    min_score, review_list = flags.get("min_score"), flags.get("review_list")
    if review_list is not None and min_score is None:
        raise click.UsageError("--review-list needs --min-score.")
    return ReportOptions(
        as_json=flags["as_json"],
        strict=flags["strict"],
        fail_fast=flags["fail_fast"],
        failed_list=flags["failed_list"],
        null=flags["null"],
        min_score=min_score,
        review_list=review_list,
    )
