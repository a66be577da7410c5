"""Messages of the captions by rule, and their translations.

A message is a whole phrase with named fields. `captions/locale` has a catalogue for each language: a `.po` file that
people edit, and a `.mo` file that Python's gettext reads. `docs/translations.py` keeps them up to date; CONTRIBUTING.md
says how to add a language.
"""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from shotcrop_cli.errors import InputError

LOCALE = Path(__file__).with_name("locale")
LANGUAGES = {
    "en": "English",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "zh": "Chinese, simplified characters",
}
"""Languages that the rules write in; all but English have a catalogue."""
SOURCE_LANGUAGE = "en"
_ONE, _SEVERAL = 1, 2
"""What the plural rules of a language are asked about."""


@dataclass(frozen=True, slots=True)
class Message:
    """A phrase in English, by which its translations are found.

    Args:
        text: The phrase, with fields in braces.
        several: The phrase for several people, where number matters; otherwise empty.
        context: Where it stands, if its translation may depend on that; otherwise empty.
    """

    text: str
    several: str = ""
    context: str = ""


# `docs/translations.py` looks for calls of these three.
def message(text: str) -> Message:
    """Return a message."""
    return Message(text)


def message_in(context: str, text: str) -> Message:
    """Return a message whose translation depends on where it stands."""
    return Message(text, context=context)


def message_for(text: str, several: str) -> Message:
    """Return a message that has a form for one person and one for several."""
    return Message(text, several=several)


class Catalogue:
    """The messages in one language.

    Args:
        language: A key of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._translations = gettext.NullTranslations()
        if language != SOURCE_LANGUAGE:
            with (LOCALE / f"{language}.mo").open("rb") as file:
                self._translations = gettext.GNUTranslations(file)

    def say(self, message: Message, *, is_one: bool = True, **fields: str) -> str:
        """Return a message in the language of the catalogue.

        Args:
            message: The message.
            is_one: Whether it is about one person.
            fields: Values of the fields.
        """
        found, text = self._translations, message.text
        if message.several:
            text = found.ngettext(text, message.several, _ONE if is_one else _SEVERAL)
        elif message.context:
            text = found.pgettext(message.context, text)
        else:
            text = found.gettext(text)
        return text.format(**fields)


def language_of(tag: str) -> str | None:
    """Return the language of the rules for a BCP 47 tag such as `de-AT`; None if they do not know it.

    Traditional characters are another script, so `zh-Hant` and the regions that write it are not Chinese here.
    """
    primary, *rest = tag.lower().replace("_", "-").split("-")
    if primary == "zh" and {"hant", "tw", "hk", "mo"} & set(rest):
        return None
    return primary if primary in LANGUAGES else None


def check_language(language: str) -> None:
    """Check that there are rules in a language.

    Raises:
        InputError: There are none.
    """
    if language not in LANGUAGES:
        raise InputError(f"language={language!r}: no captions by rule in it", hint=f"use one of {', '.join(LANGUAGES)}")


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str = SOURCE_LANGUAGE) -> Catalogue:
    """Return the messages in one language, a key of `LANGUAGES`."""
    return Catalogue(language)
