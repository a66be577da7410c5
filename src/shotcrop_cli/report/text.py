"""Text on sheets: in the font that comes with Pillow, or in another one where a text needs it."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from shotcrop_cli.errors import ShotcropError

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SMALLEST_FONT = 12
"""Pixels. Below this size the font is hard to read."""
PLAIN = str.maketrans({"–": "-", "—": "-", "×": "x", "ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "Ł": "L", "ı": "i"})
TYPOGRAPHIC = "‘’“”·"
"""Characters of the font that are not ASCII."""
_NO_CHARACTER = "\U0010ffff"
"""No font has it, so that it shows what a font draws for a character that it lacks."""
_FONT_NAMES = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf"),
    *("Arial.ttf", "arial.ttf", "Helvetica.ttc"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-zenhei.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc"),
    *("msyh.ttc", "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf"),
)
"""Files of fonts that systems bring, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Typeface:
    """A font in all sizes.

    Args:
        file: Its file; None for the font that comes with Pillow.
    """

    file: Path | None = None
    _known: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def at(self, size: int) -> Font:
        """Return the font at a size in pixels."""
        if self.file is None:
            return ImageFont.load_default(size)
        return _load(str(self.file), size)

    def has(self, character: str) -> bool:
        """Return whether the font can draw a character."""
        if self.file is None:
            return (character.isascii() and character.isprintable()) or character in TYPOGRAPHIC
        if character not in self._known:
            font = _load(str(self.file), 20)
            self._known[character] = character.isprintable() and _shape(font, character) != _shape(font, _NO_CHARACTER)
        return self._known[character]

    def missing(self, text: str) -> set[str]:
        """Return the characters of a text that the font cannot draw. Line breaks and the like do not count."""
        return {character for character in text if character.isprintable() and not self.has(character)}

    def legible(self, text: str) -> str:
        """Return a text in the characters of the font: those that it lacks lose their accents, or become `?`."""
        return "".join(c if self.has(c) else self._plain(c) for c in unicodedata.normalize("NFC", text))

    def _plain(self, character: str) -> str:
        plain = unicodedata.normalize("NFKD", character.translate(PLAIN))
        kept = (part for part in plain if not unicodedata.combining(part))
        return "".join(part if self.has(part) else "?" for part in kept)

    def content(self) -> bytes:
        """Return the content of the font's file."""
        if self.file is not None:
            return self.file.read_bytes()
        stored = getattr(ImageFont.load_default(SMALLEST_FONT), "path", None)
        assert isinstance(stored, io.BytesIO)  # Pillow keeps it in its code
        return stored.getvalue()


BUILT_IN = Typeface()


def open_typeface(file: Path) -> Typeface:
    """Return the font of a file.

    Raises:
        ShotcropError: It is not a font.
    """
    try:
        _load(str(file), SMALLEST_FONT)
    except OSError as error:
        raise ShotcropError(f"{file}: not a font that can be read", hint="name a .ttf, .otf or .ttc file") from error
    return Typeface(file)


def typeface_for(characters: Iterable[str]) -> Typeface:
    """Return a font for some characters: the built-in one if it has all of them, otherwise the best of this system."""
    text = "".join(sorted(set(characters)))
    best, fewest = BUILT_IN, len(BUILT_IN.missing(text))
    for name in _FONT_NAMES:
        if fewest == 0:
            break
        try:
            found = Typeface(Path(str(_load(name, SMALLEST_FONT).path)))
        except OSError:
            continue
        if (missing := len(found.missing(text))) < fewest:
            best, fewest = found, missing
    return best


@lru_cache(maxsize=64)
def _load(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


def _shape(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def font_size(width: int, share: float) -> int:
    """Return the size of a font at a share of a width, at least `SMALLEST_FONT`."""
    return max(SMALLEST_FONT, round(width * share))


def font_for(width: int, share: float) -> Font:
    """Return the built-in font in this size."""
    return BUILT_IN.at(font_size(width, share))


def line_height(font: Font) -> int:
    """Return the distance between two baselines in pixels."""
    upper, lower = font.getbbox("Hg")[1::2]
    return round((lower - upper) * 1.25)


def wrap(text: str, font: Font, width: float, typeface: Typeface = BUILT_IN) -> list[str]:
    """Break a text into lines that fit a width. Only a word wider than a line is broken inside.

    Args:
        text: Any text. White space counts as one space; see `Typeface.legible` for accents.
        font: The font to draw it in.
        width: Longest line in pixels, wide enough for any single character.
        typeface: What the font is a size of.

    Returns:
        The lines, none for a blank text.
    """
    lines: list[str] = []
    current = ""
    for word in typeface.legible(" ".join(text.split())).split():
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
    """Return a text in the characters of the built-in font: without accents, and with `?` for unknown characters."""
    return BUILT_IN.legible(text)


def shorten(text: str, font: Font, width: float) -> str:
    """Shorten a text to `width` pixels. It loses its start, because photos differ in the end of their path."""
    if font.getlength(text) <= width:
        return text
    start = next((n for n in range(1, len(text)) if font.getlength("..." + text[n:]) <= width), len(text))
    return "..." + text[start:]
