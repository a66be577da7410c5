"""Write pages as PDF files on paper of a standard size, with texts that can be searched and copied.

fpdf2 holds a file in memory until it is complete, as all PDF libraries for Python that we looked at do. So a report of
very many pages becomes several files.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.report.page import BACKGROUND, Bar, Page, Picture, Words
from shotcrop_cli.report.text import Typeface

if TYPE_CHECKING:
    from fpdf import FPDF

PAGES_PER_FILE = 250
"""A file of 250 story pages has about 100 MB, so this bounds the memory, and mail and viewers still take it."""
PAPERS = {"a4": (595.28, 841.89), "letter": (612.0, 792.0)}
"""Width and height of upright paper in points."""
QUALITY = 88
"""JPEG quality of the pictures (our choice)."""
_FAMILY = "report"


def check_pdf(path: Path) -> None:
    """Check that a PDF can be written.

    Raises:
        ShotcropError: fpdf2 is not installed.
    """
    if find_spec("fpdf") is None:
        raise ShotcropError(f"{path}: PDF support is not installed", hint=install_hint.add_extras("pdf"))


def write_pdfs(pages: Iterable[Page], paper: str, title: str, typeface: Typeface) -> Iterator[bytes]:
    """Write PDF files of at most `PAGES_PER_FILE` pages, one after the other.

    Args:
        pages: The pages. Each is scaled to fit onto the paper, which lies on its side for wide pages.
        paper: One of `PAPERS`.
        title: Title of the document.
        typeface: What the texts of the pages are written in.

    Yields:
        The content of each file.
    """
    remaining = iter(pages)
    with _font_file(typeface) as font:
        for first in remaining:
            yield _write(chain((first,), islice(remaining, PAGES_PER_FILE - 1)), paper, title, font)


def files(pages: int) -> int:
    """Return the number of PDF files for a number of pages."""
    return -(-pages // PAGES_PER_FILE)


def _write(pages: Iterable[Page], paper: str, title: str, font: Path) -> bytes:
    from fpdf import FPDF

    document = FPDF(unit="pt")
    document.set_auto_page_break(False)
    document.set_margin(0)
    document.set_title(title)
    document.set_creator("shotcrop")
    document.add_font(_FAMILY, fname=font)
    for page in pages:
        _draw(document, page, PAPERS[paper])
    return bytes(document.output())


def _draw(document: FPDF, page: Page, paper: tuple[float, float]) -> None:
    width, height = paper[::-1] if page.width > page.height else paper
    scale = min(width / page.width, height / page.height)
    x, y = (width - page.width * scale) / 2, (height - page.height * scale) / 2 if page.width > page.height else 0.0
    document.add_page(format=(width, height))
    document.set_fill_color(*BACKGROUND)
    document.rect(0, 0, width, height, style="F")
    for item in page.items:
        if isinstance(item, Picture):
            content = io.BytesIO()
            item.image.save(content, "JPEG", quality=QUALITY)
            document.image(
                content,
                x + item.left * scale,
                y + item.top * scale,
                item.image.width * scale,
                item.image.height * scale,
                alt_text=item.alt_text or None,
            )
        elif isinstance(item, Words):
            if item.text:
                document.set_font(_FAMILY, size=item.size * scale)
                document.set_text_color(*item.colour)
                left = item.left * scale - (document.get_string_width(item.text) if item.right_aligned else 0.0)
                document.text(x + left, y + item.baseline * scale, item.text)
        else:
            document.set_fill_color(*item.colour)
            left, top, wide, tall = _sides(item)
            document.rect(x + left * scale, y + top * scale, wide * scale, tall * scale, style="F")


def _sides(bar: Bar) -> tuple[int, int, int, int]:
    return bar.left, bar.top, bar.right - bar.left + 1, bar.bottom - bar.top + 1


@contextmanager
def _font_file(typeface: Typeface) -> Iterator[Path]:
    """Yield a file with the font: fpdf2 reads fonts from files only."""
    if typeface.file is not None:
        yield typeface.file
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "font.ttf")
        file.write_bytes(typeface.content())
        yield file
