"""Stand-in criterion: agreement with the other proposers [O].

Proposers that err do so each in its own way, so a box that the others share is likely right. Of exactly two boxes that
differ neither can agree more than the other: it takes three proposers, or two that are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from shotcrop_cli.geometry import iou
from shotcrop_train.scorers import Judged


class AgreementScorer:
    """Scores a crop by its mean IoU with the rivals' boxes."""

    name = "agreement"
    calibrated = True

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return mean IoUs, None for a crop without rivals; see `Scorer`."""
        return [fmean(iou(one.shot.box, box) for box in one.rivals) if one.rivals else None for one in judged]
