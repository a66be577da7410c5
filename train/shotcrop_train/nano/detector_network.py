"""The detector: one convolutional network that finds people, animals and held objects in a squashed photo.

Each cell of three grids (strides 8, 16 and 32) predicts for each kind of object whether the centre of one is near, and
its box. The cell of a head also predicts its face and the box of the body that it belongs to, so that heads, faces and
bodies need no matching rules of their own; the cell of a body also predicts its joints. The whole photo gets tags.
`shotcrop_cli.model.nano.decoding` reads the result at run time, and its constants hold here too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from shotcrop_cli.model.nano import decoding
from shotcrop_cli.model.nano.decoding import BOX_STRIDES, CHANNELS, LARGEST_LOG_SIZE, STRIDES, Kind
from shotcrop_cli.model.nano.manifest import PEOPLE_TAG
from shotcrop_cli.model.nano.scene import JOINTS, LANDMARKS
from shotcrop_cli.shots import FACINGS, SETTINGS
from shotcrop_train.nano.tower import EfficientNetLite

SETTING_TAGS = tuple(reversed(SETTINGS))
TAGS = (PEOPLE_TAG, *SETTING_TAGS, *FACINGS)
"""Tags of the whole photo, in the order of their logits: people or none, the setting, where the main person faces."""
NORM_MOMENTUM = 0.03
TAG_WIDTH, TAG_DROPOUT = 64, 0.2
RARE = -4.0
"""First logit of every kind: nearly all cells are empty."""


class Separable(nn.Module):
    """A depthwise and a pointwise convolution. Each level of the pyramid has a batch norm of its own."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, levels: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs, momentum=NORM_MOMENTUM) for _ in range(levels)])

    def forward(self, x: Tensor, level: int = 0) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return functional.relu(self.norms[level](self.pointwise(self.depthwise(x))))


class Pyramid(nn.Module):
    """A feature pyramid of one width, first from coarse to fine and then back."""

    def __init__(self, inputs: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(n, width, 1, bias=False), nn.BatchNorm2d(width, momentum=NORM_MOMENTUM))
                for n in inputs
            ]
        )
        self.down = nn.ModuleList([Separable(width, width, kernel) for kernel in (5, 3)])
        self.up = nn.ModuleList([Separable(width, width, 3, 2) for _ in range(2)])
        self.last = nn.ModuleList([Separable(width, width, 5) for _ in range(2)])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map the tower's features to three maps (N, width, S / stride, S / stride), finest first."""
        fine, middle, coarse = (lateral(x) for lateral, x in zip(self.lateral, features, strict=True))
        coarse = functional.relu(coarse)
        middle = self.down[0](middle + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.down[1](fine + functional.interpolate(middle, scale_factor=2.0))
        middle = self.last[0](middle + self.up[0](fine))
        coarse = self.last[1](coarse + self.up[1](middle))
        return [fine, middle, coarse]


class DetectorNetwork(nn.Module):
    """Tower, pyramid and heads.

    Args:
        variant: Variant of EfficientNet-Lite.
        width: Channels of the pyramid and of the heads.
    """

    def __init__(self, variant: int = 0, width: int = 96) -> None:
        super().__init__()
        self.variant, self.width = variant, width
        self.tower = EfficientNetLite(variant)
        self.pyramid = Pyramid(self.tower.channels, width)
        self.kind_tower = nn.ModuleList([Separable(width, width, levels=len(STRIDES)) for _ in range(2)])
        self.box_tower = nn.ModuleList([Separable(width, width, levels=len(STRIDES)) for _ in range(2)])
        self.kind = nn.Conv2d(width, len(Kind), 1)
        self.rest = nn.Conv2d(width, sum(CHANNELS.values()) - len(Kind), 1)
        self.tags = nn.Sequential(
            nn.Linear(self.tower.channels[-1], TAG_WIDTH),
            nn.ReLU(),
            nn.Dropout(TAG_DROPOUT),
            nn.Linear(TAG_WIDTH, len(TAGS)),
        )
        nn.init.constant_(self.kind.bias, RARE)
        nn.init.normal_(self.kind.weight, std=0.01)
        nn.init.normal_(self.rest.weight, std=0.01)

    def forward(self, pixels: Tensor, started: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detect in photos (N, 3, S, S), scaled as the tower wants them; S is a multiple of 32.

        Args:
            pixels: The photos, or what `EfficientNetLite.begin` made of them.
            started: Number of stages that `begin` has run; 0 for photos.

        Returns:
            Raw cells (N, cells, channels), finest level first and row by row; logits of the tags (N, tags); the middle
            feature map (N, width, S / 16, S / 16); the tower's pooled last features (N, C).
        """
        features = self.tower(pixels, started)
        levels = self.pyramid(features)
        cells = []
        for level, x in enumerate(levels):
            kind = box = x
            for block in self.kind_tower:
                kind = block(kind, level)
            for block in self.box_tower:
                box = block(box, level)
            cells.append(torch.cat([self.kind(kind), self.rest(box)], 1).flatten(2).transpose(1, 2))
        pooled = features[-1].mean((2, 3))
        return torch.cat(cells, 1), self.tags(pooled), levels[1], pooled


@dataclass(frozen=True)
class Cells:
    """Decoded cells (...), in pixels of the square.

    Args:
        boxes: (..., 4 groups, 4).
        face: (...) logits of a visible face.
        face_box: (..., 4).
        landmarks: (..., 5, 2).
        person: (...) logits of a known body.
        person_box: (..., 4).
        joints: (..., 12, 2).
        joint_seen: (..., 12) logits.
    """

    boxes: Tensor
    face: Tensor
    face_box: Tensor
    landmarks: Tensor
    person: Tensor
    person_box: Tensor
    joints: Tensor
    joint_seen: Tensor


def grid(side: int) -> tuple[Tensor, Tensor]:
    """Return the centres (cells, 2) and the strides (cells, 1) of the cells of a square of `side` pixels."""
    centres, strides = decoding.grid(side)
    return torch.from_numpy(centres), torch.from_numpy(strides)


def decode_cells(cells: Tensor, centres: Tensor, strides: Tensor) -> Cells:
    """Decode raw cells (..., channels) with the given centres (..., 2) and strides (..., 1), so that they can learn."""
    part = dict(zip(CHANNELS, cells.split(list(CHANNELS.values()), -1), strict=True))
    raw = part["box"].unflatten(-1, (len(BOX_STRIDES), 4))
    boxes = [_boxes(raw[..., group, :], centres, strides, 1.0, size) for group, size in enumerate(BOX_STRIDES)]
    landmarks = part["landmarks"].unflatten(-1, (len(LANDMARKS), 2))
    joints = part["joints"].unflatten(-1, (len(JOINTS), 2)) * decoding.JOINT_STRIDES
    return Cells(
        boxes=torch.stack(boxes, -2),
        face=part["face"][..., 0],
        face_box=_boxes(part["face_box"], centres, strides, 1.0, decoding.FACE_STRIDES),
        landmarks=centres[..., None, :] + landmarks * strides[..., None, :],
        person=part["person"][..., 0],
        person_box=_boxes(part["person_box"], centres, strides, decoding.PERSON_SHIFT, decoding.PERSON_STRIDES),
        joints=centres[..., None, :] + joints * strides[..., None, :],
        joint_seen=part["joint_seen"],
    )


def _boxes(raw: Tensor, centres: Tensor, strides: Tensor, shift: float, size: float) -> Tensor:
    """Decode (..., 4) raw shifts of the centre and logarithms of the size to boxes in pixels."""
    middle = centres + raw[..., :2] * strides * shift
    half = raw[..., 2:].clamp(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE).exp() * strides * (size / 2)
    return torch.cat([middle - half, middle + half], -1)
