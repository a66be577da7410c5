"""Scorers: what judges a proposed crop, each behind one small interface.

A scorer gives a raw figure, the higher the better; `decision.Calibration` brings it to 0..1. The three criteria of the
paper [S] are `mllm`, `clip` and `aesthetic`. `craft` and `agreement` are stand-ins [O] for the compact model, where
no weights of the three are at hand; a recipe that names them says that they are stand-ins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.shots import Box, Shot

SCORERS = ("mllm", "clip", "aesthetic", "craft", "agreement")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as models see it.

    Args:
        image: The upright photo in mode RGB, at any size; squashed where its dataset squashed it.
        aspect: True width / height of the photo, guessed where it was squashed.
        detections: What detectors found in it.
    """

    image: Image.Image
    aspect: float
    detections: Detections = field(default_factory=Detections)

    def cut(self, box: Box) -> Image.Image:
        """Return the pixels in a box, in their true shape."""
        crop = self.image.crop(to_pixels(box, *self.image.size).corners)
        width = round(crop.width * self.aspect * self.image.height / self.image.width)
        # Rounding to whole pixels alone moves the aspect of a photo that was never squashed by far less.
        squashed = abs(width - crop.width) > 0.02 * crop.width
        return crop.resize((max(1, width), crop.height)) if squashed else crop


@dataclass(frozen=True, slots=True)
class Judged:
    """A crop to judge.

    Args:
        photo: Where it is cut from.
        shot: What it is meant to be.
        rivals: Boxes of the other proposers for the same shot.
    """

    photo: Photo
    shot: Shot
    rivals: tuple[Box, ...] = ()


class Scorer(Protocol):
    """Judges crops by one criterion."""

    @property
    def name(self) -> str:
        """One of `SCORERS`."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether the raw figure is mapped between percentiles of expert crops; else it is 0..1 by itself."""
        ...

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return a raw figure for each crop, None where there is nothing to judge it by."""
        ...


@dataclass(frozen=True)
class ScorerRecipe:
    """Which weights the scorers use: local folders or hub ids.

    Args:
        mllm: The judge, any image-text-to-text model of transformers.
        max_pixels: Crops are shrunk to this many pixels before the judge sees them.
        clip: A CLIP or SigLIP model for crop and caption.
        aesthetic_clip: The CLIP model that the aesthetic head was trained on.
        aesthetic_head: File of the head's weights, .safetensors or .pth; LAION's linear and MLP heads load as they are.
        aesthetic_activation: What the head has between its layers: `none` as LAION's "linearMSE" heads, or `relu`.
        batch_size: Crops that a model sees at a time.
    """

    mllm: str = "Qwen/Qwen3-VL-4B-Instruct"
    max_pixels: int = 1_048_576
    clip: str = "openai/clip-vit-large-patch14"
    aesthetic_clip: str = "openai/clip-vit-large-patch14"
    aesthetic_head: str = "sac+logos+ava1-l14-linearMSE.pth"
    aesthetic_activation: str = "none"
    batch_size: int = 16


def load_scorers(names: Sequence[str], settings: ScorerRecipe, *, offline: bool = False) -> list[Scorer]:
    """Load scorers by name. No criterion is ever dropped: what cannot be loaded ends the run.

    Args:
        names: Some of `SCORERS`.
        settings: Which weights they use.
        offline: Whether only what is on this machine counts.

    Raises:
        ShotcropError: There is no such scorer, or its weights are absent; the message says what to get.
    """
    return [_load(name, settings, offline) for name in names]


def _load(name: str, settings: ScorerRecipe, offline: bool) -> Scorer:
    # Each criterion brings its own heavy libraries; only the named ones are loaded.
    if name == "mllm":
        from shotcrop_train.scorers.mllm import load_mllm

        return load_mllm(settings, offline=offline)
    if name == "clip":
        from shotcrop_train.scorers.clip import ClipScorer, load_clip

        return ClipScorer(load_clip(settings.clip, offline=offline), settings.batch_size)
    if name == "aesthetic":
        from shotcrop_train.scorers.aesthetic import load_aesthetic

        return load_aesthetic(settings, offline=offline)
    if name == "craft":
        from shotcrop_train.scorers.composition import CraftScorer

        return CraftScorer()
    if name == "agreement":
        from shotcrop_train.scorers.agreement import AgreementScorer

        return AgreementScorer()
    raise ShotcropError(f"no scorer '{name}'", hint=f"use some of: {', '.join(SCORERS)}")
