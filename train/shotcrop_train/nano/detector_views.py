"""Views of photos for training the detector: decoded once, then cropped, padded, mirrored and degraded at random.

All boxes and points are in 0..1 of the view. Photos are squashed to squares, as at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from shotcrop_cli.model.nano.decoding import Kind
from shotcrop_cli.model.nano.scene import MIRRORED_JOINTS, MIRRORED_LANDMARKS, Floats, mirror_boxes
from shotcrop_cli.shots import FACINGS
from shotcrop_train.nano.detector_labels import LabelledPhoto, Labels

Pixels = NDArray[np.uint8]

STORED_SIDES = (224, 384)
"""Photos are stored squashed to the first side if they are no larger, else to the second."""
CROP, PAD = 0.45, 0.2
"""Shares of views that are crops, and that are padded."""
SMALLEST_CROP, LARGEST_PAD = 0.45, 1.5
LOW_RESOLUTION, LOW_SIDES = 0.12, (90, 180)
"""Share of views that are first reduced to few pixels, and to how many."""
GREY = 0.12
VISIBLE, VISIBLE_BODY, VISIBLE_FACE = 0.45, 0.3, 0.5
"""Least share of an object, a body and a face that a view has to show so that it is still one."""
CERTAIN = 0.8


@dataclass(frozen=True, eq=False)
class View:
    """A view of a photo: pixels (S, S, 3) and its labels."""

    pixels: Pixels
    labels: Labels


class PhotoStore:
    """Decoded photos in memory-mapped files that are made once.

    Args:
        folder: Where the files are kept.
        photos: The photos; their order is that of `pixels`.
    """

    def __init__(self, folder: Path, photos: Sequence[LabelledPhoto]) -> None:
        self.photos = photos
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"photos-{STORED_SIDES[1]}.npy"
        sides = folder / "sides.npy"
        if not sides.exists() or len(np.load(sides)) != len(photos):
            self._fill(path, sides)
        self.stored, self.sides = np.load(path, mmap_mode="r"), np.load(sides)

    def pixels(self, index: int) -> Pixels:
        """Return a photo's pixels (side, side, 3)."""
        side = int(self.sides[index])
        flat: Pixels = self.stored[index, : side * side * 3]
        return flat.reshape(side, side, 3)

    def _fill(self, path: Path, sides: Path) -> None:
        most = STORED_SIDES[1]
        stored = np.lib.format.open_memmap(path, "w+", np.uint8, (len(self.photos), most * most * 3))
        chosen = []
        for index, one in enumerate(self.photos):
            with Image.open(one.path) as photo:
                side = STORED_SIDES[0] if min(photo.size) <= STORED_SIDES[0] else most
                small = photo.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
            stored[index, : side * side * 3] = np.asarray(small).reshape(-1)
            chosen.append(side)
        stored.flush()
        np.save(sides, np.array(chosen))


def random_view(pixels: Pixels, labels: Labels, side: int, rng: np.random.Generator) -> View:
    """Return a random view of a photo.

    Args:
        pixels: The whole photo (any, any, 3).
        labels: In 0..1 of the photo.
        side: Side of the view in pixels.
        rng: Source of chance.
    """
    mirrored, window = bool(rng.random() < 0.5), _random_window(rng)
    image = Image.fromarray(pixels)
    if rng.random() < LOW_RESOLUTION:
        low = int(rng.integers(*LOW_SIDES))
        image = image.resize((low, low), Image.Resampling.BILINEAR)
    resampling = Image.Resampling.BILINEAR if rng.random() < 0.7 else Image.Resampling.BICUBIC
    x0, y0, x1, y1 = window
    if x0 < 0 or y0 < 0 or x1 > 1 or y1 > 1:
        shade = tuple(map(int, rng.integers(0, 256, 3))) if rng.random() < 0.5 else (127, 127, 127)
        canvas = Image.new("RGB", (side, side), shade)
        inner = max(1, round(side / (x1 - x0))), max(1, round(side / (y1 - y0)))
        corner = round(-x0 / (x1 - x0) * side), round(-y0 / (y1 - y0) * side)
        canvas.paste(image.resize(inner, resampling), corner)
        image = canvas
    else:
        w, h = image.size
        image = image.resize((side, side), resampling, box=(x0 * w, y0 * h, x1 * w, y1 * h))
    view = np.asarray(image)
    return View(np.ascontiguousarray(view[:, ::-1] if mirrored else view), move_labels(labels, window, mirrored))


def whole_view(pixels: Pixels, labels: Labels, side: int) -> View:
    """Return the whole photo at (side, side, 3)."""
    return View(np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)), labels)


def move_labels(labels: Labels, window: tuple[float, float, float, float], mirrored: bool) -> Labels:
    """Return the labels of a view.

    Boxes are clipped to the view. An object of which too little remains is dropped, and detecting its rest is no fault.

    Args:
        labels: In 0..1 of the photo.
        window: The view's corners x0, y0, x1, y1 in the photo; they may be outside of it.
        mirrored: Whether the view is mirrored afterwards.
    """
    corner = np.array(window[:2], np.float32)
    size = np.array([window[2] - window[0], window[3] - window[1]], np.float32)

    def move_points(points: Floats) -> Floats:
        moved: Floats = ((points - corner) / size).astype(np.float32)
        if mirrored:
            moved[..., 0] = 1 - moved[..., 0]
        return moved

    def move_boxes(boxes: Floats) -> Floats:
        moved = ((boxes - np.tile(corner, 2)) / np.tile(size, 2)).astype(np.float32)
        return mirror_boxes(moved) if mirrored else moved

    boxes = move_boxes(labels.boxes)
    clipped = boxes.clip(0, 1)
    seen = _area(clipped) / np.maximum(_area(boxes), 1e-9)
    keep = (seen > np.where(labels.kinds == Kind.BODY, VISIBLE_BODY, VISIBLE)) & (_area(clipped) > 2e-5)
    rest = ~keep & (seen > 0.05)
    faces = move_boxes(labels.faces)
    face_seen = _area(faces.clip(0, 1)) / np.maximum(_area(faces), 1e-9)
    joints = np.concatenate([move_points(labels.joints[..., :2]), labels.joints[..., 2:]], -1)
    landmarks = move_points(labels.landmarks)
    if mirrored:
        joints, landmarks = joints[:, MIRRORED_JOINTS], landmarks[:, MIRRORED_LANDMARKS]
    outside = ((joints[..., :2] < -0.01) | (joints[..., :2] > 1.01)).any(-1)
    joints[..., 2] = np.where(outside, 0, joints[..., 2])
    people = labels.people
    if people == 1 and not (keep & (labels.kinds <= Kind.HEAD) & (labels.scores > CERTAIN)).any():
        people = float("nan")
    return replace(
        labels,
        boxes=clipped[keep],
        kinds=labels.kinds[keep],
        scores=labels.scores[keep],
        faces=np.where(face_seen[:, None] > VISIBLE_FACE, faces.clip(0, 1), np.nan)[keep],
        landmarks=landmarks[keep],
        bodies=move_boxes(labels.bodies).clip(0, 1)[keep],
        joints=joints[keep],
        ignored=np.concatenate([move_boxes(labels.ignored).clip(0, 1), clipped[rest]]),
        people=people,
        facing=_mirror_facing(labels.facing) if mirrored else labels.facing,
    )


def disturb_colours(pixels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast, saturation and tint of photos (N, 3, S, S) in -1..1; some become grey."""
    n = len(pixels)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=rng)

    saturation = draw(n, 1, 1, 1) * 0.9 + 0.4
    saturation[draw(n) < GREY] = 0
    grey, mean = pixels.mean(1, keepdim=True), pixels.mean((1, 2, 3), keepdim=True)
    changed = grey + (pixels - grey) * saturation
    changed = (changed - mean) * (draw(n, 1, 1, 1) * 0.7 + 0.6) + mean + (draw(n, 1, 1, 1) - 0.5) * 0.5
    return (changed * (1 + (draw(n, 3, 1, 1) - 0.5) * 0.12)).clamp(-1, 1)


def _random_window(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return a view's corners: a crop, the photo with a border, or the whole photo."""
    choice = rng.random()
    if choice < CROP:
        w = rng.uniform(SMALLEST_CROP, 1)
        h = float(np.clip(w * np.exp(rng.normal(0, 0.2)), 0.4, 1))
        x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
    elif choice < CROP + PAD:
        w, h = rng.uniform(1, LARGEST_PAD), rng.uniform(1, LARGEST_PAD)
        x, y = -rng.uniform(0, w - 1), -rng.uniform(0, h - 1)
    else:
        return 0.0, 0.0, 1.0, 1.0
    return x, y, x + w, y + h


def _mirror_facing(facing: int) -> int:
    if facing < 0:
        return facing
    return FACINGS.index({"left": "right", "right": "left"}.get(FACINGS[facing], FACINGS[facing]))


def _area(boxes: Floats) -> Floats:
    sides = (boxes[..., 2:] - boxes[..., :2]).clip(0)
    result: Floats = sides[..., 0] * sides[..., 1]
    return result
