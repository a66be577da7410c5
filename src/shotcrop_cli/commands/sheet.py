"""`shotcrop sheet`: draw contact sheets of an output folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import OutputError, ShotcropError

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
def sheet_command(shots_dir: Path, output: Path, columns: int, page: int, width: int, limit: int | None) -> None:
    """Draw contact sheets of photos and their crops.

    SHOTS_DIR is the output folder of shotcrop crop. A sheet shows each photo with its boxes, and next to it the crops
    with their captions and scores.
    """
    from shotcrop_cli.report.entry import gather
    from shotcrop_cli.report.sheet import SheetLayout, draw_pages

    if output.suffix.lower() not in PICTURES:
        raise ShotcropError(f"{output}: shotcrop cannot write this format", hint=f"use {', '.join(PICTURES)}")
    entries, errors = gather(shots_dir, limit)
    console = Console()
    for error in errors:
        console.warn(str(error))
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


def page_paths(output: Path, pages: int) -> list[Path]:
    """Return the files of the pages: the output itself, or numbered files next to it for several pages."""
    if pages == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{number:03d}{output.suffix}") for number in range(1, pages + 1)]
