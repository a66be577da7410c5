"""Text on the contact sheet, in the font that comes with Pillow, so that no font has to be installed."""

from __future__ import annotations

import unicodedata

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SMALLEST_FONT = 12
"""Pixels. Below this size the font is hard to read."""
PLAIN = str.maketrans({"–": "-", "—": "-", "×": "x", "ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "Ł": "L", "ı": "i"})
TYPOGRAPHIC = "‘’“”·"
"""Characters of the font that are not ASCII."""


def font_for(width: int, share: float) -> Font:
    """Return the font at a share of a width, at least `SMALLEST_FONT`."""
    return ImageFont.load_default(max(SMALLEST_FONT, round(width * share)))


def line_height(font: Font) -> int:
    """Return the distance between two baselines in pixels."""
    upper, lower = font.getbbox("Hg")[1::2]
    return round((lower - upper) * 1.25)


def wrap(text: str, font: Font, width: float) -> list[str]:
    """Break a text into lines that fit a width. Only a word wider than a line is broken inside.

    Args:
        text: Any text. White space counts as one space; see `legible` for accents.
        font: The font to draw it in.
        width: Longest line in pixels, wide enough for any single character.

    Returns:
        The lines, none for a blank text.
    """
    lines: list[str] = []
    current = ""
    for word in legible(" ".join(text.split())).split():
        candidate = f"{current} {word}" if current else word
        if font.getlength(candidate) <= width:
            current = candidate
            continue
        if current:
            lines.append(current)
        while font.getlength(word) > width and len(word) > 1:
            fitting = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= width), 1)
            lines.append(word[:fitting])
            word = word[fitting:]
        current = word
    return [*lines, current] if current else lines


def legible(text: str) -> str:
    """Return a text in the characters of the font: without accents, and with `?` for unknown characters."""
    plain = unicodedata.normalize("NFKD", text.translate(PLAIN))
    kept = (character for character in plain if not unicodedata.combining(character))
    return "".join(c if (c.isascii() and c.isprintable()) or c in TYPOGRAPHIC else "?" for c in kept)


def shorten(text: str, font: Font, width: float) -> str:
    """Shorten a text to `width` pixels. It loses its start, because photos differ in the end of their path."""
    if font.getlength(text) <= width:
        return text
    start = next((n for n in range(1, len(text)) if font.getlength("..." + text[n:]) <= width), len(text))
    return "..." + text[start:]
