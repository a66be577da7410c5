"""`shotcrop sheet`: draw contact sheets of an output folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.selection import read_list
from shotcrop_cli.sidecar import SidecarStatus

if TYPE_CHECKING:
    from shotcrop_cli.report.entry import Choice

PICTURES = (".jpg", ".jpeg", ".png")


@click.command("sheet", cls=Command, example=("review the crops of a run", "shotcrop sheet ~/shots -o sheet.jpg"))
@click.argument("shots_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Picture to write, .jpg or .png. Several pages become NAME-001.jpg, NAME-002.jpg and so on.",
)
@option("--columns", type=click.IntRange(1, 4), default=1, show_default=True, metavar="N", help="Photos side by side.")
@option("--page", type=click.IntRange(1, 20), default=8, show_default=True, metavar="N", help="Photos on one page.")
@option(
    "--width",
    type=click.IntRange(600, 4000),
    default=1600,
    show_default=True,
    metavar="PX",
    help="Width of a page in pixels.",
)
@option("--limit", type=click.IntRange(1), metavar="N", help="Show only the first N photos.")
@option(
    "--status",
    type=click.Choice([str(status) for status in SidecarStatus]),
    help="Show only photos that are done, or only those without people (no_subject).",
)
@option(
    "--below-score",
    type=click.FloatRange(0.0, 1.0),
    metavar="X",
    help="Show only photos with a crop that scores below X and that you did not edit or accept.",
)
@option(
    "--files-from",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE|-",
    help="Show only the photos listed in FILE or on stdin, such as a --review-list of shotcrop crop.",
)
@option("-0", "--null", is_flag=True, help="Names in that list end with NUL instead of a newline.")
@option(
    "--sort",
    type=click.Choice(["name", "score"]),
    default="name",
    show_default=True,
    help="Order of the photos; score begins with the lowest.",
)
def sheet_command(
    shots_dir: Path, output: Path, columns: int, page: int, width: int, limit: int | None, **values: Any
) -> None:
    """Draw contact sheets of photos and their crops.

    SHOTS_DIR is the output folder of shotcrop crop. A sheet shows each photo with its boxes, and next to it the crops
    with their captions and scores. A photo has to fit all options that choose photos.
    """
    from shotcrop_cli.report.entry import ALL, gather
    from shotcrop_cli.report.sheet import SheetLayout, draw_pages

    if output.suffix.lower() not in PICTURES:
        raise ShotcropError(f"{output}: shotcrop cannot write this format", hint=f"use {', '.join(PICTURES)}")
    choice = _choice(values)
    entries, errors = gather(shots_dir, limit, choice, lowest_first=values["sort"] == "score")
    console = Console()
    for error in errors:
        console.warn(str(error))
    if not entries and choice != ALL:
        raise ShotcropError(f"{shots_dir}: no photo in this folder matches these options", hint="leave out one of them")
    if not entries:
        raise ShotcropError(
            f"{shots_dir}: there is no sidecar in this folder",
            hint=f"shotcrop crop PHOTOS -o {shlex.quote(str(shots_dir))}",
        )
    layout = SheetLayout(width=width, columns=columns, photos=page)
    paths = page_paths(output, layout.pages(len(entries)))
    heading = f"{shots_dir.resolve().name} · {len(entries)} photo{'s' if len(entries) > 1 else ''}"
    for path, picture in zip(paths, draw_pages(entries, layout, heading), strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=90)
        except OSError as failure:
            raise OutputError(f"{path}: {failure.strerror or failure}", hint="choose another --output") from failure
        result(str(path))


def _choice(values: Mapping[str, Any]) -> Choice:
    """Return which photos the options choose.

    Raises:
        ShotcropError: The list cannot be read.
    """
    from shotcrop_cli.report.entry import Choice

    photos = None
    if (files_from := values["files_from"]) is not None:
        listed = read_list(files_from, null=values["null"])
        # Sidecars record absolute paths. A list may have others, or lead there by links.
        photos = frozenset(Path(path(photo)) for photo in listed for path in (os.path.abspath, os.path.realpath))
    status = None if values["status"] is None else SidecarStatus(values["status"])
    return Choice(status, values["below_score"], photos)


def page_paths(output: Path, pages: int) -> list[Path]:
    """Return the files of the pages: the output itself, or numbered files next to it for several pages."""
    if pages == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{number:03d}{output.suffix}") for number in range(1, pages + 1)]
