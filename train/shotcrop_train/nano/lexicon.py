"""A few words that the finished vision tower can tell for sure: linear heads over its pooled features.

Captions are put into words by rule, and a rule needs facts. For each concept a logistic regression with a ridge learns
from the five human captions of a photo which share of them speaks of it; whether a photo was taken outdoors it learns
from the experts, and from captions where these leave no doubt. The tower stays as it is. Each photo is then judged by a
regression that has not seen it (five folds), and the threshold is set where `PRECISION` of the photos above are right.
A concept that no threshold makes so sure is left out: what the tower cannot tell is never said.

Words for men, women, boys and girls are no concepts on purpose: a wrong one hurts more than a right one helps.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shotcrop_cli.captions.rules import BIKE, CHILD, GRASS, INDOORS, OUTDOORS, SNOW, WATER
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_train.data.samples import held_back, load_pixels
from shotcrop_train.nano.modelling import NanoForConditionalGeneration
from shotcrop_train.nano.tower import pooled

Floats = NDArray[np.float64]

CONCEPTS: Mapping[str, str] = {
    CHILD: "child|children|kids?|boys?|girls?|toddlers?|baby|babies|infant|sons?|daughters?|youngsters?|little one",
    SNOW: r"snow\w*|ski|skis|skier|skiers|skiing|ice|icy|sled\w*",
    WATER: r"water\w*|ocean|sea|lake|river|pool|pond|waves?|surf\w*|swim\w*|beach|splash\w*|creek|stream|shore\w*|"
    r"kayak\w*|boat\w*|canoe|dock|fountain|wet|raft\w*|puddle|wakeboard\w*|sprinkler|tub|div(?:es|ing)|tide|bath|canal|"
    r"fish\w*|hose",
    GRASS: r"grass\w*|lawn|fields?|yard|backyard|park|meadow|pasture|garden|turf|soccer|football|baseball|golf|"
    r"lacrosse|rugby|hill|hillside",
    BIKE: r"bikes?|bikers?|biking|bicycl\w*|cycl\w*|bmx|motorcycl\w*|motorbike\w*|motocross|dirtbike\w*|tricycle|"
    r"unicycle",
}
"""What counts as speaking of each concept, as patterns for whole words."""

_OUTDOOR_WORDS = (
    "snow|ski|beach|ocean|sea|grass|lawn|field|mountains?|rocks?|cliff|streets?|road|sidewalk|forest|woods|trees?|sky|"
    "lake|river|surfer|bikes?|bicycle|park"
)
_INDOOR_WORDS = (
    "indoors?|inside|room|kitchen|couch|sofa|bed|restaurant|gym|office|carpet|hallway|bathtub|museum|mall|bathroom|"
    "classroom|bedroom|concert|hall|dining|cafe|bar|desk|basketball"
)

WEAK = 0.2
"""Weight of a setting that captions suggest, beside an expert's [O]: the best of three on photos of other folds."""

RIDGE = 0.01
"""Weight of the squared coefficients beside the mean log-loss [O]: the best of three on photos of other folds."""

FOLDS = 5
PRECISION = {OUTDOORS: 0.97, INDOORS: 0.92, CHILD: 0.95, SNOW: 0.95, WATER: 0.95, GRASS: 0.95, BIKE: 0.95}
"""Share of the photos above a threshold that must be right: of which a caption speaks of the concept, or whose setting
is the expert's [O]. What no caption mentions may be there all the same; but three photos of four are outdoors
anyway, and rooms are rare."""
LEAST_SAID = 25
"""A threshold that fewer photos pass is chance [O]."""
BATCH = 16


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Concepts that a tower can tell, as one linear map of its pooled features.

    Args:
        words: The concepts, by name.
        thresholds: From which logit on each is said.
        weight: (words, features).
        bias: (words,).
    """

    words: tuple[str, ...]
    thresholds: tuple[float, ...]
    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Return how sure each concept is (N, words) for pooled features (N, features)."""
        logits: Floats = features @ self.weight.T + self.bias
        return logits


def fit_lexicon(model: NanoForConditionalGeneration, records: Sequence[Record]) -> Lexicon:
    """Look at photos and learn which words the model's tower can tell.

    Args:
        model: The trained model.
        records: Photos with human captions or an expert's setting; the held-back tenth of the experts' is left out.

    Raises:
        ShotcropError: There is nothing to learn from.
    """
    usable = [one for one in records if (one.captions or _setting(one) is not None) and not _held(one)]
    if len(usable) < FOLDS * LEAST_SAID:
        raise ShotcropError(
            f"a lexicon needs {FOLDS * LEAST_SAID} captioned photos and got {len(usable)}",
            hint="name datasets whose photos have captions",
        )
    return learn(usable, pool(model, usable))


@torch.inference_mode()
def pool(model: NanoForConditionalGeneration, records: Sequence[Record]) -> Floats:
    """Return the tower's pooled features of photos (N, features)."""
    side, rows = model.config.image_size, []
    for start in range(0, len(records), BATCH):
        images = [squash(load_pixels(one.path, side), side) for one in records[start : start + BATCH]]
        pixels = torch.from_numpy(pixel_values(np.stack([np.asarray(image) for image in images]))).to(model.device)
        rows.append(pooled(model.model.tower(pixels)).cpu().numpy())
    return np.concatenate(rows).astype(np.float64)


def learn(records: Sequence[Record], features: Floats) -> Lexicon:
    """Fit a regression per concept and set its threshold; see the module.

    Args:
        records: Photos.
        features: Their pooled features (N, features).
    """
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = (features - centre) / scale
    folds = np.array([hashlib.sha256(one.path.name.encode()).digest()[1] % FOLDS for one in records])
    words, thresholds, rows = [], [], []
    for word, (target, weight, true) in _lessons(records).items():
        known = weight > 0.0
        if not known.any():
            continue
        unseen = np.zeros(len(records))
        for fold in range(FOLDS):
            taught, asked = known & (folds != fold), folds == fold
            if taught.any():
                unseen[asked] = _with_one(x[asked]) @ _regress(x[taught], target[taught], weight[taught])
        row = _regress(x[known], target[known], weight[known])
        judged = ~np.isnan(true)
        for name, sign in ((word, 1.0),) if word != OUTDOORS else ((OUTDOORS, 1.0), (INDOORS, -1.0)):
            right = true[judged] if sign > 0 else 1.0 - true[judged]
            limit = threshold(sign * unseen[judged], right, PRECISION[name])
            if limit is not None:
                words.append(name)
                thresholds.append(limit)
                rows.append(sign * row)
    if not words:
        return Lexicon((), (), np.zeros((0, features.shape[1])), np.zeros(0))
    table = np.stack(rows)
    weights = table[:, :-1] / scale
    return Lexicon(tuple(words), tuple(thresholds), weights, table[:, -1] - weights @ centre)


def threshold(scores: Floats, right: Floats, precision: float) -> float | None:
    """Return the lowest score from which on enough are right; None when fewer than `LEAST_SAID` would be said.

    Args:
        scores: Of photos (N,).
        right: 1 where the concept is true, else 0.
        precision: Which share must be right.
    """
    order = np.argsort(-scores, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((shares >= precision) & (np.arange(len(order)) >= LEAST_SAID - 1))
    return float(scores[order[enough[-1]]]) if len(enough) else None


def _lessons(records: Sequence[Record]) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return for each concept what to learn (N,), with which weight, and what counts as true (NaN: unknown)."""
    told = np.array([float(bool(one.captions)) for one in records])
    lessons = {}
    for word, pattern in CONCEPTS.items():
        share = _shares(records, pattern)
        lessons[word] = (share, told, np.where(told > 0.0, (share > 0.0).astype(float), np.nan))
    outside, inside = _shares(records, _OUTDOOR_WORDS), _shares(records, _INDOOR_WORDS)
    expert = np.array([np.nan if (one := _setting(record)) is None else float(one == "outdoor") for record in records])
    # Two captions of five agree and none says otherwise.
    hint = np.where((outside >= 0.4) & (inside == 0.0), 1.0, np.where((inside >= 0.4) & (outside < 0.4), 0.0, np.nan))
    target = np.where(np.isnan(expert), np.nan_to_num(hint), np.nan_to_num(expert))
    weight = np.where(np.isnan(expert), np.where(np.isnan(hint), 0.0, WEAK), 1.0)
    return {OUTDOORS: (target, weight, expert), **lessons}


def _shares(records: Sequence[Record], pattern: str) -> Floats:
    """Return which share of each photo's captions has a word of the pattern (N,)."""
    found = re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)
    return np.array(
        [sum(bool(found.search(text)) for text in one.captions) / max(len(one.captions), 1) for one in records]
    )


def _regress(x: Floats, target: Floats, weight: Floats) -> Floats:
    """Return the coefficients, the constant last, of a logistic regression with a ridge on all but the constant."""
    inputs, wanted, share = (torch.from_numpy(one) for one in (_with_one(x), target, weight / weight.sum()))
    row = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([row], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        errors = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ row, wanted, reduction="none")
        value: torch.Tensor = (share * errors).sum() + RIDGE * row[:-1].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    coefficients: Floats = row.detach().numpy()
    return coefficients


def _with_one(x: Floats) -> Floats:
    return np.concatenate((x, np.ones((len(x), 1))), axis=1)


def _setting(record: Record) -> str | None:
    grounding = record.composition.grounding if record.composition is not None else None
    return grounding.setting if grounding is not None else None


def _held(record: Record) -> bool:
    return record.composition is not None and held_back(record)
