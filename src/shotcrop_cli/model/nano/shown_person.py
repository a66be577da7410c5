"""Find out whom a person's crop shows."""

from __future__ import annotations

import numpy as np

from shotcrop_cli.model.nano.candidates import MOST_PEOPLE
from shotcrop_cli.model.nano.scene import Floats, Scene


def find_person(scene: Scene, box: Floats) -> int | None:
    """Return whom of the first people a crop (4,) shows: a large, sure head near its middle; None for none of them."""
    heads = scene.head[:MOST_PEOPLE]
    centre, height = (box[:2] + box[2:]) / 2, box[3] - box[1]
    middle = (heads[:, :2] + heads[:, 2:]) / 2
    inside = (middle >= box[:2]).all(1) & (middle <= box[2:]).all(1)
    if not inside.any():
        return None
    away = np.minimum(1, (((middle - centre) * [scene.aspect, 1]) ** 2).sum(1) / height**2)
    size = np.minimum(1, (heads[:, 3] - heads[:, 1]) / height)
    worth = 1 - 0.5 * away + 0.2 * size + 0.1 * scene.head_score[: len(heads)]
    return int(np.where(inside, worth, -np.inf).argmax())
