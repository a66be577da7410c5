"""Criterion `aesthetic`: a linear or small MLP head over unit CLIP image embeddings, as in LAION's predictors.

The heads that LAION published load without changes: one `Linear` saved as `weight` and `bias`, or a `Sequential` saved
as `layers.N.weight` and `layers.N.bias`. Only tensors are unpickled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_train.scorers import Judged, ScorerRecipe
from shotcrop_train.scorers.clip import Clip, load_clip

ACTIVATIONS = ("none", "relu")


class AestheticScorer:
    """Scores a crop by the head's output for its embedding."""

    name = "aesthetic"
    calibrated = True

    def __init__(self, clip: Clip, head: torch.nn.Module, batch_size: int = 16) -> None:
        self.clip, self.head, self.batch_size = clip, head.eval(), batch_size

    @torch.inference_mode()
    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return the head's figures, about 1..10 for LAION's; see `Scorer`."""
        scores: list[float | None] = []
        for first in range(0, len(judged), self.batch_size):
            crops = [one.photo.crop(one.shot.box) for one in judged[first : first + self.batch_size]]
            scores += self.head(self.clip.embed_images(crops))[:, 0].tolist()
        return scores


def load_aesthetic(settings: ScorerRecipe, *, offline: bool = False) -> AestheticScorer:
    """Load head and CLIP model.

    Raises:
        ShotcropError: One of them is missing or unreadable, or they do not fit each other.
    """
    path = Path(settings.aesthetic_head)
    head = load_head(path, settings.aesthetic_activation)
    clip = load_clip(settings.aesthetic_clip, offline=offline)
    if head[0].in_features != clip.width:
        raise ShotcropError(
            f"{path} needs embeddings of {head[0].in_features} numbers, {settings.aesthetic_clip} gives {clip.width}",
            hint="set aesthetic_clip to the model that the head was trained on",
            exit_code=ExitCode.MODEL,
        )
    return AestheticScorer(clip, head, settings.batch_size)


def load_head(path: Path, activation: str = "none") -> torch.nn.Sequential:
    """Build a head from its weights.

    Args:
        path: A .safetensors file, or a .pth file that holds tensors only.
        activation: Activation between the layers, one of `ACTIVATIONS`.

    Raises:
        ShotcropError: The file is missing or holds no head.
    """
    if activation not in ACTIVATIONS:
        raise ShotcropError(f"there is no activation '{activation}'", hint=f"choose from: {', '.join(ACTIVATIONS)}")
    weights = _read(path)
    layers: list[torch.nn.Module] = []
    try:
        for prefix in _linears(weights):
            weight, bias = weights[f"{prefix}weight"], weights[f"{prefix}bias"]
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            layers += [layer] if not layers or activation == "none" else [torch.nn.ReLU(), layer]
        widths = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
        if not widths or widths[-1].out_features != 1:
            raise ValueError("its last layer does not give one number")
        if any(before.out_features != after.in_features for before, after in pairwise(widths)):
            raise ValueError("its layers do not fit each other")
    except (KeyError, ValueError, RuntimeError) as error:
        raise ShotcropError(
            f"{path} holds no aesthetic head: {error}", hint="use a linear or MLP head", exit_code=ExitCode.MODEL
        ) from error
    return torch.nn.Sequential(*layers)


def _linears(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the name prefixes of the linear layers, sorted by the number in them."""
    prefixes = [name.removesuffix("weight") for name, value in weights.items() if name.endswith("weight")]
    return sorted(prefixes, key=lambda prefix: [int(number) for number in re.findall(r"\d+", prefix)])


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    from pickle import UnpicklingError

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ShotcropError(
            f"the aesthetic head {path} is missing",
            hint="download a head such as LAION's sac+logos+ava1-l14-linearMSE.pth from"
            " github.com/christophschuhmann/improved-aesthetic-predictor, and name it as aesthetic_head in the recipe",
            exit_code=ExitCode.MODEL,
        ) from None
    except (OSError, RuntimeError, UnpicklingError, SafetensorError) as error:
        raise ShotcropError(
            f"{path} cannot be read: {str(error).splitlines()[0]}",
            hint="use .safetensors, or a .pth file with tensors only",
            exit_code=ExitCode.MODEL,
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ShotcropError(f"{path} is no table of tensors", hint="save the head's state_dict()")
    return weights
