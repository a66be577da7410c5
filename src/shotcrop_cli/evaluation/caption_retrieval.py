"""Caption-to-crop retrieval: does each caption of a triple fit its own box better than the other two?

Two judges score a caption against the three boxes. The first is learned: a bilinear softmax over the caption's content
words and the features of a box, fitted on experts' triples. It learns which words experts use for wide and for tight
boxes, and for boxes with one face or several. It sees no pixels, so it misses a wrong colour or action. The second
checks plain claims (`caption_claims`). Where detections refute a caption that names a head, two people or a body from
the waist up, the caption is not retrieved. Function words (articles, prepositions, pronouns) do not count: they show a
style, not a picture.
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
from shotcrop_cli.evaluation.caption_claims import View, refuted, views
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.shots import MANY_PEOPLE, SHOT_TYPES, Box, Composition, ShotType

Floats = NDArray[np.float64]

LEAST_CAPTIONS = 5
"""Words in fewer captions of the training set are ignored: the fit would memorise them."""

RIDGE = 1e-3
"""Weight of the squared coefficients against the mean log-loss: no other value did better on held-out photos."""

STEPS, RATE = 300, 1.0
"""Steps of gradient descent with Nesterov's momentum, and their length: the loss is stable by then."""

TIE = 1e-9
"""Scores this close are equal: a caption without known words fits all three boxes alike."""

_FORM_WORDS = (
    "a an the and or of with at by in on to from as while is are be been has have it its he she they them him her his "
    "their this that these those s for into onto out off up down over under near beside behind before above below "
    "across along through between against around toward towards past among beneath both each other another who us we "
    "you your our so but not no"
)
FORM_WORDS = frozenset(_FORM_WORDS.split())
"""Words that by themselves describe no picture."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Three captioned boxes and the detections in the photo.

    Args:
        triple: Boxes and captions.
        detections: Detections in the photo; may be empty.
    """

    triple: Composition
    detections: Detections

    @property
    def boxes(self) -> list[Box]:
        """The three boxes, widest first."""
        return [shot.box for shot in self.triple.shots]

    @property
    def features(self) -> Floats:
        """Features of the boxes (3, F): size, heads, people, and how far down the body is visible."""
        return np.array([_features(box, view) for box, view in zip(self.boxes, self.views, strict=True)])

    @property
    def views(self) -> tuple[View, ...]:
        """The content of each box according to detections."""
        return views(self.boxes, self.detections)


@dataclass(frozen=True, slots=True)
class Matcher:
    """Scores how well a caption fits each of the three boxes of a triple.

    Args:
        vocabulary: The known content words.
        scale: Divisor of each feature of a box (F,).
        weights: Weight of each feature for each word (words, F).
    """

    vocabulary: tuple[str, ...]
    scale: Floats
    weights: Floats

    def fits(self, caption: str, features: Floats) -> Floats:
        """Score the three boxes (3, F) for a caption; higher is better, equal for a caption without known words."""
        return (features / self.scale) @ (_bag(caption, self.vocabulary) @ self.weights)

    def retrieved(self, exhibit: Exhibit) -> dict[ShotType, float]:
        """Return for each caption whether its own box fits it best.

        Returns:
            For each shot 1 or 0; boxes that fit equally well share the 1. An empty caption, or one that detections
            refute in its own box, has 0. Empty for a triple without captions.
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
    """Learn which words go with which boxes from experts' triples.

    The coefficients minimise the mean of -log softmax of the own box among the three, plus `RIDGE` times
    their squares. The problem is convex, so equal triples always give the same matcher.

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
    """Return the words of a caption that describe a picture, in lower case."""
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
    """Return a unit vector (V,) over the vocabulary that marks the words of a caption."""
    held = set(content_words(caption))
    bag = np.array([float(word in held) for word in vocabulary])
    return bag / max(math.sqrt(bag.sum()), 1.0)


def _features(box: Box, view: View) -> list[float]:
    """Return one box's features; an undecided one is 0, half-way between yes and no."""
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
