"""Pages without boxes and scores, to show to somebody: the shots of each photo in a row, or a page for each photo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from shotcrop_cli.report.arrange import Arrangement, fill, in_row
from shotcrop_cli.report.entry import Entry
from shotcrop_cli.report.page import MUTED, TEXT, Page, Picture, Words
from shotcrop_cli.report.text import BUILT_IN, Typeface, font_size, line_height, shorten, wrap
from shotcrop_cli.sidecar import ShotRecord

A4 = 297 / 210
"""Long side of the paper divided by its short side."""
_TALLEST_ROW = 0.45
"""Largest height of the pictures of a row as a share of its width, so that a single portrait does not fill a page."""
_STORY_SHARE, _CAPTION_SHARE, _SMALL_SHARE = 0.024, 0.0145, 0.0105
_LINE_SPACE = 1.15
"""Distance between lines of a caption in line heights, which are meant for tight cells."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How pages of shots look.

    Args:
        width: Width of a page in pixels.
        typeface: What to write texts in.
    """

    width: int
    typeface: Typeface = BUILT_IN

    @property
    def margin(self) -> int:
        """Space around the page in pixels."""
        return self.width // 22

    @property
    def gap(self) -> int:
        """Space between pictures in pixels."""
        return max(6, self.width // 90)

    @property
    def content_width(self) -> int:
        """Width of the page without its margins, in pixels."""
        return self.width - 2 * self.margin

    @property
    def caption_size(self) -> int:
        """Size of captions in pixels."""
        return font_size(self.width, _CAPTION_SHARE)

    @property
    def caption_line(self) -> int:
        """Distance between the lines of a caption in pixels."""
        return round(line_height(self.typeface.at(self.caption_size)) * _LINE_SPACE)

    @property
    def small_size(self) -> int:
        """Size of names and page numbers in pixels."""
        return font_size(self.width, _SMALL_SHARE)

    def caption_lines(self, shot: ShotRecord, width: int) -> list[str]:
        """Break the caption of a shot into lines of a width."""
        return wrap(shot.caption, self.typeface.at(self.caption_size), width, self.typeface)

    def caption_height(self, shot: ShotRecord, width: int) -> int:
        """Return the height of a caption and the space above it, in pixels."""
        lines = len(self.caption_lines(shot, width))
        return lines * self.caption_line + self.gap // 2 if lines else 0


def draw_stories(entries: Iterable[Entry], total: int, setting: Setting) -> Iterator[Page]:
    """Draw a page for each photo, in the format of a sheet of paper on its side: story, shots and captions.

    Args:
        entries: The photos; each has crops.
        total: Their number.
        setting: How the pages look.
    """
    for number, entry in enumerate(entries, start=1):
        yield _story(entry, setting, f"{number} / {total}" if total > 1 else "")


def draw_triptychs(entries: Iterable[Entry], total: int, photos: int, setting: Setting) -> Iterator[Page]:
    """Draw rows of the shots of each photo, several to a page.

    Args:
        entries: The photos; each has crops.
        total: Their number.
        photos: Photos on a page.
        setting: How the pages look.
    """
    pages, remaining = -(-total // photos), iter(entries)
    for number in range(1, pages + 1):
        rows = [_row(entry, setting) for entry in islice(remaining, photos)]
        yield _rows_page(rows, setting, f"{number} / {pages}" if pages > 1 else "")


def _story(entry: Entry, setting: Setting, number: str) -> Page:
    width, margin = setting.width, setting.margin
    page = Page(width, round(width / A4), setting.typeface)
    size = font_size(width, _STORY_SHARE)
    font = setting.typeface.at(size)
    line, top = round(line_height(font) * _LINE_SPACE), margin
    for words in wrap(entry.story, font, setting.content_width, setting.typeface):
        page.items.append(Words(margin, top + size, words, size))
        top += line
    top += line // 2 if top > margin else 0
    _footer(page, setting, entry.title, number)
    bottom = page.height - margin - 2 * line_height(setting.typeface.at(setting.small_size))
    shots = _open(entry, setting)
    arrangement = fill(
        [shot.ratio for shot in shots],
        lambda which, column: setting.caption_height(shots[which].record, column),
        setting.content_width,
        bottom - top,
        setting.gap,
    )
    left = margin + (setting.content_width - arrangement.width) // 2
    page.place(_pictures(shots, arrangement, setting), left, top + max(0, bottom - top - arrangement.height) // 2)
    return page


def _row(entry: Entry, setting: Setting) -> Page:
    shots = _open(entry, setting)
    ratios, gap = [shot.ratio for shot in shots], setting.gap
    widest = round(_TALLEST_ROW * setting.width * sum(ratios)) + gap * (len(ratios) - 1)
    arrangement = in_row(
        ratios,
        lambda which, column: setting.caption_height(shots[which].record, column),
        min(setting.content_width, widest),
        gap,
    )
    row = _pictures(shots, arrangement, setting)
    font = setting.typeface.at(setting.small_size)
    name = shorten(setting.typeface.legible(entry.title), font, setting.content_width)
    row.items.append(Words(0, row.height + setting.small_size, name, setting.small_size, MUTED))
    row.height += line_height(font)
    return row


def _rows_page(rows: Sequence[Page], setting: Setting, number: str) -> Page:
    space = setting.margin
    heights = sum(row.height for row in rows) + space * len(rows)
    footer = line_height(setting.typeface.at(setting.small_size)) + space if number else 0
    page = Page(setting.width, space + heights + footer, setting.typeface)
    top = space
    for row in rows:
        page.place(row, setting.margin + (setting.content_width - row.width) // 2, top)
        top += row.height + space
    _footer(page, setting, "", number)
    return page


def _footer(page: Page, setting: Setting, name: str, number: str) -> None:
    size, baseline = setting.small_size, page.height - setting.margin
    font = setting.typeface.at(size)
    name = shorten(setting.typeface.legible(name), font, setting.content_width * 0.8)
    page.items.append(Words(setting.margin, baseline, name, size, MUTED))
    page.items.append(Words(page.width - setting.margin, baseline, number, size, MUTED, right_aligned=True))


@dataclass(frozen=True, slots=True)
class _Shot:
    record: ShotRecord
    image: Image.Image | None

    @property
    def ratio(self) -> float:
        """Width divided by height: of the crop as it is now, which somebody may have cut again."""
        size = self.record.box if self.image is None else self.image
        return size.width / size.height


def _open(entry: Entry, setting: Setting) -> list[_Shot]:
    """Open the crops of a photo at the largest size that they can have on a page."""
    bounds = (setting.content_width, round(setting.width / A4))
    return [_Shot(record, entry.open_crop(record, bounds)) for record in entry.crops]


def _pictures(shots: Sequence[_Shot], arrangement: Arrangement, setting: Setting) -> Page:
    """Draw the crops of a photo with their captions below them."""
    part = Page(arrangement.width, arrangement.height, setting.typeface)
    for shot, spot in zip(shots, arrangement.spots, strict=True):
        record = shot.record
        lines = setting.caption_lines(record, spot.width)
        if shot.image is None:
            lines = wrap("The crop cannot be read.", setting.typeface.at(setting.caption_size), spot.width)
        else:
            image = shot.image.resize((spot.width, spot.height), Image.Resampling.LANCZOS)
            part.items.append(Picture(spot.left, spot.top, image, record.alt_text or record.caption))
        baseline = spot.top + spot.height + setting.gap // 2 + setting.caption_size
        for number, words in enumerate(lines):
            below = baseline + number * setting.caption_line
            part.items.append(Words(spot.left, below, words, setting.caption_size, TEXT))
    return part
