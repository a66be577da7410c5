"""Keywords in other languages. Sidecars have the English ones, so that scripts find the same words everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from shotcrop_cli.captions.messages import SOURCE_LANGUAGE, catalogue, language_of, message_in

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


def keywords_in(language: str, keywords: Iterable[str]) -> tuple[str, ...]:
    """Translate keywords.

    Args:
        language: A tag, as BCP 47 defines it. In languages that the rules do not know, keywords stay English.
        keywords: What a crop shows. Words that a person added stay as they are.
    """
    words = catalogue(language_of(language) or SOURCE_LANGUAGE)
    return tuple(words.say(KEYWORDS[keyword]) if keyword in KEYWORDS else keyword for keyword in keywords)
