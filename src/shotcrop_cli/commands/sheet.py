"""`shotcrop sheet`: draw contact sheets and pages of shots of an output folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shotcrop_cli.cli.console import Console, Progress
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.photo_filter import choose_photos, photo_filter_options
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.atomic_write import check_can_write, written_whole

if TYPE_CHECKING:
    from shotcrop_cli.report.entry import Entry
    from shotcrop_cli.report.page import Page
    from shotcrop_cli.report.text import Typeface

PDF = ".pdf"
PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_SUFFIXES = ", ".join((*PICTURES, PDF))
_PICTURE_WIDTH, _PDF_WIDTH = 1600, 2400
"""Pixels across a page. Across A4 paper on its side, 2400 are 205 pixels per inch."""
_MOST_ON_A_PAGE = 20
_NAMED_CHARACTERS = 8
"""How many characters a warning names (our choice)."""


class Layout(str, Enum):
    """What a page shows."""

    CONTACT = "contact"
    TRIPTYCH = "triptych"
    STORY = "story"

    @property
    def photos(self) -> int:
        """Photos on one page, unless the user asks for another number."""
        return {Layout.CONTACT: 8, Layout.TRIPTYCH: 3, Layout.STORY: 1}[self]


@dataclass(frozen=True, slots=True)
class _Look:
    """What the options ask for."""

    layout: Layout
    width: int
    columns: int
    photos: int
    paper: str


@click.command("sheet", cls=Command, example=("review the crops of a run", "shotcrop sheet ~/shots -o sheet.jpg"))
@click.argument("shots_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
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
        help=f"Width of a page in pixels. Default: {_PICTURE_WIDTH}, or {_PDF_WIDTH} in a PDF.",
    ),
    option(
        "--paper",
        type=click.Choice(["a4", "letter"]),
        default="a4",
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

    SHOTS_DIR is the output folder of shotcrop crop. A contact sheet shows each photo with its boxes, and next to it the
    crops with their captions and scores. A triptych and a story show only crops that you did not reject, to publish
    them or hand them to somebody. A photo has to fit all options that choose photos.
    """
    look = _look(output, values)
    if output.suffix.lower() == PDF:
        from shotcrop_cli.report.pdf import check_pdf

        check_pdf(output)
    check_can_write(output)
    _draw(shots_dir, output, look, values, Console())


def _look(output: Path, values: Mapping[str, Any]) -> _Look:
    """Return what the options ask for.

    Raises:
        ShotcropError: The suffix of the file belongs to no format.
        click.UsageError: An option does not fit the layout.
    """
    suffix = output.suffix.lower()
    if suffix not in (*PICTURES, PDF):
        raise ShotcropError(f"{output}: shotcrop cannot write this format", hint=f"use {_SUFFIXES}")
    layout = Layout(values["layout"])
    if layout is not Layout.CONTACT and values["columns"] is not None:
        raise click.UsageError("--columns is for --layout contact. Leave it out.")
    if layout is Layout.STORY and values["page"] not in (None, 1):
        raise click.UsageError("--layout story shows one photo on a page. Leave out --page.")
    return _Look(
        layout,
        values["width"] or (_PDF_WIDTH if suffix == PDF else _PICTURE_WIDTH),
        values["columns"] or 1,
        values["page"] or layout.photos,
        values["paper"],
    )


def _draw(shots_dir: Path, output: Path, look: _Look, values: Mapping[str, Any], console: Console) -> None:
    from shotcrop_cli.report.entry import read_entries

    chosen = choose_photos(shots_dir, values, console, needs_crops=look.layout is not Layout.CONTACT)
    typeface = _typeface(values["font"], chosen.characters, console)
    total, name = len(chosen.sidecars), shots_dir.resolve().name
    with console.progress(total) as progress:
        entries = _counted(read_entries(shots_dir, chosen.sidecars, chosen.choice), progress)
        pages = _pages(entries, total, look, name, typeface)
        if output.suffix.lower() == PDF:
            _write_pdfs(output, pages, -(-total // look.photos), look, name, typeface)
        else:
            _write_pictures(output, pages, -(-total // look.photos))


def _counted(entries: Iterable[Entry], progress: Progress) -> Iterator[Entry]:
    """Yield photos, and count each one when the next is asked for."""
    for entry in entries:
        yield entry
        progress.advance()


def _pages(entries: Iterable[Entry], total: int, look: _Look, name: str, typeface: Typeface) -> Iterator[Page]:
    from shotcrop_cli.report import sheet, story

    if look.layout is Layout.CONTACT:
        layout = sheet.SheetLayout(width=look.width, columns=look.columns, photos=look.photos)
        heading = f"{name} · {total} photo{'s' if total > 1 else ''}"
        return sheet.draw_pages(entries, total, layout, heading, typeface)
    setting = story.Setting(look.width, typeface)
    if look.layout is Layout.TRIPTYCH:
        return story.draw_triptychs(entries, total, look.photos, setting)
    return story.draw_stories(entries, total, setting)


def _typeface(file: Path | None, characters: set[str], console: Console) -> Typeface:
    """Return the font to write in, and warn of characters that it lacks.

    Raises:
        ShotcropError: The file is not a font.
    """
    from shotcrop_cli.report.text import open_typeface, typeface_for

    typeface = typeface_for(characters) if file is None else open_typeface(file)
    if missing := sorted(typeface.missing("".join(characters))):
        more = ", ..." if len(missing) > _NAMED_CHARACTERS else ""
        fonts = "no font that shotcrop found here has" if file is None else f"{file} lacks"
        console.warn(
            f"{fonts} {', '.join(missing[:_NAMED_CHARACTERS])}{more}, which will appear without accents or as ?. "
            "Fix: name a font that has them with --font"
        )
    return typeface


def _write_pictures(output: Path, pages: Iterable[Page], total: int) -> None:
    kind = PICTURES[output.suffix.lower()]
    for path, page in zip(page_paths(output, total), pages, strict=True):
        with written_whole(path) as file:
            page.to_image().save(file, kind, quality=90)
        result(str(path))


def _write_pdfs(output: Path, pages: Iterable[Page], total: int, look: _Look, title: str, typeface: Typeface) -> None:
    from shotcrop_cli.report.pdf import files, write_pdfs

    for path, content in zip(
        page_paths(output, files(total)), write_pdfs(pages, look.paper, title, typeface), strict=True
    ):
        with written_whole(path) as file:
            file.write(content)
        result(str(path))


def page_paths(output: Path, pages: int) -> list[Path]:
    """Return the files of the pages: the output itself, or numbered files next to it for several pages."""
    if pages == 1:
        return [output]
    digits = max(3, len(str(pages)))
    return [output.with_name(f"{output.stem}-{number:0{digits}d}{output.suffix}") for number in range(1, pages + 1)]
