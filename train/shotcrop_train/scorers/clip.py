"""Criterion `clip`: how well a crop and its description agree, as the cosine of their embeddings.

Source: the paper's abstract. Any CLIP or SigLIP model of transformers works. Raw cosines are in a narrow range far
below .85, so they are mapped between percentiles of expert crops (our own choice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_train.scorers import Judged

_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


@dataclass(frozen=True)
class Clip:
    """A CLIP-like model with its processor."""

    model: Any
    processor: Any

    @property
    def width(self) -> int:
        """Size of an embedding."""
        config = self.model.config
        return int(getattr(config, "projection_dim", None) or config.vision_config.hidden_size)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return unit embeddings (N, D) of images in mode RGB, on the CPU."""
        inputs = self.processor(images=list(images), return_tensors="pt").to(self.model.device)
        return _unit(self.model.get_image_features(pixel_values=inputs["pixel_values"]))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit embeddings (N, D) of texts, on the CPU; texts that are too long are truncated."""
        # SigLIP was trained with padding to the full length; CLIP ignores padding through its mask.
        inputs = self.processor(
            text=list(texts),
            padding="max_length",
            max_length=self.model.config.text_config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        ).to(self.model.device)
        return _unit(self.model.get_text_features(**inputs))


def _unit(output: Any) -> torch.Tensor:
    return torch.nn.functional.normalize(output.pooler_output.float(), dim=-1).cpu()


@cache
def load_clip(name: str, *, offline: bool = False) -> Clip:
    """Load a CLIP-like model once. `clip` and `aesthetic` share it if they name the same one.

    Args:
        name: Local folder or hub id; safetensors only.
        offline: Use only models on this machine.

    Raises:
        ShotcropError: The model is missing, or is not of this kind.
    """
    from huggingface_hub import snapshot_download
    from transformers import AutoModel, AutoProcessor

    try:
        # Find the folder first: transformers itself would ask the hub for an adapter, offline or not.
        folder = (
            name if Path(name).is_dir() else snapshot_download(name, local_files_only=offline, allow_patterns=_FILES)
        )
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ShotcropError(
            f"the scorer's model {name} cannot be loaded: {str(error).splitlines()[0]}",
            hint=f"download it with `hf download {name}`, or name a folder with the model in the recipe",
            exit_code=ExitCode.MODEL,
        ) from error
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise ShotcropError(
            f"{name} does not embed images and texts", hint="name a CLIP or SigLIP model", exit_code=ExitCode.MODEL
        )
    return Clip(model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), processor)


class ClipScorer:
    """Scores a crop by the cosine of its embedding and its caption's."""

    name = "clip"
    calibrated = True

    def __init__(self, clip: Clip, batch_size: int = 16) -> None:
        self.clip, self.batch_size = clip, batch_size

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return cosines, None for a crop without a caption; see `Scorer`."""
        scores: list[float | None] = [None] * len(judged)
        captioned = [index for index, one in enumerate(judged) if one.shot.caption]
        for first in range(0, len(captioned), self.batch_size):
            batch = captioned[first : first + self.batch_size]
            images = self.clip.embed_images([judged[index].photo.crop(judged[index].shot.box) for index in batch])
            texts = self.clip.embed_texts([judged[index].shot.caption for index in batch])
            for index, cosine in zip(batch, (images * texts).sum(dim=-1).tolist(), strict=True):
                scores[index] = cosine
        return scores
