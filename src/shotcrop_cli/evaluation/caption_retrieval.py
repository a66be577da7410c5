"""Caption-to-crop retrieval: does each caption of a triple fit its own box better than its siblings'?

Two judges look at a caption and the three boxes. The first is learned: a bilinear softmax over what a caption's content
words and a box have to do with each other, fitted on experts' triples. It knows which words experts keep for wide and
for tight boxes, for boxes with one face or with several; it sees no pixels, so a wrong colour or action escapes it. The
second are plain claims (`claims`): a caption that speaks of a head, of two people or of a body from the waist up is
refuted where detections show otherwise, and a refuted caption is never retrieved. Words of form (articles,
prepositions, pronouns) count for nothing: they tell a style, not a picture.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.evaluation.caption_claims import View, look, refuted
from shotcrop_cli.evaluation.dataset import MANY_PEOPLE
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, ShotType

Floats = NDArray[np.float64]

LEAST_CAPTIONS = 5
"""A word in fewer captions of the training set is not learned from [O]: it would be learned by heart."""

RIDGE = 1e-3
"""Weight of the squared coefficients beside the mean log-loss [O]: no other did better on held-back photos."""

STEPS, RATE = 300, 1.0
"""Steps of gradient descent with Nesterov's momentum, and their length [O]: the loss no longer moves by then."""

TIE = 1e-9
"""Scores this close are equal: captions that tell a matcher nothing fit all three boxes alike."""

_FORM_WORDS = (
    "a an the and or of with at by in on to from as while is are be been has have it its he she they them him her his "
    "their this that these those s for into onto out off up down over under near beside behind before above below "
    "across along through between against around toward towards past among beneath both each other another who us we "
    "you your our so but not no"
)
FORM_WORDS = frozenset(_FORM_WORDS.split())
"""Words that tell nothing of a picture by themselves [O]."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Three captioned boxes and what detectors found in the photo.

    Args:
        triple: Boxes and captions.
        detections: Of the photo; may be empty.
    """

    triple: Composition
    detections: Detections

    @property
    def boxes(self) -> list[Box]:
        """The three boxes, widest first."""
        return [shot.box for shot in self.triple.shots]

    @property
    def features(self) -> Floats:
        """What words are matched with (3, F): size, heads, people, how far down the body is seen."""
        return np.array([_features(box, view) for box, view in zip(self.boxes, self.views, strict=True)])

    @property
    def views(self) -> tuple[View, ...]:
        """What detections say that each box shows."""
        return look(self.boxes, self.detections)


@dataclass(frozen=True, slots=True)
class Matcher:
    """Says how well a caption fits each of three sibling boxes.

    Args:
        vocabulary: The content words that it knows.
        scale: What each feature of a box is divided by (F,).
        weights: What each word makes of each feature (words, F).
    """

    vocabulary: tuple[str, ...]
    scale: Floats
    weights: Floats

    def fits(self, caption: str, features: Floats) -> Floats:
        """Score the three boxes (3, F) for a caption; the higher the better, equal where it knows no word."""
        return (features / self.scale) @ (_bag(caption, self.vocabulary) @ self.weights)

    def retrieved(self, exhibit: Exhibit) -> dict[ShotType, float]:
        """Say of each caption whether its own box fits it best.

        Returns:
            For each shot 1 or 0; boxes that fit equally well share the 1. A caption that detections refute in its own
            box, or that is empty, has 0. Nothing at all for a triple without captions.
        """
        texts = [shot.caption for shot in exhibit.triple.shots]
        if not any(texts):
            return {}
        views, features = exhibit.views, exhibit.features
        found = {}
        for own, (kind, text) in enumerate(zip(SHOT_TYPES, texts, strict=True)):
            false = [not text or refuted(text, view) for view in views]
            scores = np.where(false, -math.inf, self.fits(text, features))
            best = scores >= scores.max() - TIE
            found[kind] = 0.0 if false[own] or not best[own] else 1.0 / int(best.sum())
        return found


def fit(exhibits: Iterable[Exhibit]) -> Matcher:
    """Learn from experts' triples which words go with which boxes.

    The coefficients minimise the mean of -log softmax of the own box among the three siblings, plus `RIDGE` times
    their squares: a convex problem, so that equal triples always give the same matcher.

    Raises:
        ValueError: No triple has a caption.
    """
    told = [one for one in exhibits if all(shot.caption for shot in one.triple.shots)]
    if not told:
        raise ValueError("a matcher needs captioned triples")
    counts = Counter(word for one in told for shot in one.triple.shots for word in set(content_words(shot.caption)))
    vocabulary = tuple(sorted(word for word, count in counts.items() if count >= LEAST_CAPTIONS))
    boxes = np.stack([one.features for one in told])
    scale = boxes.std(axis=(0, 1)) + 1e-6
    bags = np.stack([[_bag(shot.caption, vocabulary) for shot in one.triple.shots] for one in told])
    # One row per caption: its words (N, V), the boxes it may belong to (N, 3, F), and which of them is its own (N, 3).
    words = bags.reshape(-1, len(vocabulary))
    sides = np.repeat(boxes / scale, len(SHOT_TYPES), axis=0)
    own = np.tile(np.eye(len(SHOT_TYPES)), (len(told), 1))
    return Matcher(vocabulary, scale, _descend(words, sides, own))


def content_words(caption: str) -> list[str]:
    """Return the words of a caption that tell of a picture, in lower case."""
    return [word for word in re.findall(r"[a-z]+", caption.lower()) if word not in FORM_WORDS]


def _descend(words: Floats, sides: Floats, own: Floats) -> Floats:
    weights = ahead = np.zeros((words.shape[1], sides.shape[2]))
    for step in range(STEPS):
        scores = np.einsum("nkf,nf->nk", sides, words @ ahead)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        pull = np.einsum("nk,nkf->nf", shares - own, sides)
        gradient = words.T @ pull / len(words) + 2.0 * RIDGE * ahead
        before, weights = weights, ahead - RATE * gradient
        ahead = weights + step / (step + 3) * (weights - before)
    return weights


def _bag(caption: str, vocabulary: Sequence[str]) -> Floats:
    """Return which words of the vocabulary a caption has (V,), as a vector of length 1."""
    held = set(content_words(caption))
    bag = np.array([float(word in held) for word in vocabulary])
    return bag / max(math.sqrt(bag.sum()), 1.0)


def _features(box: Box, view: View) -> list[float]:
    """Return one box's features; what detections cannot tell is 0, half-way between yes and no."""
    return [
        math.log(box.area),
        math.log(box.area) ** 2,
        math.log(box.height),
        *(band.credit(view.face) if view.face else 0.0 for band in composition_rules.HEAD_SCALE.values()),
        float(min(view.people, MANY_PEOPLE)),
        float(view.people > 1),
        *(
            0.0 if seen is None else 1.0 if seen else -1.0
            for seen in (view.head, view.waist, view.hips, view.knees, view.ankles)
        ),
    ]
