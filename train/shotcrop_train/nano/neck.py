"""What lies between tower and decoder: three strides fused into one map, the lead spotted in it, and both as tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from shotcrop_train.nano.configuration import SPOTTED, NanoConfig


class ContextBlock(nn.Module):
    """A residual block after ConvNeXt [N]: depthwise 5 x 5, layer norm, inverted MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 3 * width)
        self.down = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(functional.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


class Spotter(nn.Module):
    """Finds the lead and the lead's head in the fused map, and makes a token of each.

    Every cell says how likely each of the two is centred on it, and where their sides lie, as one-stage detectors do
    [N: FCOS, 2019]. It is trained on the same boxes as the chain of thought (`loss.spot_loss`), which teaches tower and
    neck to locate directly; through the decoder's attention alone they learn that slowly [O]. What is found goes to the
    decoder as a token each: the sides of its box as waves, and the map's features where it is.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.predict = nn.Conv2d(width, SPOTTED * 5, 1)
        self.place = nn.Linear(4 * 2 * len(WAVE_OCTAVES), hidden)
        self.look = nn.Linear(width, hidden)
        self.kind = nn.Parameter(torch.zeros(1, SPOTTED, hidden))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map the fused map (N, width, H, W) to what was found in it.

        Returns:
            A token each (N, 2, hidden); log-probabilities (N, 2, H, W) over the cells of the centres of lead and head;
            boxes (N, 2, 4, H, W), x0 y0 x1 y1 relative to the photo, as seen from each cell.
        """
        n, _, h, w = x.shape
        scores, reach = self.predict(x).split((SPOTTED, SPOTTED * 4), dim=1)
        scores = functional.log_softmax(scores.flatten(2), dim=-1)
        near, far = functional.softplus(reach).view(n, SPOTTED, 4, h, w).split(2, dim=2)
        # Not a buffer: transformers leaves buffers that are not saved uninitialised when it loads a checkpoint.
        centres = cell_centres(h, x)
        boxes = torch.cat((centres - near, centres + far), dim=2)
        scores = scores.view(n, SPOTTED, h, w)
        # The decoder reads what is found and has no say in it: the spotter learns from its own loss alone.
        features = scores.exp().detach().flatten(2) @ x.flatten(2).transpose(1, 2)
        sides = expected_boxes(scores.detach(), boxes.detach())
        tokens = self.place(waves(sides)) + self.look(features) + self.kind
        return tokens, scores, boxes


def expected_boxes(scores: Tensor, boxes: Tensor) -> Tensor:
    """Return the boxes (N, 2, 4), 0..1, that the cells see on average, each cell as likely as it is the centre."""
    return (boxes * scores.exp()[:, :, None]).sum((-2, -1)).clamp(0.0, 1.0)


def likeliest_boxes(scores: Tensor, boxes: Tensor) -> Tensor:
    """Return the boxes (N, 2, 4), 0..1, that the likeliest centre cells see: one of two people, never the middle."""
    cell = scores.flatten(2).argmax(-1)[:, :, None, None].expand(-1, -1, 4, 1)
    return boxes.flatten(3).gather(3, cell)[..., 0].clamp(0.0, 1.0)


WAVE_OCTAVES = tuple(range(8))
"""Wavelengths of a coordinate's waves: from twice the frame down to one cell of the 64th part of it [O]."""


def waves(coordinates: Tensor) -> Tensor:
    """Write coordinates (..., k) in 0..1 as sines and cosines (..., 2 k octaves), so that small moves show."""
    octaves = torch.tensor([math.pi * 2.0**octave for octave in WAVE_OCTAVES], device=coordinates.device)
    phases = (coordinates[..., None] * octaves).flatten(-2)
    return torch.cat((torch.sin(phases), torch.cos(phases)), dim=-1)


def cell_centres(side: int, like: Tensor) -> Tensor:
    """Return the centres (2, side, side), x then y, of the cells of a square grid over the photo."""
    steps = (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5) / side
    return torch.stack((steps[None].expand(side, side), steps[:, None].expand(side, side)))


class Neck(nn.Module):
    """Fuses three strides into one map, finds the lead in it, and makes visual tokens of both."""

    def __init__(self, channels: tuple[int, ...], config: NanoConfig) -> None:
        super().__init__()
        width, hidden = config.neck_width, config.text_config.hidden_size
        fine, middle, coarse = channels
        self.fine = nn.Conv2d(4 * fine, width, 1)
        self.middle = nn.Conv2d(middle, width, 1)
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.overview = nn.Linear(coarse, width)
        self.blocks = nn.Sequential(*(ContextBlock(width) for _ in range(config.neck_blocks)))
        self.spotter = Spotter(width, hidden)
        self.norm = nn.LayerNorm(4 * width)
        self.project = nn.Linear(4 * width, hidden)
        self.positions = nn.Parameter(torch.zeros(1, config.grid**2, hidden))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the tower's features of strides 8, 16 and 32 to visual tokens (N, tokens, hidden), row by row."""
        return self.spot(features)[0]

    def spot(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the visual tokens and the spotter's scores and boxes."""
        fine, middle, coarse = features
        x = self.fine(functional.pixel_unshuffle(fine, 2)) + self.middle(middle)
        x = x + functional.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        # Every place also learns what the whole photo looks like; convolutions alone see too little of it.
        x = x + self.overview(coarse.mean((2, 3)))[:, :, None, None]
        x = self.blocks(x)
        found, scores, boxes = self.spotter(x)
        x = functional.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2)
        tokens = self.project(self.norm(x)) + self.positions
        return torch.cat((tokens, found), dim=1), scores, boxes
