"""Draw the sheets of an output folder: what `shotcrop sheet` and `shotcrop crop --sheet` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shotcrop_cli.cli.console import Console, Progress
from shotcrop_cli.cli.photo_filter import choose_photos
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.atomic_write import check_can_write, written_whole
from shotcrop_cli.library.output_files import OutputFiles

if TYPE_CHECKING:
    from shotcrop_cli.report.entry import Entry
    from shotcrop_cli.report.page import Page
    from shotcrop_cli.report.text import Typeface

PICTURE_WIDTH, PDF_WIDTH = 1600, 2400
"""Pixels across a page. Across A4 paper on its side, 2400 are 205 pixels per inch."""
PAPERS = ("a4", "letter")
"""Names of the papers of a PDF; the first one is the default."""
_PDF = ".pdf"
_PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_SUFFIXES = ", ".join((*_PICTURES, _PDF))
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

    @classmethod
    def of(cls, output: Path) -> Layout:
        """Return the layout of `crop --sheet` for a file: stories in a PDF, otherwise a contact sheet."""
        return cls.STORY if is_pdf(output) else cls.CONTACT


@dataclass(frozen=True, slots=True)
class Look:
    """How the pages look.

    Args:
        layout: What a page shows.
        width: Pixels across a page; None for the default of the format.
        columns: Photos side by side in a contact sheet.
        photos: Photos on one page; None for the default of the layout.
        paper: Paper of a PDF, one of `PAPERS`.
        font: Font for all texts; None for one that has their characters.
    """

    layout: Layout
    width: int | None = None
    columns: int = 1
    photos: int | None = None
    paper: str = PAPERS[0]
    font: Path | None = None

    @property
    def per_page(self) -> int:
        """Photos on one page."""
        return self.photos or self.layout.photos


def is_pdf(output: Path) -> bool:
    """Say whether a file becomes a PDF."""
    return output.suffix.lower() == _PDF


def check_sheet(output: Path) -> None:
    """Check that a sheet can be written, before the work and not after.

    Raises:
        ShotcropError: The suffix belongs to no format, or PDF support is not installed.
        OutputError: Its folder cannot be written.
    """
    if output.suffix.lower() not in (*_PICTURES, _PDF):
        raise ShotcropError(f"{output}: shotcrop cannot write this format", hint=f"use {_SUFFIXES}")
    if is_pdf(output):
        from shotcrop_cli.report.pdf import check_pdf

        check_pdf(output)
    check_can_write(output)


def draw_sheet(
    files: OutputFiles,
    output: Path,
    look: Look,
    photos: Mapping[str, Any],
    console: Console,
    written: Callable[[Path], None],
) -> None:
    """Draw photos and their crops on pages.

    Args:
        files: The files of an output of `shotcrop crop`.
        output: A file that `check_sheet` accepts. Several pictures get numbered names next to it.
        look: How the pages look.
        photos: The values of `photo_filter_options`.
        console: Receives warnings and the progress.
        written: Called with each file when it is complete.

    Raises:
        NothingToShowError: There is no such photo.
        OutputError: A file cannot be written.
        ShotcropError: The font or the list of photos cannot be read.
    """
    from shotcrop_cli.report.entry import read_entries

    files.load()
    chosen = choose_photos(files, photos, console, needs_crops=look.layout is not Layout.CONTACT)
    typeface = _typeface(look.font, chosen.characters, console)
    total, name = len(chosen.sidecars), files.name
    with console.progress(total) as progress:
        entries = _counted(read_entries(files, chosen.sidecars, chosen.choice), progress)
        width = look.width or (PDF_WIDTH if is_pdf(output) else PICTURE_WIDTH)
        pages = _pages(entries, total, look, width, name, typeface)
        number = -(-total // look.per_page)
        if is_pdf(output):
            written_files = _pdfs(output, pages, number, look.paper, name, typeface)
        else:
            written_files = _pictures(output, pages, number)
        for path in written_files:
            written(path)


def _counted(entries: Iterable[Entry], progress: Progress) -> Iterator[Entry]:
    """Yield photos, and count each one when the next is asked for."""
    for entry in entries:
        yield entry
        progress.advance()


def _pages(
    entries: Iterable[Entry], total: int, look: Look, width: int, name: str, typeface: Typeface
) -> Iterator[Page]:
    from shotcrop_cli.report import sheet, story

    if look.layout is Layout.CONTACT:
        layout = sheet.SheetLayout(width=width, columns=look.columns, photos=look.per_page)
        heading = f"{name} · {total} photo{'s' if total > 1 else ''}"
        return sheet.draw_pages(entries, total, layout, heading, typeface)
    setting = story.Setting(width, typeface)
    if look.layout is Layout.TRIPTYCH:
        return story.draw_triptychs(entries, total, look.per_page, setting)
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


def _pictures(output: Path, pages: Iterable[Page], total: int) -> Iterator[Path]:
    from shotcrop_cli.imaging.own_mark import mark_options

    kind = _PICTURES[output.suffix.lower()]
    for path, page in zip(page_paths(output, total), pages, strict=True):
        with written_whole(path) as file:
            page.to_image().save(file, kind, quality=90, **mark_options(kind))
        yield path


def _pdfs(
    output: Path, pages: Iterable[Page], total: int, paper: str, title: str, typeface: Typeface
) -> Iterator[Path]:
    from shotcrop_cli.report.pdf import files, write_pdfs

    for path, content in zip(page_paths(output, files(total)), write_pdfs(pages, paper, title, typeface), strict=True):
        with written_whole(path) as file:
            file.write(content)
        yield path


def page_paths(output: Path, pages: int) -> list[Path]:
    """Return the files of the pages: the output itself, or numbered files next to it for several pages."""
    if pages == 1:
        return [output]
    digits = max(3, len(str(pages)))
    return [output.with_name(f"{output.stem}-{number:0{digits}d}{output.suffix}") for number in range(1, pages + 1)]
