"""Photos of the compact model's training that nobody has to detect in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from figures import Figure, scene_of
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_train.composer.photo_scenes import SeenPhoto
from shotcrop_train.nano.detector_labels import LabelledPhoto, Labels


def no_labels() -> Labels:
    """Return labels of a photo in which nothing is."""
    boxes = np.zeros((0, 4), np.float32)
    joints, landmarks = np.zeros((0, 12, 3), np.float32), np.zeros((0, 5, 2), np.float32)
    kinds, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
    return Labels(boxes, kinds, scores, boxes, landmarks, boxes, joints, boxes)


def triple_around(figure: Figure, aspect: float = 1.5) -> Floats:
    """Return a triple around a figure: everything, down to the waist, head and shoulders."""
    w, h, x, y = figure.head / aspect, figure.head, figure.x, figure.y
    close = [x - 1.2 * w, y - 0.3 * h, x + 1.2 * w, y + 1.6 * h]
    medium = [x - 2.4 * w, y - 0.4 * h, x + 2.4 * w, y + 4 * h]
    return np.array([[0.05, 0.0, 0.95, 1.0], medium, close], np.float32)


def seen_photo(name: str = "a.jpg", figure: Figure | None = None, tag: float = 3.0) -> SeenPhoto:
    """Return a photo of a figure with an expert's triple; detector and teachers see the same."""
    one = figure or Figure(0.4, 0.2, 0.1)
    scene = scene_of(one)
    photo = LabelledPhoto(Path(name), 1.5, no_labels(), triple_around(one))
    return SeenPhoto(photo, (scene,), scene, np.array([tag, *[0.0] * 8], np.float32))


def empty_photo(name: str, tag: float = -3.0) -> SeenPhoto:
    """Return a photo in which nobody is seen."""
    nobody = scene_of(Figure(0.4, 0.2, 0.1)).select(np.zeros(0, np.int64))
    return SeenPhoto(LabelledPhoto(Path(name), 1.5, no_labels(), None), (nobody,), nobody, np.array([tag, *[0.0] * 8]))
