from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from shotcrop_cli.shots import Box, Grounding, Reasoning
from shotcrop_train.data.augmentation import Augmentation, augment, cropped, mirrored, swap_sides
from shotcrop_train.data.samples import Sample, ShotTarget
from training import NO_AUGMENTATION

HEAD = Box(0.4, 0.2, 0.5, 0.35)
SAMPLE = Sample(
    path=Path("photo.jpg"),
    aspect=1.5,
    grounding=Grounding(Box(0.3, 0.15, 0.6, 0.9), HEAD, 2, "outdoor", "left", "full"),
    shots=(
        ShotTarget(Box(0.0, 0.0, 1.0, 1.0), ("a street",)),
        ShotTarget(Box(0.25, 0.1, 0.65, 0.7), ("a man on the left looks right",)),
        ShotTarget(HEAD, ("his face",), 0.5),
    ),
    reasoning=Reasoning("A street.", "A man on the left, facing right.", "He turns left."),
)


def marked_photo() -> Image.Image:
    """A black photo whose close-up is filled with red."""
    image = Image.new("RGB", (300, 200))
    ImageDraw.Draw(image).rectangle([120, 40, 149, 69], fill=(255, 0, 0))
    return image


@pytest.mark.parametrize("seed", range(20))
def test_boxes_move_with_the_picture(seed: int) -> None:
    settings = Augmentation(flip=0.5, crop=1.0, colour=0.0, gray=0.0)
    sample, image = augment(SAMPLE, marked_photo(), settings, np.random.default_rng(seed))
    assert image.width <= 300 and image.height <= 200
    assert sample.aspect == pytest.approx(image.width / image.height, rel=0.02)
    box = sample.shots[2].box
    assert box is not None
    red = np.asarray(image)[:, :, 0] > 127
    rows, columns = np.where(red)
    width, height = image.size
    found = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
    assert all(abs(a - b) < 0.02 for a, b in zip(found, box, strict=True))


def test_mirroring_twice_changes_nothing() -> None:
    again = mirrored(mirrored(SAMPLE))
    for one, other in zip(again.shots, SAMPLE.shots, strict=True):
        assert one.captions == other.captions
        assert one.box is not None and other.box is not None
        assert tuple(one.box) == pytest.approx(tuple(other.box))
        assert one.weight == other.weight
    assert again.grounding.facing == "left"
    assert again.reasoning == SAMPLE.reasoning


def test_mirroring_swaps_sides_in_the_reasoning() -> None:
    assert mirrored(SAMPLE).reasoning == Reasoning("A street.", "A man on the right, facing left.", "He turns right.")


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("on the left of a man", "on the right of a man"),
        ("Right-hand side", "Left-hand side"),
        ("he walks leftward", "he walks rightward"),
        ("a bright copyright", "a bright copyright"),
    ],
)
def test_mirroring_swaps_the_words_for_sides(text: str, swapped: str) -> None:
    assert swap_sides(text) == swapped


def test_cropping_drops_what_leaves_the_frame() -> None:
    without_head = cropped(SAMPLE, Box(0.45, 0.3, 1.0, 1.0))
    assert without_head.grounding.head is None
    assert without_head.shots[2] == ShotTarget(weight=0.5)
    assert without_head.shots[1] == ShotTarget()


def test_cropping_changes_the_aspect_and_forgets_the_native_scale() -> None:
    tall = cropped(SAMPLE, Box(0.3, 0.1, 0.6, 0.7))
    assert tall.aspect == pytest.approx(1.5 * 0.3 / 0.6)
    assert tall.grounding.native_scale is None
    assert tall.grounding.people is None
    # Less than half of the establishing shot is left: what to show of the place can no longer be said.
    assert tall.shots[0] == ShotTarget()
    assert tall.shots[2].box is not None and tall.shots[2].weight == 0.5
    # Where in the frame the lead is has changed; what the place is like has not.
    assert tall.reasoning == replace(SAMPLE.reasoning, subject="")


def test_a_crop_that_is_not_accepted_leaves_the_photo_whole() -> None:
    settings = Augmentation(flip=0.0, crop=1.0, smallest_crop=0.3, colour=0.0, gray=0.0)

    def complete(sample: Sample) -> bool:
        return all(shot.box is not None for shot in sample.shots)

    shapes = set()
    for seed in range(20):
        sample, image = augment(SAMPLE, marked_photo(), settings, np.random.default_rng(seed), complete)
        assert complete(sample)
        assert (sample == SAMPLE) == (image.size == (300, 200))
        shapes.add(image.size)
    assert (300, 200) in shapes and len(shapes) > 1


def test_no_augmentation_changes_nothing() -> None:
    sample, image = augment(SAMPLE, marked_photo(), NO_AUGMENTATION, np.random.default_rng(0))
    assert sample == SAMPLE
    assert image.tobytes() == marked_photo().tobytes()
