"""Judge captions by their words alone: whether a caption is natural, and which crop it describes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from shotcrop_cli.shots import Composition

LONGEST_CAPTION = 25
"""Longest caption that counts, in words. Our own choice: the contract asks for 6 to 18, the experts' longest has 19."""

LEAST_DISTINCT = 0.6
"""A caption counts if at least this share of its words are distinct. Our own choice: the experts' lowest is .69."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, in any script."""
    return re.findall(r"[^\W\d_]+", text.lower())


def is_sentence(text: str) -> bool:
    """Return whether a text can be a sentence: two different words with five letters together.

    Scripts that put no spaces between words need four different letters instead. Our own choice.
    """
    found = words(text)
    letters = "".join(found)
    if any(letter >= "\u2e80" for letter in letters):
        return len(set(letters)) >= 4
    return len(set(found)) >= 2 and len(letters) >= 5


def plain(caption: str) -> bool:
    """Return whether a caption is one that people write: not empty, not too long, and without many repeated words."""
    found = words(caption)
    return 0 < len(found) <= LONGEST_CAPTION and len(set(found)) >= LEAST_DISTINCT * len(found)


def word_fit(answer: Composition, truth: Composition) -> tuple[tuple[float, ...], ...]:
    """Return how many words captions share with the expert's caption of each crop: a stand-in for an image-text scorer.

    `[i][j]` is the F1 of the words in the answer's caption i and in the expert's caption j. A caption full of keywords
    loses precision, and fits the other crops as well as its own. Our own choice.
    """
    return tuple(tuple(_f1(words(one.caption), words(other.caption)) for other in truth.shots) for one in answer.shots)


def _f1(one: Sequence[str], other: Sequence[str]) -> float:
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other)) if shared else 0.0
