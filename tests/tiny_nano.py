"""A model folder of format shotcrop-nano/2 with real graphs that see the same person in every photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from figures import RawCells, manifest
from shotcrop_cli.model.bundle import file_sha256
from shotcrop_cli.model.nano.candidates import KINDS, MOST_CANDIDATES
from shotcrop_cli.model.nano.decoding import Kind
from shotcrop_cli.model.nano.manifest import COMPOSER, DETECTOR
from shotcrop_cli.model.nano.scene import Floats

BODY, HEAD = (0.3, 0.2, 0.7, 0.98), (0.44, 0.2, 0.56, 0.36)
OFFSETS = ((0.0, 0.05, 1.0, 0.95), (-1.5, -0.8, 1.5, 3.4), (-0.9, -0.75, 0.9, 1.3))
OPSET = 17


def write_tiny_model(folder: Path) -> Path:
    """Write the model folder and return it."""
    one = manifest()
    (folder / "model.json").write_text(one.to_json(), "utf-8")
    onnx.save(_detector(one.image_size), folder / DETECTOR)
    onnx.save(_composer(one.features), folder / COMPOSER)
    hashes = {name: file_sha256(folder / name) for name in ("model.json", DETECTOR, COMPOSER)}
    (folder / "shotcrop_export.json").write_text(json.dumps({"sha256": hashes}), "utf-8")
    return folder


def _detector(side: int) -> onnx.ModelProto:
    """Return a graph whose outputs are the same for every photo."""
    raw = RawCells(side)
    raw.put(Kind.BODY, BODY)
    raw.add_body(raw.put(Kind.HEAD, HEAD), BODY)
    tags = np.array([3.0, 4.0, -4.0, 4.0, *[0.0] * 5])
    answers = {"cells": raw.cells, "tags": tags, "middle": np.zeros((3, 4, 4)), "pooled": np.zeros(5)}
    numbers = helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT)
    zero = helper.make_node("Mul", ["numbers", "nothing"], ["zeros"])
    flat = helper.make_node("ReduceMax", ["zeros"], ["zero"], axes=[1, 2, 3], keepdims=0)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ("n", side, side, 3))
    return _model([numbers, zero, flat], [pixels], answers)


def _composer(features: int) -> onnx.ModelProto:
    """Return a graph that prefers the first candidate and proposes the same boxes for all."""
    probability = np.full(MOST_CANDIDATES, 0.02)
    probability[0] = 0.74
    boxes, expected = np.tile(OFFSETS, (MOST_CANDIDATES, 1, 1)), np.full((MOST_CANDIDATES, 3), 0.7)
    answers = {"probability": probability, "boxes": boxes, "expected": expected}
    zero = helper.make_node("Mul", ["valid", "nothing"], ["zeros"])
    flat = helper.make_node("ReduceMax", ["zeros"], ["zero"], axes=[1], keepdims=0)
    shapes = {"features": (features,), "known": (features,), "valid": (), "kind": (KINDS,)}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", MOST_CANDIDATES, *shape))
        for name, shape in shapes.items()
    ]
    return _model([zero, flat], inputs, answers)


def _model(
    nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], answers: dict[str, Floats]
) -> onnx.ModelProto:
    """Return a graph whose outputs are constants, once per photo.

    Args:
        nodes: They make `zero` (n,), a zero per photo, of the inputs.
        inputs: The inputs.
        answers: The outputs for one photo.
    """
    constants = [numpy_helper.from_array(np.zeros(1, np.float32), "nothing")]
    for name, answer in answers.items():
        shape = np.array([-1, *[1] * answer.ndim], np.int64)
        constants.append(numpy_helper.from_array(answer[None].astype(np.float32), f"{name}.answer"))
        constants.append(numpy_helper.from_array(shape, f"{name}.shape"))
        nodes.append(helper.make_node("Reshape", ["zero", f"{name}.shape"], [f"{name}.zero"]))
        nodes.append(helper.make_node("Add", [f"{name}.zero", f"{name}.answer"], [name]))
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", *answer.shape)) for name, answer in answers.items()
    ]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
