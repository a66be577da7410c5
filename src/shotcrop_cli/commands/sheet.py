"""`shotcrop sheet`: draw contact sheets and pages of shots of an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.photo_filter import photo_filter_options
from shotcrop_cli.cli.sheet_file import PAPERS, PDF_WIDTH, PICTURE_WIDTH, Layout, Look, check_sheet, draw_sheet
from shotcrop_cli.cli.streams import result
from shotcrop_cli.remote.open_output import opened

_MOST_ON_A_PAGE = 20


@click.command("sheet", cls=Command, example=("review the crops of a run", "shotcrop sheet ~/shots -o sheet.jpg"))
@click.argument("shots_dir", type=PlacePath(exists=True, file_okay=False, path_type=Path))
@option_group(
    "Pages",
    option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        required=True,
        metavar="FILE",
        help="File to write, .jpg, .png or .pdf. Several pictures become NAME-001.jpg, NAME-002.jpg and so on.",
    ),
    option(
        "--layout",
        type=click.Choice([layout.value for layout in Layout]),
        default=Layout.CONTACT.value,
        show_default=True,
        help="contact shows boxes and scores, for review; triptych a row of shots for each photo; story a page for "
        "each photo, with its story and captions.",
    ),
    option(
        "--page",
        type=click.IntRange(1, _MOST_ON_A_PAGE),
        metavar="N",
        help="Photos on one page. Default: 8, or 3 of a triptych.",
    ),
    option(
        "--columns", type=click.IntRange(1, 4), metavar="N", help="Photos side by side in a contact sheet. Default: 1."
    ),
    option(
        "--width",
        type=click.IntRange(600, 4000),
        metavar="PX",
        help=f"Width of a page in pixels. Default: {PICTURE_WIDTH}, or {PDF_WIDTH} in a PDF.",
    ),
    option(
        "--paper",
        type=click.Choice(PAPERS),
        default=PAPERS[0],
        show_default=True,
        help="Paper of a PDF. Pages are scaled to fit.",
    ),
    option(
        "--font",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Font for all texts, .ttf, .otf or .ttc. Default: one that has the characters of your captions.",
    ),
)
@photo_filter_options
def sheet_command(shots_dir: Path, output: Path, **values: Any) -> None:
    """Draw photos and their crops on pages, as pictures or as a PDF.

    SHOTS_DIR is the output folder of shotcrop crop, or its URL. A contact sheet shows each photo with its boxes, and
    next to it the crops with their captions and scores. A triptych and a story show only crops that you did not reject,
    to publish them or hand them to somebody. A photo has to fit all options that choose photos.
    """
    layout = Layout(values["layout"])
    if layout is not Layout.CONTACT and values["columns"] is not None:
        raise click.UsageError("--columns is for --layout contact. Leave it out.")
    if layout is Layout.STORY and values["page"] not in (None, 1):
        raise click.UsageError("--layout story shows one photo on a page. Leave out --page.")
    check_sheet(output)
    look = Look(layout, values["width"], values["columns"] or 1, values["page"], values["paper"], values["font"])
    with opened(shots_dir) as files:
        draw_sheet(files, output, look, values, Console(), lambda path: result(str(path)))
