"""Stand-in criterion `faults`: what an editor would reject in a crop, by the rules of the refinement. Our own choice.

The faults' costs are in units of IoU, so the score is 1 less the costs: a crop with faults worth .15 IoU scores .85. It
needs to know what is in the photo, and takes the teachers' detections for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shotcrop_cli.model.nano.facts import gather_facts, to_even
from shotcrop_cli.model.nano.faults import CropCosts, ShotSize
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.scene import Scene
from shotcrop_cli.model.nano.shown_person import find_person
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train.scorers import Judged


class FaultScorer:
    """Scores a crop 0..1: 1 less what its faults cost.

    Args:
        scenes: What is in each photo.
        costs: Costs of the faults.
    """

    name = "faults"
    calibrated = False

    def __init__(self, scenes: Mapping[Path, Scene], costs: FaultCosts) -> None:
        self.scenes, self.costs = scenes, costs

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return the scores, None for a crop without people; see `Scorer`."""
        return [self._score(one) for one in judged]

    def _score(self, judged: Judged) -> float | None:
        scene = self.scenes.get(judged.photo.path) if judged.photo.path is not None else None
        if scene is None:
            return None
        box = np.array([[*judged.shot.box]], np.float32)
        person = find_person(scene, box[0])
        if person is None:
            return None
        even, shot = to_even(box, scene.aspect), ShotSize(SHOT_TYPES.index(judged.shot.type))
        costs = CropCosts(gather_facts(scene, [(person,)]), shot, even, None, self.costs)
        return max(0.0, 1.0 - float(costs(even.T, np.zeros(1, np.int64))[0]))
