"""Check the words of a captioner before they are written: length, language, phrases, repetition, people, names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from shotcrop_cli.captions.person_names import unknown_names
from shotcrop_cli.captions.prompt import LANGUAGES, MOST_IN_ALT_TEXT, MOST_IN_CAPTION, MOST_IN_STORY
from shotcrop_cli.shots import MANY_PEOPLE, CaptionRequest, PhotoText

_PHRASES = re.compile(
    r"\b(?:(?:image|photo|photograph|picture|snapshot|close[- ]up|shot|view) (?:of|shows)|"
    r"(?:bild|foto|aufnahme) (?:von|zeigt)|(?:image|photo|gros plan) (?:de|d'|montre)|"
    r"(?:imagen|foto|fotografía) (?:de|muestra)|(?:immagine|foto|fotografia) (?:di|mostra))",
    re.IGNORECASE,
)
"""Beginnings that say nothing about what is seen."""

_COMMON_WORDS = {
    "de": "der die das und ein eine einen einem einer mit auf im ist sind von vor neben zu am steht sitzt ihr sein",
    "en": "the a an and with on in of is are at her his their to by stands sits while next from wearing",
    "es": "el la los las un una y con en de del su se está sobre por junto mientras lleva al",
    "fr": "le la les un une et avec dans sur de des du est sont son sa au aux près devant porte",
    "it": "il lo la gli un una e con in di del della su suo sua è sono al alla accanto mentre",
    "nl": "de het een en met op in van is zijn haar naar bij staat zit naast terwijl",
    "pt": "o a os as um uma e com em de do da no na seu sua está ao enquanto",
}
"""Frequent short words, by which texts of these languages are told apart."""
_LEAST_WORDS = 4
"""Fewer common words say nothing about the language (our choice)."""
_SCRIPTS = {"ja": ("CJK", "HIRAGANA", "KATAKANA"), "ko": ("HANGUL",), "ru": ("CYRILLIC",), "zh": ("CJK",)}
"""Beginnings of Unicode names of the letters; all other languages we know are written in Latin letters."""

_PEOPLE = r"(?:people|persons|men|women|children|kids|boys|girls|adults|players|friends|figures)"
_NUMBER = r"(?P<number>two|three|four|five|six|seven|eight|nine|ten)"
_COUNTED = re.compile(rf"\b{_NUMBER}\s+(?:\w+\s+)?{_PEOPLE}\b", re.IGNORECASE)
_SEVERAL = re.compile(
    rf"\b(?:(?:several|many)\s+(?:\w+\s+)?{_PEOPLE}|(?:a|the) (?:crowd|group of {_PEOPLE}))\b", re.IGNORECASE
)
_ALONE = re.compile(
    r"\b(?:alone|a (?:lone|solitary|single) (?:person|man|woman|child|boy|girl|figure))\b", re.IGNORECASE
)
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def problems_of(text: PhotoText, request: CaptionRequest, language: str, known: str = "") -> list[str]:
    """Return what is wrong with an answer, in words that the captioner understands; empty if nothing is.

    Args:
        text: The answer.
        request: What it answers.
        language: The language it should be in, as in BCP 47.
        known: Names and texts in the photo's metadata. Other persons must not be named.
    """
    return list(_problems(text, request, language.lower().split("-")[0], known))


def _problems(text: PhotoText, request: CaptionRequest, language: str, known: str) -> Iterator[str]:
    for shot, words in zip(request.shots, text.shots, strict=True):
        yield from _wrong_text(f"the caption of {shot}", words.caption, MOST_IN_CAPTION)
        yield from _wrong_text(f"the alt_text of {shot}", words.alt_text, MOST_IN_ALT_TEXT)
    yield from _wrong_text("the story", text.story, MOST_IN_STORY)
    captions = [words.caption.casefold() for words in text.shots if words.caption]
    if len(set(captions)) < len(captions):
        yield "two captions are the same"
    texts = [*(part for words in text.shots for part in (words.caption, words.alt_text)), text.story]
    everything = " ".join(texts)
    if not all(_has_letters_of(language, part) for part in texts) or not _has_words_of(language, everything):
        yield f"it is not in {LANGUAGES.get(language, language)}"
    for name in dict.fromkeys(name for part in texts for name in unknown_names(part, language, known)):
        yield f"it names '{name}', who is not known to be in the photo"
    if language == "en" and (wrong := _wrong_number(everything, request.people)):
        yield wrong


def _wrong_text(name: str, text: str, most: int) -> Iterator[str]:
    if not any(character.isalpha() for character in text):
        yield f"{name} is empty"
    elif len(text) > most:
        yield f"{name} has {len(text)} characters, more than {most}"
    if found := _PHRASES.search(text):
        yield f"{name} says '{found[0]}'"


def _has_letters_of(language: str, text: str) -> bool:
    """Say whether at least half of the letters are of the script of a language; True for languages we do not know."""
    letters = [character for character in text if character.isalpha()]
    scripts = _SCRIPTS.get(language, ("LATIN",))
    found = sum(unicodedata.name(letter, "").startswith(scripts) for letter in letters)
    return language not in LANGUAGES or found >= len(letters) / 2


def _has_words_of(language: str, text: str) -> bool:
    """Say whether a text has no more common words of another language; True for languages that we have no words of."""
    if language not in _COMMON_WORDS:
        return True
    words = re.findall(r"\w+", text.lower())
    counts = {other: sum(word in known.split() for word in words) for other, known in _COMMON_WORDS.items()}
    best = max(counts.values())
    return best < _LEAST_WORDS or counts[language] * 4 >= best * 3


def _wrong_number(text: str, people: int | None) -> str:
    """Say how a text contradicts the number of people; empty if it does not."""
    if people is None:
        return ""
    if people >= 2 and (found := _ALONE.search(text)):
        return f"it says '{found[0]}', but the photo shows {people} people"
    numbers = [_WORDS.index(found["number"].lower()) + 1 for found in _COUNTED.finditer(text)]
    most = max([*numbers, 3 if _SEVERAL.search(text) else 0])
    if people < MANY_PEOPLE and most > people:
        return f"it speaks of more people than the photo shows: {people}"
    return ""
