"""Augment samples with flips, crops, new aspects and colour. Every box moves with its photo."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance

from shotcrop_cli.geometry import clamp, flip, relative_to, to_pixels, union, visible_share
from shotcrop_cli.shots import FULL_FRAME, Box, Reasoning
from shotcrop_train.data.samples import Sample

MIRRORED = {"left": "right", "right": "left"}
_SIDES = re.compile(r"\b(left|right)(?=\b|ward|most|hand)", re.IGNORECASE)


@dataclass(frozen=True)
class Augmentation:
    """How strongly samples are varied. Values are probabilities unless documented otherwise. Our own choice."""

    flip: float = 0.5
    crop: float = 0.7
    smallest_crop: float = 0.55
    """Shortest side of a crop as a share of the photo's."""
    colour: float = 0.5
    gray: float = 0.05


def augment(
    sample: Sample,
    image: Image.Image,
    settings: Augmentation,
    rng: np.random.Generator,
    accepts: Callable[[Sample], bool] = lambda _: True,
) -> tuple[Sample, Image.Image]:
    """Vary a sample and its photo in the same way.

    Args:
        sample: The sample.
        image: The whole photo. Scale and shape are kept.
        settings: How strongly to vary.
        rng: Random generator.
        accepts: Returns whether a cropped sample still has enough targets; if not, the photo stays whole.

    Returns:
        The sample in the coordinates of the returned image, and the image, mode RGB.
    """
    frame = FULL_FRAME
    if rng.random() < settings.crop:
        drawn = draw_frame(sample, settings.smallest_crop, rng)
        tighter = cropped(sample, drawn)
        if accepts(tighter):
            sample, frame = tighter, drawn
    region = (
        frame.x0 * image.width,
        frame.y0 * image.height,
        frame.x1 * image.width,
        frame.y1 * image.height,
    )
    shape = to_pixels(frame, *image.size)
    image = image.resize((shape.width, shape.height), Image.Resampling.BILINEAR, box=region, reducing_gap=2.0)
    if rng.random() < settings.flip:
        sample, image = mirrored(sample), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return sample, _recoloured(image, settings, rng)


def draw_frame(sample: Sample, smallest: float, rng: np.random.Generator) -> Box:
    """Draw a crop of the photo, of any shape, that contains the whole close-up and head if these are known."""
    width, height = rng.uniform(smallest, 1.0, size=2)
    kept = [shot.box for shot in sample.shots[-1:] if shot.box is not None]
    kept += [sample.grounding.head] if sample.grounding.head is not None else []
    core = kept[0] if kept else None
    for box in kept[1:]:
        core = union(core, box) if core is not None else box
    if core is None:
        x0, y0 = rng.uniform(0.0, 1.0 - width), rng.uniform(0.0, 1.0 - height)
        return clamp(x0, y0, x0 + width, y0 + height)
    width, height = max(width, core.width), max(height, core.height)
    x0 = _between(max(0.0, core.x1 - width), min(core.x0, 1.0 - width), rng)
    y0 = _between(max(0.0, core.y1 - height), min(core.y0, 1.0 - height), rng)
    return clamp(x0, y0, x0 + width, y0 + height)


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Draw uniformly from a range that rounding may have made slightly negative."""
    return low + rng.random() * max(high - low, 0.0)


def cropped(sample: Sample, frame: Box) -> Sample:
    """Express a sample in a crop of its photo and drop what the crop no longer shows.

    A box that the frame cuts is clipped and kept while most of it is visible, since the wide shots of a tighter photo
    end where that photo ends. A close-up or a head is kept only if it is (nearly) whole. Scale, number of people and
    the main person's position change with the frame.
    """
    grounding, keep = sample.grounding, frame.area
    if grounding.people == 0:
        return replace(sample, aspect=_aspect(sample, frame))

    def seen(box: Box | None, share: float) -> Box | None:
        return relative_to(box, frame) if box is not None and visible_share(box, frame) >= share else None

    shots = []
    for target, share in zip(sample.shots, (0.5, 0.88, 0.97), strict=True):
        box = seen(target.box, share)
        whole = box is not None or (target.box is None and keep > 0.7)
        shots.append(replace(target, box=box, captions=target.captions if whole else ()))
    return replace(
        sample,
        aspect=_aspect(sample, frame),
        grounding=replace(
            grounding,
            main_person=seen(grounding.main_person, 0.25),
            head=seen(grounding.head, 0.95),
            people=grounding.people if keep > 0.8 or grounding.people == 1 else None,
            native_scale=grounding.native_scale if frame.height > 0.85 else None,
        ),
        shots=tuple(shots),
        reasoning=sample.reasoning if keep > 0.8 else replace(sample.reasoning, subject=""),
    )


def _aspect(sample: Sample, frame: Box) -> float | None:
    return None if sample.aspect is None else sample.aspect * frame.width / frame.height


def mirrored(sample: Sample) -> Sample:
    """Mirror a sample left to right: boxes, facing and the words left and right."""

    def box(one: Box | None) -> Box | None:
        return None if one is None else flip(one)

    grounding, reasoning = sample.grounding, sample.reasoning
    return replace(
        sample,
        grounding=replace(
            grounding,
            main_person=box(grounding.main_person),
            head=box(grounding.head),
            facing=MIRRORED.get(grounding.facing or "", grounding.facing),
        ),
        shots=tuple(
            replace(shot, box=box(shot.box), captions=tuple(map(swap_sides, shot.captions))) for shot in sample.shots
        ),
        reasoning=Reasoning(*map(swap_sides, (reasoning.scene, reasoning.subject, reasoning.story))),
    )


def swap_sides(text: str) -> str:
    """Swap the words left and right, alone or in leftward, right-hand and the like, keeping their capitals."""

    def swap(match: re.Match[str]) -> str:
        word = match.group()
        other = MIRRORED[word.lower()]
        return other.capitalize() if word[0].isupper() else other

    return _SIDES.sub(swap, text)


def _recoloured(image: Image.Image, settings: Augmentation, rng: np.random.Generator) -> Image.Image:
    if rng.random() < settings.gray:
        return image.convert("L").convert("RGB")
    if rng.random() < settings.colour:
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(rng.uniform(0.7, 1.35))
    return image
