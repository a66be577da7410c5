"""A detector in 8-bit integers for CPUs.

Convolutions, and the sums between them, compute with bytes; the graph's inputs and outputs stay as they were. Weights
use 7 of the 8 bits, because CPUs without VNNI add two products of bytes in 16 bits, which 8 bits overflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class _Photos(CalibrationDataReader):
    """Gives the calibration one photo at a time."""

    def __init__(self, photos: NDArray[np.uint8]) -> None:
        self._photos = iter(photos)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        photo = next(self._photos, None)
        return None if photo is None else {INPUT: photo[None]}


def quantise_detector(source: Path, target: Path, photos: NDArray[np.uint8]) -> None:
    """Write a detector's graph in 8-bit integers.

    Args:
        source: The graph in single precision, see `graphs.export_detector`.
        target: The file to write.
        photos: (N, S, S, 3), squashed RGB. The ranges of all values between the operators are measured on them.
    """
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        prepared = Path(scratch) / "prepared.onnx"
        # ONNX Runtime's symbolic shapes do not know the free number of photos; the convolutions do not need them.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared), load_external_data=False).graph.node
        quantize_static(
            str(prepared),
            str(target),
            _Photos(photos),
            nodes_to_exclude=[node.name for node in nodes if set(node.input) & set(_SINGLE_PRECISION)],
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
