"""Stand-in criterion `agreement`: agreement with the other proposers. Our own choice.

Each proposer makes mistakes of its own, so a box that others share is probably right. Two different boxes agree with
each other equally, so this criterion needs three proposers, or two whose boxes are merged.
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
