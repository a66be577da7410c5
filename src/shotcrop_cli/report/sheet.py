"""The contact sheet: each photo with its boxes, crops and captions.

All lengths are pixels of the page. Each photo has a cell: a title, then the photo and its three crops in columns, then
the text below. The sizes in a cell follow from its width, and text has a smallest size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from PIL import Image, ImageDraw

from shotcrop_cli.report.entry import Entry
from shotcrop_cli.report.page import LINE_COLOUR, MUTED, TEXT, Bar, Colour, Page, Picture, Words
from shotcrop_cli.report.text import BUILT_IN, Typeface, font_size, line_height, shorten, wrap
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar

# Three hues that colour-blind people can distinguish, and that stand out on skin, leaves and sky.
SHOT_COLOURS: dict[ShotType, Colour] = {
    ShotType.ESTABLISHING: (0, 125, 200),
    ShotType.MEDIUM: (245, 165, 0),
    ShotType.CLOSE_UP: (220, 30, 120),
}

SOURCE_SHARE = 1.45
"""Width of the photo's column in widths of a crop's column. It is wider because it shows the boxes."""
TALLEST = 1.2
"""Largest height of a crop in widths of its column, so that portraits do not fill the page."""
TEXT_SHARE = 0.012
TITLE_SHARE = 0.0145
HEADING_SHARE = 0.018
"""Sizes of the three fonts as shares of the width that they are set in."""


@dataclass(frozen=True, slots=True)
class SheetLayout:
    """The layout of a contact sheet.

    Args:
        width: Width of a page in pixels.
        columns: Photos side by side.
        photos: Photos on one page.
    """

    width: int = 1600
    columns: int = 1
    photos: int = 8

    @property
    def margin(self) -> int:
        """Margin around the page and between its columns, in pixels."""
        return max(16, self.width // 40)

    @property
    def cell_width(self) -> int:
        """Width of the cell of one photo, in pixels."""
        return (self.width - self.margin * (self.columns + 1)) // self.columns

    def pages(self, total: int) -> int:
        """Return the number of pages for `total` photos."""
        return -(-total // self.photos)


@dataclass(frozen=True, slots=True)
class Panel:
    """An image with the text below it, in one column of a cell."""

    left: int
    picture: Image.Image | None
    lines: list[str]
    ink: Colour
    alt_text: str = ""

    @property
    def picture_height(self) -> int:
        """Height of the image in pixels; 0 without one."""
        return 0 if self.picture is None else self.picture.height


def draw_pages(
    entries: Iterable[Entry], total: int, layout: SheetLayout, heading: str, typeface: Typeface = BUILT_IN
) -> Iterator[Page]:
    """Draw the contact sheet page by page, with the images of one page in memory at a time.

    Args:
        entries: The photos in the order of the sheet.
        total: Their number.
        layout: Width, columns and photos on a page.
        heading: Title of each page.
        typeface: What to write texts in.

    Yields:
        Pages of `layout.width` pixels, each as high as its photos need.
    """
    pages = layout.pages(total)
    remaining = iter(entries)
    for number in range(1, pages + 1):
        cells = [draw_cell(entry, layout.cell_width, typeface) for entry in islice(remaining, layout.photos)]
        yield _page(cells, layout, heading, f"{number} / {pages}" if pages > 1 else "", typeface)


def draw_cell(entry: Entry, width: int, typeface: Typeface = BUILT_IN) -> Page:
    """Draw one photo: title, source with boxes, crops, captions.

    Args:
        entry: The photo. This opens its images and closes them again.
        width: Width of the cell in pixels.
        typeface: What to write texts in.

    Returns:
        A part of a page of that width, as high as its content.
    """
    size, title_size = font_size(width, TEXT_SHARE), font_size(width, TITLE_SHARE)
    text, title = typeface.at(size), typeface.at(title_size)
    line, gutter = line_height(text), max(8, width // 64)
    crop_width = int((width - 3 * gutter) / (3 + SOURCE_SHARE))
    source_width = width - 3 * (crop_width + gutter)
    top = line_height(title) + line + gutter

    source = entry.open_source((source_width, source_width))
    absence = "" if source else "The photo was not found. "
    panels = [
        Panel(
            left=0,
            picture=None if source is None else outline(source, entry.record),
            lines=wrap(absence + entry.reasoning, text, source_width, typeface),
            ink=MUTED,
            alt_text=entry.title,
        )
    ]
    for shot in entry.record.shots:
        crop = entry.open_crop(shot, (crop_width, int(crop_width * TALLEST)))
        words = " ".join(filter(None, (_absence(shot, crop), shot.caption)))
        panels.append(
            Panel(
                left=source_width + gutter + SHOT_TYPES.index(shot.shot) * (crop_width + gutter),
                picture=crop,
                lines=wrap(words, text, crop_width, typeface),
                ink=TEXT,
                alt_text=shot.alt_text or shot.caption,
            )
        )

    heights = [panel.picture_height + gutter // 2 + line * len(panel.lines) for panel in panels]
    cell = Page(width, top + max(heights) + gutter // 2, typeface)
    name = shorten(typeface.legible(entry.title), title, width * 0.7)
    cell.items.append(Words(0, round(title_size), name, title_size))
    cell.items.append(Words(width, round(size), entry.note, size, MUTED, right_aligned=True))
    for shot, panel in zip(entry.record.shots, panels[1:], strict=True):
        _head(cell, shot, panel.left, top, crop_width, size)
    for panel in panels:
        if panel.picture is not None:
            cell.items.append(Picture(panel.left, top, panel.picture, panel.alt_text))
        for index, words in enumerate(panel.lines):
            baseline = top + panel.picture_height + gutter // 2 + index * line + size
            cell.items.append(Words(panel.left, baseline, words, size, panel.ink))
    return cell


def _absence(shot: ShotRecord, crop: Image.Image | None) -> str:
    """Say why there is no crop to show; empty if there is one."""
    if crop is not None:
        return ""
    if shot.rejected:
        return "You rejected this crop."
    if shot.left_out:
        return f"Left out: {shot.left_out}."
    return "This shot was not requested." if shot.file is None else "The crop was not found."


def outline(picture: Image.Image, record: Sidecar) -> Image.Image:
    """Draw the boxes of the shots on a copy of the photo.

    Args:
        picture: The upright photo in RGB at any size; it is not changed.
        record: The sidecar. Its boxes are in pixels of the full upright photo.

    Returns:
        A copy with each box as a coloured line on a white one, which is visible on any background.
    """
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    stroke = max(2, picture.width // 150)
    across, down = picture.width / record.source.width, picture.height / record.source.height
    for shot in record.shots:
        box = shot.box
        # The white line and the coloured one need at least three pixels.
        left = min(round(box.x * across), picture.width - 3)
        upper = min(round(box.y * down), picture.height - 3)
        right = max(round((box.x + box.width) * across) - 1, left + 2)
        lower = max(round((box.y + box.height) * down) - 1, upper + 2)
        draw.rectangle((left, upper, right, lower), outline=(255, 255, 255), width=stroke + 2)
        inner = (left + 1, upper + 1, right - 1, lower - 1)
        draw.rectangle(inner, outline=SHOT_COLOURS[shot.shot], width=stroke)
    return marked


def _page(cells: Sequence[Page], layout: SheetLayout, heading: str, number: str, typeface: Typeface) -> Page:
    """Arrange the cells of one page below its title, in rows of `layout.columns`."""
    margin = layout.margin
    large, small = font_size(layout.width, HEADING_SHARE), font_size(layout.width, TEXT_SHARE)
    large_line = line_height(typeface.at(large))
    head = margin + large_line + margin // 2
    rows = [cells[start : start + layout.columns] for start in range(0, len(cells), layout.columns)]
    heights = [max(cell.height for cell in row) + margin for row in rows]

    page = Page(layout.width, head + sum(heights), typeface)
    baseline = margin + large_line * 3 // 4
    page.items.append(Words(margin, baseline, typeface.legible(heading), large))
    _legend(page, layout.width - margin, baseline, small, number)
    top = head
    for row, height in zip(rows, heights, strict=True):
        page.items.append(Bar(margin, top, layout.width - margin, top, LINE_COLOUR))
        for column, cell in enumerate(row):
            page.place(cell, margin + column * (layout.cell_width + margin), top + margin // 2)
        top += height
    return page


def _legend(page: Page, right: int, baseline: int, size: int, number: str) -> None:
    """Write the colour of each shot type and the page number, aligned to the right."""
    font = page.typeface.at(size)
    em = line_height(font)
    for label, colour in [(number, None), *((in_words(t), SHOT_COLOURS[t]) for t in reversed(SHOT_TYPES))]:
        if not label:
            continue
        page.items.append(Words(right, baseline, label, size, MUTED if colour is None else TEXT, right_aligned=True))
        right -= round(font.getlength(label)) + em // 2
        if colour is not None:
            page.items.append(Bar(right - em // 2, baseline - em // 2, right, baseline, colour))
            right -= em // 2
        right -= em


def _head(page: Page, shot: ShotRecord, left: int, top: int, width: int, size: int) -> None:
    """Write the name of a shot, its score and a line in its colour just above `top`."""
    rule = 3
    baseline = top - rule - line_height(page.typeface.at(size)) // 3
    page.items.append(Words(left, baseline, in_words(shot.shot), size))
    if shot.score is not None:
        page.items.append(Words(left + width, baseline, f"{shot.score:.2f}", size, MUTED, right_aligned=True))
    page.items.append(Bar(left, top - rule, left + width - 1, top - 1, SHOT_COLOURS[shot.shot]))


def in_words(shot_type: ShotType) -> str:
    """Return the name of a shot for people."""
    return shot_type.value.replace("_", "-")
