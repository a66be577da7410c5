"""Keywords of crops. Sidecars have them in English, so that scripts find the same words everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from shotcrop_cli.captions.messages import SOURCE_LANGUAGE, catalogue, language_of, message_in
from shotcrop_cli.crop_facts import CropFacts
from shotcrop_cli.shots import SETTINGS, Composition

KEYWORDS = {
    "outdoors": message_in("keyword", "outdoors"),
    "indoors": message_in("keyword", "indoors"),
    "snow": message_in("keyword", "snow"),
    "ice": message_in("keyword", "ice"),
    "water": message_in("keyword", "water"),
    "pool": message_in("keyword", "pool"),
    "beach": message_in("keyword", "beach"),
    "rocks": message_in("keyword", "rocks"),
    "playground": message_in("keyword", "playground"),
    "grass": message_in("keyword", "grass"),
    "trees": message_in("keyword", "trees"),
    "street": message_in("keyword", "street"),
    "dog": message_in("keyword", "dog"),
    "motorcycle": message_in("keyword", "motorcycle"),
    "bicycle": message_in("keyword", "bicycle"),
    "skateboard": message_in("keyword", "skateboard"),
    "boat": message_in("keyword", "boat"),
    "ball": message_in("keyword", "ball"),
    "climbing": message_in("keyword", "climbing"),
    "basketball": message_in("keyword", "basketball"),
    "tennis": message_in("keyword", "tennis"),
    "baseball": message_in("keyword", "baseball"),
}
"""Messages by the words of `sidecar.ShotRecord.keywords`."""


def keywords_of(answer: Composition, number: int) -> tuple[str, ...]:
    """Return what one of the shots surely shows, in words that people search for."""
    setting = None if answer.grounding is None else answer.grounding.setting
    facts = answer.facts[number] if answer.facts else CropFacts()
    place = None if facts.place in SETTINGS else (facts.place or "").removeprefix("in ")
    found = (f"{setting}s" if setting else "", place, facts.thing, facts.action)
    return tuple(dict.fromkeys(filter(None, found)))


def keywords_in(language: str, keywords: Iterable[str]) -> tuple[str, ...]:
    """Translate keywords.

    Args:
        language: A tag, as BCP 47 defines it. In languages that the rules do not know, keywords stay English.
        keywords: What a crop shows. Words that a person added stay as they are.
    """
    words = catalogue(language_of(language) or SOURCE_LANGUAGE)
    return tuple(words.say(KEYWORDS[keyword]) if keyword in KEYWORDS else keyword for keyword in keywords)
