"""The composer: a set transformer over the candidates of a scene.

For each candidate it predicts whether it is the main subject and, for each shot, a distribution over the box: mean and
logarithmic scale of four independent Laplace distributions, in the frame of `candidates.boxes_of`. It also predicts the
IoU of the mean box with an expert's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from shotcrop_cli.model.nano.candidates import KINDS
from shotcrop_cli.shots import SHOT_TYPES

SHOTS = len(SHOT_TYPES)
LARGEST_DEVIATION = 4.0
"""Standardised features are clipped to this."""
UNREACHABLE = 1e4
"""Taken from the logits of padding."""
BOX_UNITS = (0.2, 1.0, 1.0)
"""What an output of 1 moves the box of each shot by: shares of the photo, then heads."""


@dataclass(frozen=True)
class ComposerOptions:
    """Size of a composer.

    Args:
        features: Number of a candidate's geometric features.
        person_features: Number of a candidate's features from the detector; 0 for none.
        photo_features: Number of a photo's features from the detector; 0 for none.
        width: Width of the network.
        layers: Number of transformer blocks.
        heads: Attention heads.
        dropout: Dropout in training.
        pixel_width: Width to which features from the detector are reduced first.
        pixel_dropout: Dropout of these.
    """

    features: int
    person_features: int = 0
    photo_features: int = 0
    width: int = 96
    layers: int = 2
    heads: int = 4
    dropout: float = 0.15
    pixel_width: int = 16
    pixel_dropout: float = 0.3


class Block(nn.Module):
    """A transformer block, norms first, whose attention is written out so that it exports to plain operators."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """Map (N, k, width) to the same shape; `blocked` (N, 1, 1, k) is added to the logits of the attention."""
        n, k, width = x.shape
        each = width // self.heads
        q, key, v = self.qkv(self.norm1(x)).view(n, k, 3, self.heads, each).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ key.transpose(-1, -2) * each**-0.5 + blocked).softmax(-1)
        x = x + self.drop(self.out((weights @ v).transpose(1, 2).reshape(n, k, width)))
        return x + self.drop(self.feed(self.norm2(x)))


class ComposerNetwork(nn.Module):
    """A set transformer over candidates. Buffers hold the standardisation of features and the usual boxes."""

    mean: Tensor
    spread: Tensor
    usual: Tensor
    unit: Tensor

    def __init__(self, options: ComposerOptions) -> None:
        super().__init__()
        self.options, width = options, options.width
        self.register_buffer("mean", torch.zeros(options.features))
        self.register_buffer("spread", torch.ones(options.features))
        self.register_buffer("usual", torch.zeros(KINDS, SHOTS, 4))
        self.register_buffer("unit", torch.tensor(BOX_UNITS).view(SHOTS, 1))
        self.inputs = nn.Sequential(nn.Linear(2 * options.features, width), nn.GELU(), nn.Dropout(options.dropout))
        sizes = [size for size in (options.person_features, options.photo_features) if size]
        self.pixel_inputs = nn.ModuleList([self._pixel_input(size) for size in sizes])
        self.blocks = nn.ModuleList([Block(width, options.heads, options.dropout) for _ in range(options.layers)])
        self.norm = nn.LayerNorm(width)
        self.main = nn.Linear(width, 1)
        self.boxes = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(options.dropout), nn.Linear(width, SHOTS * 4)
        )
        self.scale, self.iou = nn.Linear(width, SHOTS * 4), nn.Linear(width, SHOTS)
        nn.init.zeros_(self.boxes[-1].weight)
        nn.init.zeros_(self.boxes[-1].bias)
        nn.init.constant_(self.scale.bias, -2.0)

    def _pixel_input(self, size: int) -> nn.Module:
        options = self.options
        return nn.Sequential(
            nn.Dropout(options.pixel_dropout),
            nn.Linear(size, options.pixel_width),
            nn.GELU(),
            nn.Dropout(options.pixel_dropout),
            nn.Linear(options.pixel_width, options.width),
        )

    def forward(
        self, features: Tensor, known: Tensor, valid: Tensor, kind: Tensor, pixels: Tensor, photo: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compose; `composer.stack` makes the inputs and says what they are.

        Returns:
            Logits (N, k) of being the main subject; boxes (N, k, 3, 4), as `candidates.boxes_of` wants them; logarithms
            of their scales (N, k, 3, 4) in the same units; logits (N, k, 3) of the expected IoU.
        """
        x = ((features - self.mean) / self.spread).clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION) * known
        x = self.inputs(torch.cat([x, known], -1))
        if len(self.pixel_inputs):
            x = x + self.pixel_inputs[0](pixels) + self.pixel_inputs[1](photo)[:, None]
        blocked = (valid - 1)[:, None, None] * UNREACHABLE
        for block in self.blocks:
            x = block(x, blocked)
        x = self.norm(x)
        n, k = valid.shape
        usual = (kind @ self.usual.flatten(1)).view(n, k, SHOTS, 4)
        boxes = self.boxes(x).view(n, k, SHOTS, 4) * self.unit + usual
        scale = self.scale(x).view(n, k, SHOTS, 4).clamp(-6, 1)
        return self.main(x)[..., 0] + (valid - 1) * UNREACHABLE, boxes, scale, self.iou(x)

    def describe(self) -> dict[str, float]:
        """Return the options, for a checkpoint."""
        return asdict(self.options)


class ComposerEnsemble(nn.Module):
    """Several composers in one: the mean of what they say, as probabilities."""

    def __init__(self, members: list[ComposerNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(
        self, features: Tensor, known: Tensor, valid: Tensor, kind: Tensor, pixels: Tensor, photo: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return probabilities (N, k), boxes (N, k, 3, 4), log-scales (N, k, 3, 4) and expected IoU (N, k, 3)."""
        answers = [member(features, known, valid, kind, pixels, photo) for member in self.members]
        logits, boxes, scale, quality = zip(*answers, strict=True)
        return (
            torch.stack([one.softmax(-1) for one in logits]).mean(0),
            torch.stack(boxes).mean(0),
            torch.stack(scale).mean(0),
            torch.stack([one.sigmoid() for one in quality]).mean(0),
        )
