"""The EfficientNet-Lite tower: what its folded batch norms compute, and what is frozen."""

from __future__ import annotations

import torch
from torch import Tensor

from shotcrop_train.nano.detector_loss import generalised_iou
from shotcrop_train.nano.tower import BATCH_NORM_EPS, EfficientNetLite, fold_batch_norms, lite_stages


def test_the_tower_keeps_the_published_network_exactly() -> None:
    """Folding is compared with an unfolded block computed by hand, on random weights and statistics."""
    rng = torch.Generator().manual_seed(0)
    weights = {}
    block = 0

    def norm(name: str, channels: int) -> None:
        weights[f"{name}.weight"] = torch.rand(channels, generator=rng) + 0.5
        weights[f"{name}.bias"] = torch.randn(channels, generator=rng)
        weights[f"{name}.running_mean"] = torch.randn(channels, generator=rng)
        weights[f"{name}.running_var"] = torch.rand(channels, generator=rng) + 0.5

    def conv(name: str, *shape: int) -> None:
        weights[f"{name}.weight"] = torch.randn(*shape, generator=rng) * 0.1

    conv("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    inputs = 32
    for stage in lite_stages(2):
        for _ in range(stage.blocks):
            name, width = f"_blocks.{block}", inputs * stage.expansion
            if stage.expansion != 1:
                conv(f"{name}._expand_conv", width, inputs, 1, 1)
                norm(f"{name}._bn0", width)
            conv(f"{name}._depthwise_conv", width, 1, stage.kernel, stage.kernel)
            norm(f"{name}._bn1", width)
            conv(f"{name}._project_conv", stage.channels, width, 1, 1)
            norm(f"{name}._bn2", stage.channels)
            inputs, block = stage.channels, block + 1
    tower = EfficientNetLite(2)
    tower.load_state_dict(fold_batch_norms(weights, lite_stages(2)))

    def batch_norm(x: Tensor, name: str) -> Tensor:
        parts = (weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, *parts, eps=BATCH_NORM_EPS)

    x = torch.randn(1, 3, 32, 32, generator=rng)
    padded = torch.nn.functional.pad(x, (0, 1, 0, 1))  # SAME for kernel 3, stride 2
    expected = torch.nn.functional.conv2d(padded, weights["_conv_stem.weight"], stride=2)
    expected = batch_norm(expected, "_bn0").clamp(0, 6)
    assert torch.allclose(tower.stem(x), expected, atol=1e-4)
    depthwise = torch.nn.functional.conv2d(expected, weights["_blocks.0._depthwise_conv.weight"], padding=1, groups=32)
    depthwise = batch_norm(depthwise, "_blocks.0._bn1").clamp(0, 6)
    project = torch.nn.functional.conv2d(depthwise, weights["_blocks.0._project_conv.weight"])
    assert torch.allclose(tower.stages[0](expected), batch_norm(project, "_blocks.0._bn2"), atol=1e-4)
    assert [tuple(feature.shape[1:]) for feature in tower(torch.zeros(1, 3, 64, 64))] == [
        (48, 8, 8),
        (120, 4, 4),
        (352, 2, 2),
    ]


def test_freezing_stops_the_first_stages_only() -> None:
    tower = EfficientNetLite(2)
    tower.freeze(2)
    trained = {name.split(".")[1] for name, value in tower.named_parameters() if value.requires_grad}
    assert trained == {"2", "3", "4", "5", "6"}


def test_generalised_iou_is_one_for_equal_boxes_and_negative_for_distant_ones() -> None:
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.0, 0.0, 0.1, 0.1]])
    assert torch.allclose(generalised_iou(boxes, boxes)[0], torch.ones(2))
    assert float(generalised_iou(boxes[:1], torch.tensor([[0.8, 0.8, 0.9, 0.9]]))[0]) < 0
