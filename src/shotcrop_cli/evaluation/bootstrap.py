"""The names of all metrics, and their means with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.shots import SHOT_TYPES, ShotType

ACCURACY_THRESHOLDS = (0.5, 0.7, 0.75, 0.85)
NESTED = 0.9
"""A shot is nested in the next wider one when this share of it is inside."""
DISTINCT = 0.85
"""Two shots with this IoU or more are not distinct."""
HIT = 0.5
"""A triple hit: all three shots reach this IoU."""
RESAMPLES = 1000
"""Bootstrap resamples; enough for two digits of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's name and its meaning."""

    name: str
    meaning: str


MEASURES: tuple[Measure, ...] = (
    Measure("iou", "intersection over union with the expert's box"),
    *(Measure(f"acc@{t:g}", f"share of shots with IoU >= {t:g}") for t in ACCURACY_THRESHOLDS),
    Measure("bde", "boundary displacement: mean distance of the four sides, in photo sides (lower is better)"),
    Measure("gain", "IoU minus the baseline's IoU on the same photo"),
    Measure("complete", "share of photos with three readable shots"),
    Measure("area_order", "share with establishing > medium > close-up in area"),
    Measure("nesting", f"share where {NESTED:.0%} of each shot is inside the next wider one"),
    Measure("distinct", f"share where no two shots reach IoU {DISTINCT:g}"),
    Measure("triple_hit", f"share where all three shots reach IoU {HIT:g}"),
    Measure("head_scale", "share with face height / crop height in the shot's band"),
    Measure("headroom", "share with the gap above the hair in the shot's band"),
    Measure("eye_line", "share with the eyes at the height of the shot's band"),
    Measure("lead_room", "share with about two thirds of the free width in front of a turned face"),
    Measure("face_inside", "share of close-ups that hold the main person's whole face"),
    Measure("joint_cut", "share with an edge through a joint of the main person (lower is better)"),
    Measure("chin_cut", "share with the lower edge through the main person's face (lower is better)"),
    Measure("caption_retrieval", "share of captions that fit their own box best of the three (chance: .333)"),
    Measure("no_subject_precision", "share of photos reported as without people that are"),
    Measure("no_subject_recall", "share of photos without people that are reported as such"),
    Measure("no_subject_false_alarm", "share of photos with people reported as without (lower is better)"),
)
"""Every metric, in printing order."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A mean over photos with its bootstrap interval.

    Args:
        name: One of `MEASURES`.
        shot: The shot it concerns, or None for the mean over the shots and for metrics of the whole set.
        value: The mean.
        low: 2.5th percentile of the resampled means.
        high: 97.5th percentile.
        n: Number of photos it was measured on.
    """

    name: str
    shot: ShotType | None
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Scores:
    """All metrics of one evaluation, in the order of `MEASURES`, shots widest first and their mean last."""

    metrics: tuple[Metric, ...]

    def get(self, name: str, shot: ShotType | None = None) -> Metric | None:
        """Return one metric, or None when it could not be measured on any photo."""
        return next((metric for metric in self.metrics if (metric.name, metric.shot) == (name, shot)), None)

    def value(self, name: str, shot: ShotType | None = None) -> float:
        """Return one metric's value.

        Raises:
            KeyError: It could not be measured on any photo, or there is no such metric.
        """
        metric = self.get(name, shot)
        if metric is None:
            raise KeyError(name if shot is None else f"{name} of {shot}")
        return metric.value


PhotoValues = Mapping[tuple[str, "ShotType | None"], float]
"""One photo's value for each metric and shot; a metric that cannot be measured on the photo is absent."""


def summarise(photos: Sequence[PhotoValues], *, resamples: int = RESAMPLES, seed: int = 0) -> Scores:
    """Average over photos, with percentile bootstrap intervals from resampling whole photos.

    Args:
        photos: One entry per photo.
        resamples: How many times the photos are drawn with replacement.
        seed: Seed of the draws, so that equal values give equal intervals.
    """
    draws = np.random.default_rng(seed).integers(len(photos), size=(resamples, len(photos))) if photos else None
    metrics = []
    for measure in MEASURES:
        for shot in (*SHOT_TYPES, None):
            values = np.array([photo.get((measure.name, shot), np.nan) for photo in photos], dtype=np.float64)
            known = ~np.isnan(values)
            if draws is None or not known.any():
                continue
            low, high = _interval(values, known, draws)
            mean = float(values[known].mean())
            metrics.append(Metric(measure.name, shot, mean, low, high, int(known.sum())))
    return Scores(tuple(metrics))


def _interval(values: NDArray[np.float64], known: NDArray[np.bool_], draws: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean; a resample that drew no known value does not count."""
    counts = known[draws].sum(axis=1)
    sums = np.where(known, values, 0.0)[draws].sum(axis=1)
    low, high = np.percentile(sums[counts > 0] / counts[counts > 0], [2.5, 97.5])
    return float(low), float(high)
