"""What the words of captions tell, without any model: whether they are plain, and which crop they are about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from shotcrop_cli.shots import Composition

LONGEST_CAPTION = 25
"""Words of a caption that still counts [O]: the contract asks for 6 to 18, the experts' longest has 19."""

RICHEST_REPEAT = 0.6
"""A caption counts while this share of its words are different ones [O]: the experts' lowest is .69."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, in any script."""
    return re.findall(r"[^\W\d_]+", text.lower())


def plain(caption: str) -> bool:
    """Say whether a caption is one that people write: not empty, not endless, not the same words again and again."""
    said = words(caption)
    return 0 < len(said) <= LONGEST_CAPTION and len(set(said)) >= RICHEST_REPEAT * len(said)


def word_fit(answer: Composition, truth: Composition) -> tuple[tuple[float, ...], ...]:
    """Stand in for an image-text scorer [O]: how much captions share with what the expert wrote of each crop.

    `[i][j]` is the F1 of the words of the answer's caption i and of the expert's caption j. A caption stuffed with
    everything loses precision, and fits the siblings as well as its own crop.
    """
    return tuple(tuple(_f1(words(one.caption), words(other.caption)) for other in truth.shots) for one in answer.shots)


def _f1(one: Sequence[str], other: Sequence[str]) -> float:
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other)) if shared else 0.0
