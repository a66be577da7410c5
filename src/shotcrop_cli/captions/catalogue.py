"""The languages of captions by rule: gettext catalogues in `locale`, compiled from the .po files next to them."""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

ENGLISH = "en"
"""The language of the messages themselves. It needs no catalogue."""
LANGUAGES = (ENGLISH,)
DOMAIN, FOLDER = "captions", Path(__file__).with_name("locale")

Translate: TypeAlias = Callable[[str], str]


@cache
def translator(language: str) -> Translate:
    """Return what translates messages of `captions.rules`.

    Args:
        language: One of `LANGUAGES`.

    Raises:
        ValueError: There is no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"captions by rule know {', '.join(LANGUAGES)}, not {language!r}")
    if language == ENGLISH:
        return str
    return gettext.translation(DOMAIN, FOLDER, [language]).gettext
