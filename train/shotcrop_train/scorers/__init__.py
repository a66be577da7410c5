"""Scorers: they judge a proposed crop, each behind one small interface.

A scorer gives a raw figure, the higher the better; `decision.Calibration` maps it to 0..1. The three criteria of the
paper are `mllm`, `clip` and `aesthetic` (second-hand: a transcription of the paper's text). `composition` and
`agreement` are our own stand-ins for the compact model, since weights of the three were not available. So is `faults`
of `shotcrop_train.composer.fault_scorer`. A recipe that names them says that they are stand-ins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.shots import Box, Shot

SCORERS = ("mllm", "clip", "aesthetic", "composition", "agreement")

FORMER_COMPOSITION = "craft"
"""What older recipes call `composition`."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as models see it.

    Args:
        image: The upright photo in mode RGB, at any size; squashed where its dataset squashed it.
        aspect: True width / height of the photo; guessed if it was squashed.
        detections: What detectors found in the photo.
        path: Its file, None for an image in memory.
    """

    image: Image.Image
    aspect: float
    detections: Detections = field(default_factory=Detections)
    path: Path | None = None

    def crop(self, box: Box) -> Image.Image:
        """Return the pixels in a box, in their true proportions."""
        crop = self.image.crop(to_pixels(box, *self.image.size).corners)
        width = round(crop.width * self.aspect * self.image.height / self.image.width)
        # Rounding to whole pixels changes the aspect of a photo that was never squashed by far less.
        squashed = abs(width - crop.width) > 0.02 * crop.width
        return crop.resize((max(1, width), crop.height)) if squashed else crop


@dataclass(frozen=True, slots=True)
class Judged:
    """A crop to judge.

    Args:
        photo: The photo it comes from.
        shot: Box, caption and type of shot that it should be.
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
        """Whether the raw figure is mapped between percentiles of expert crops; otherwise it is 0..1 already."""
        ...

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return a raw figure for each crop, None where the scorer cannot judge it."""
        ...


@dataclass(frozen=True)
class ScorerRecipe:
    """The weights that scorers use: local folders or hub ids.

    Args:
        mllm: The multimodal model that judges crops: any image-text-to-text model of transformers.
        max_pixels: Crops are shrunk to this many pixels before that model sees them.
        clip: A CLIP or SigLIP model for crop and caption.
        aesthetic_clip: The CLIP model that the aesthetic head was trained on.
        aesthetic_head: File of the head's weights, .safetensors or .pth; LAION's linear and MLP heads load as they are.
        aesthetic_activation: Activation between the head's layers: `none`, as in LAION's "linearMSE" heads, or `relu`.
        batch_size: Crops per batch.
    """

    mllm: str = "Qwen/Qwen3-VL-4B-Instruct"
    max_pixels: int = 1_048_576
    clip: str = "openai/clip-vit-large-patch14"
    aesthetic_clip: str = "openai/clip-vit-large-patch14"
    aesthetic_head: str = "sac+logos+ava1-l14-linearMSE.pth"
    aesthetic_activation: str = "none"
    batch_size: int = 16


def load_scorers(names: Sequence[str], settings: ScorerRecipe, *, offline: bool = False) -> list[Scorer]:
    """Load scorers by name. No criterion is ever dropped: a scorer that cannot be loaded ends the run.

    Args:
        names: Some of `SCORERS`.
        settings: The weights that they use.
        offline: Use only weights on this machine.

    Raises:
        ShotcropError: There is no such scorer, or its weights are missing; the message says what to download.
    """
    return [_load(name, settings, offline) for name in names]


def _load(name: str, settings: ScorerRecipe, offline: bool) -> Scorer:
    # Each criterion needs heavy libraries of its own, so only those of the named ones are imported.
    if name == "mllm":
        from shotcrop_train.scorers.mllm import load_mllm

        return load_mllm(settings, offline=offline)
    if name == "clip":
        from shotcrop_train.scorers.clip import ClipScorer, load_clip

        return ClipScorer(load_clip(settings.clip, offline=offline), settings.batch_size)
    if name == "aesthetic":
        from shotcrop_train.scorers.aesthetic import load_aesthetic

        return load_aesthetic(settings, offline=offline)
    if name in ("composition", FORMER_COMPOSITION):
        from shotcrop_train.scorers.composition import CompositionScorer

        return CompositionScorer(name)
    if name == "agreement":
        from shotcrop_train.scorers.agreement import AgreementScorer

        return AgreementScorer()
    raise ShotcropError(f"there is no scorer '{name}'", hint=f"choose from: {', '.join(SCORERS)}")
