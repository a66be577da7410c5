"""A page as a list of what is on it, which a picture and a PDF draw alike.

All lengths are pixels of the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from PIL import Image, ImageDraw

from shotcrop_cli.report.text import BUILT_IN, Typeface

Colour = tuple[int, int, int]

BACKGROUND: Colour = (252, 252, 250)
TEXT: Colour = (32, 32, 34)
MUTED: Colour = (118, 118, 122)
LINE_COLOUR: Colour = (222, 222, 218)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, and what it shows for somebody who cannot see it."""

    left: int
    top: int
    image: Image.Image
    alt_text: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text.

    Args:
        left: Where it begins, or where it ends if it is `right_aligned`.
        baseline: Where its letters stand.
        text: The line, in characters of the typeface.
        size: Size of the font in pixels.
        colour: Its colour.
        right_aligned: Whether `left` is its right end.
    """

    left: int
    baseline: int
    text: str
    size: int
    colour: Colour = TEXT
    right_aligned: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A filled rectangle; `right` and `bottom` are its last pixels."""

    left: int
    top: int
    right: int
    bottom: int
    colour: Colour


@dataclass(slots=True)
class Page:
    """A page, or a part of one.

    Args:
        width: Its width.
        height: Its height.
        typeface: What its texts are written in.
        items: What is on it, the lowest first.
    """

    width: int
    height: int
    typeface: Typeface = BUILT_IN
    items: list[Picture | Words | Bar] = field(default_factory=list)

    def place(self, part: Page, left: int, top: int) -> None:
        """Put the items of another page on this one."""
        for item in part.items:
            if isinstance(item, Words):
                self.items.append(replace(item, left=item.left + left, baseline=item.baseline + top))
            elif isinstance(item, Picture):
                self.items.append(replace(item, left=item.left + left, top=item.top + top))
            else:
                moved = (item.left + left, item.top + top, item.right + left, item.bottom + top)
                self.items.append(Bar(*moved, item.colour))

    def to_image(self) -> Image.Image:
        """Draw the page as an RGB image."""
        image = Image.new("RGB", (self.width, self.height), BACKGROUND)
        draw = ImageDraw.Draw(image)
        for item in self.items:
            if isinstance(item, Picture):
                image.paste(item.image, (item.left, item.top))
            elif isinstance(item, Words):
                anchor = "rs" if item.right_aligned else "ls"
                font = self.typeface.at(item.size)
                draw.text((item.left, item.baseline), item.text, item.colour, font, anchor=anchor)
            else:
                draw.rectangle((item.left, item.top, item.right, item.bottom), fill=item.colour)
        return image
