"""Whether rejected crops could teach the score: a logistic correction of it from simulated rejections.

    python -m benchmarks.quality.rejections DATA --markdown docs/learning.md

A simulated person rejects crops that reach less than an IoU of 0.5 with the expert's. They judge photos of `train`. The
correction has a slope for the score and an offset for each shot, and a ridge that keeps it at the score as it is. It is
measured on all photos of `dev`: how well it ranks rejected crops, and photos with one by their worst crop, as the
review list does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Figures, add_markdown, publish
from benchmarks.quality.styles import EVERY, Seen, crops, look
from shotcrop_cli.learning.lessons import iou
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.manifest import Style
from shotcrop_cli.model.nano.scene import Floats, Mask
from shotcrop_cli.shots import SHOT_TYPES

COUNTS, PEOPLE, RESAMPLES = (20, 50, 200), 20, 2000
REJECTED_BELOW = 0.5
RIDGE, STEPS = 1.0, 30
SHOTS = len(SHOT_TYPES)


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores (n, 3) as log odds of being rejected, and which crops the person rejects."""

    odds: Floats
    rejected: Mask


def judge(photos: Sequence[Seen], composer: NanoComposer) -> Judged:
    """Crop photos, and reject what is far from the expert's."""
    boxes = crops(photos, Style(), composer.manifest.refinement)
    scores = [
        [composer.manifest.score.score(float(one), seen.proposal.certainty) for one in expected]
        for seen in photos
        for expected in [seen.proposal.expected_iou[seen.proposal.main]]
    ]
    chances = np.clip(scores, 1e-3, 1 - 1e-3)
    return Judged(
        np.log((1 - chances) / chances), iou(boxes, np.stack([seen.triple for seen in photos])) < REJECTED_BELOW
    )


def inputs(odds: Floats) -> Floats:
    """Return the inputs (n * 3, 4) of the correction: which shot it is, and the score."""
    shots = np.tile(np.eye(SHOTS), (len(odds), 1))
    return np.concatenate([shots, odds.reshape(-1, 1)], 1)


def fit(judged: Judged) -> Floats:
    """Return the weights (4,) of the correction, by Newton's method."""
    x, y = inputs(judged.odds), judged.rejected.ravel().astype(float)
    start = np.array([0.0] * SHOTS + [1.0])
    weights = start
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (chance - y) + RIDGE * (weights - start)
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(curve, slope)
    return weights


def ranking(values: Floats, wanted: Mask) -> float:
    """Return how often a wanted one has a higher value than another: the area under the ROC curve."""
    order = np.argsort(np.argsort(values))
    count = int(wanted.sum())
    if not 0 < count < len(wanted):
        return float("nan")
    return float((order[wanted].mean() - (count - 1) / 2) / (len(wanted) - count))


def rankings(odds: Floats, rejected: Mask) -> tuple[float, float]:
    """Return how well crops are ranked, and photos by their worst crop."""
    return ranking(odds.ravel(), rejected.ravel()), ranking(odds.max(1), rejected.any(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with train and dev")
    add_markdown(parser)
    arguments = parser.parse_args()
    composer = load_composer(find_model(), "cpu")
    assert isinstance(composer, NanoComposer)
    train = judge(list(look(arguments.data / "train", composer, EVERY)), composer)
    dev = judge(list(look(arguments.data / "dev", composer)), composer)
    before = rankings(dev.odds, dev.rejected)
    rng = np.random.default_rng(0)
    rows = [("the score as it is", "", f"{before[0]:.3f}", "", f"{before[1]:.3f}", "")]
    for count in COUNTS:
        learned = []
        for _ in range(PEOPLE):
            chosen = rng.permutation(len(train.odds))[:count]
            weights = fit(Judged(train.odds[chosen], train.rejected[chosen]))
            learned.append((inputs(dev.odds) @ weights).reshape(-1, SHOTS))
        after = np.mean([rankings(odds, dev.rejected) for odds in learned], 0)
        gains = []
        for number in range(RESAMPLES):
            drawn = rng.integers(0, len(dev.odds), len(dev.odds))
            old = rankings(dev.odds[drawn], dev.rejected[drawn])
            new = rankings(learned[number % PEOPLE][drawn], dev.rejected[drawn])
            gains.append(np.subtract(new, old))
        low, high = np.nanpercentile(gains, [2.5, 97.5], axis=0)
        cells = [(f"{after[which]:.3f}", f"{low[which]:+.3f} to {high[which]:+.3f}") for which in range(2)]
        rows.append(("corrected", str(count), *cells[0], *cells[1]))
    photos = int(dev.rejected.any(1).sum())
    note = (
        f"On {len(dev.odds)} photos of `dev` with {int(dev.rejected.sum())} rejected crops in {photos} photos; means "
        f"of {PEOPLE} simulated people. `python -m benchmarks.quality.rejections DATA` measures it again."
    )
    headings = ("score", "judged photos", "crops", "95 % interval of the gain", "photos", "95 % interval of the gain")
    title = "How often a rejected crop, or a photo with one, ranks below another (area under the ROC curve)"
    publish("rejections", [Figures(title, headings, tuple(rows), names=1)], [note], arguments.markdown)


if __name__ == "__main__":
    main()
