"""The compact model's two graphs: detector and composer.

Sides are static, the number of photos is free, and all operators are plain, so that CUDA and TensorRT take the graphs.
Weights that half precision holds exactly are stored so; the graphs compute in single precision.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from shotcrop_cli.model.nano.candidates import KINDS, MOST_CANDIDATES
from shotcrop_cli.model.nano.detector import INPUT
from shotcrop_cli.model.nano.detector import OUTPUTS as DETECTOR_OUTPUTS
from shotcrop_export.record import trace
from shotcrop_train.nano.composer_network import ComposerEnsemble, ComposerNetwork
from shotcrop_train.nano.detector_network import DetectorNetwork

HALF_FROM = 1024
"""Weights with at least this many values are stored in half precision; the small rest is not worth a Cast node."""
COMPOSER_OUTPUTS = ("probability", "boxes", "scale", "expected")


class DetectorGraph(nn.Module):
    """The detector with the scaling of its input: photos (N, S, S, 3) of bytes."""

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return what `DetectorNetwork` returns."""
        answer: tuple[Tensor, ...] = self.network((pixels.permute(0, 3, 1, 2).float() - 127) / 128)
        return answer


class GeometryGraph(nn.Module):
    """Composers without features from the detector, and without inputs for them."""

    def __init__(self, ensemble: ComposerEnsemble) -> None:
        super().__init__()
        self.ensemble = ensemble

    def forward(self, features: Tensor, known: Tensor, valid: Tensor, kind: Tensor) -> tuple[Tensor, ...]:
        """Return what `ComposerEnsemble` returns."""
        answer: tuple[Tensor, ...] = self.ensemble(features, known, valid, kind, features[..., :0], features[:, 0, :0])
        return answer


def export_detector(network: DetectorNetwork, target: Path, side: int, *, halve: bool = True) -> None:
    """Write the graph of a detector.

    Args:
        network: The trained network.
        target: The file.
        side: Side of its square input in pixels.
        halve: Whether to store weights in half precision. `quantise.quantise_detector` needs them in single precision.
    """
    photos = {INPUT: torch.zeros(2, side, side, 3, dtype=torch.uint8)}
    _export(DetectorGraph(network), photos, target, DETECTOR_OUTPUTS, halve=halve)


def export_composer(networks: Sequence[ComposerNetwork], target: Path) -> None:
    """Write the graph of an ensemble of composers; without features from the detector it has no inputs for them.

    Its weights are rounded to half precision, which moves boxes by less than the export allows; see `verify`.
    """
    options, k = networks[0].options, MOST_CANDIDATES
    ensemble = _rounded(ComposerEnsemble(list(networks)))
    example = {
        "features": torch.zeros(2, k, options.features),
        "known": torch.ones(2, k, options.features),
        "valid": torch.ones(2, k),
        "kind": torch.zeros(2, k, KINDS),
    }
    if not options.person_features:
        _export(GeometryGraph(ensemble), example, target, COMPOSER_OUTPUTS)
        return
    features = {
        "pixels": torch.zeros(2, k, options.person_features),
        "photo": torch.zeros(2, options.photo_features),
    }
    _export(ensemble, example | features, target, COMPOSER_OUTPUTS)


def _rounded(ensemble: ComposerEnsemble) -> ComposerEnsemble:
    rounded = copy.deepcopy(ensemble)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.numel() >= HALF_FROM:
                parameter.copy_(parameter.half().float())
    return rounded


def _export(
    module: nn.Module, example: dict[str, Tensor], target: Path, outputs: Sequence[str], *, halve: bool = True
) -> None:
    photos = torch.export.Dim.DYNAMIC
    program = trace(
        module.eval(),
        tuple(example.values()),
        inputs=list(example),
        outputs=list(outputs),
        dynamic={name: {0: photos} for name in example},
    )
    proto = program.model_proto
    if halve:
        store_weights_in_half(proto)
    onnx.save(proto, str(target))


def store_weights_in_half(proto: onnx.ModelProto) -> None:
    """Store weights as float16 behind a Cast, which ONNX Runtime folds away when it loads the graph.

    Only large tensors that half precision holds exactly are stored so. A detector's checkpoint is in half precision.
    """
    casts = []
    for initializer in proto.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        with np.errstate(over="ignore"):  # what half precision cannot hold is left alone below
            half = values.astype(np.float16)
        if values.size < HALF_FROM or not np.array_equal(half.astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for index, node in enumerate(casts):
        proto.graph.node.insert(index, node)
    # Stale shape notes of the renamed weights, and the exporter's stack traces with paths of the building machine.
    del proto.graph.value_info[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
