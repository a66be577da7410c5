"""A detector in 8-bit integers for CPUs.

Convolutions, and the sums between them, compute with bytes; the graph's inputs and outputs stay as they were. Weights
use 7 of the 8 bits, because CPUs without VNNI add two products of bytes in 16 bits, which 8 bits overflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from shotcrop_cli.model.nano.detector import INPUT

_OPERATORS = ["Conv", "Add", "Relu", "Clip", "Resize"]
"""Operators that compute with bytes, so that a sum or a resized map between two convolutions stays in bytes, too."""
_SINGLE_PRECISION = ("network.kind.weight", "network.rest.weight")
"""Weights of the last convolutions. Their outputs, logits and log sizes of boxes, have too wide a range for bytes: in
single precision they brought the shots 0.02 IoU closer to those of the whole graph in single precision (48 photos)."""


class _Examples(CalibrationDataReader):
    """Gives the calibration one example at a time."""

    def __init__(self, name: str, examples: NDArray[Any]) -> None:
        self._name, self._examples = name, iter(examples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        example = next(self._examples, None)
        return None if example is None else {self._name: example[None]}


def quantise_detector(source: Path, target: Path, photos: NDArray[np.uint8]) -> None:
    """Write a detector's graph in 8-bit integers.

    Args:
        source: The graph in single precision, see `graphs.export_detector`.
        target: The file to write.
        photos: (N, S, S, 3), squashed RGB. The ranges of all values between the operators are measured on them.
    """
    quantise(source, target, INPUT, photos, _SINGLE_PRECISION)


def quantise(source: Path, target: Path, name: str, examples: NDArray[Any], single: Sequence[str]) -> None:
    """Write a graph in 8-bit integers.

    Args:
        source: The graph in single precision.
        target: The file to write.
        name: Its input.
        examples: (N, ...), what the ranges of all values between the operators are measured on.
        single: Weights of the convolutions that stay in single precision.
    """
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        prepared = Path(scratch) / "prepared.onnx"
        # ONNX Runtime's symbolic shapes do not know the free number of photos; the convolutions do not need them.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared), load_external_data=False).graph.node
        quantize_static(
            str(prepared),
            str(target),
            _Examples(name, examples),
            nodes_to_exclude=[node.name for node in nodes if set(node.input) & set(single)],
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the warnings of the quantiser, which logs one for every channel that is hardly used."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
