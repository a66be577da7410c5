"""The compact model in 8-bit integers, for CPUs: its vision graph rewritten, and how far its answers moved measured.

The range of every value is taken from real photos beforehand, so that a photo's answer does not depend on what else is
in its batch. The decoder stays as it is: ranges taken at each step, which suit its values, would be the batch's.

Weights keep to 7 of the 8 bits: processors without VNNI add pairs of products in 16 bits, which 8 would overflow, and
the same model would answer otherwise there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

from shotcrop_cli.errors import ModelError
from shotcrop_cli.geometry import iou
from shotcrop_cli.model.bundle import VISION, Bundle
from shotcrop_cli.model.load import load_composer
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_cli.shots import Answer, Composition
from shotcrop_export.nano.verify import upright

LEAST_AGREEMENT = 0.95
"""An export is refused whose boxes have a lower mean IoU with those of single precision [O]; 64 photos gave .979."""

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike the answers before and after are."""

    photos: int
    mean_iou: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures for the export record."""
        return asdict(self)


class _Pixels(CalibrationDataReader):
    """Hands photos to the calibration one by one."""

    def __init__(self, photos: Sequence[NDArray[np.float32]]) -> None:
        self._photos: Iterator[NDArray[np.float32]] = iter(photos)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next photo, None at their end."""
        photo = next(self._photos, None)
        return None if photo is None else {"pixel_values": photo}


def quantise(folder: Path, thumbnails: Sequence[Image.Image]) -> None:
    """Rewrite the vision graph of a model folder in 8-bit integers.

    Args:
        folder: The model folder.
        thumbnails: Real photos as the model sees them; the more the better, 64 are enough [O].
    """
    squashed = [pixel_values(np.asarray(thumbnail)[None]) for thumbnail in thumbnails]
    photos = [look for one in squashed for look in (one, np.ascontiguousarray(one[..., ::-1]))]
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain.onnx"
        _unfold(folder / VISION, plain)
        quantize_static(
            str(plain),
            str(folder / VISION),
            _Pixels(photos),
            op_types_to_quantize=["Conv", "Clip", "Add", "MatMul", "Gemm"],
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _unfold(path: Path, target: Path) -> None:
    """Write a graph with its weights in single precision, as the quantiser wants them."""
    quant_pre_process(str(path), str(target), skip_symbolic_shape=True)


def compare(before: Sequence[Answer], after: Sequence[Answer]) -> Agreement:
    """Compare answers to the same photos.

    Raises:
        ModelError: They are too far apart.
    """
    pairs = [
        (one, other)
        for one, other in zip(before, after, strict=True)
        if isinstance(one, Composition) or isinstance(other, Composition)
    ]
    found = [
        float(np.mean([iou(a.box, b.box) for a, b in zip(one.shots, other.shots, strict=True)]))
        if isinstance(one, Composition) and isinstance(other, Composition)
        else 0.0
        for one, other in pairs
    ]
    agreement = Agreement(len(before), round(float(np.mean(found)) if found else 1.0, 4))
    if agreement.mean_iou < LEAST_AGREEMENT:
        raise ModelError(
            f"8-bit integers move the boxes too far: a mean IoU of {agreement.mean_iou:.3f} with those of before",
            hint="verify on more --photos, or leave --int8 out",
        )
    return agreement


def answers_of(bundle: Bundle, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
    """Let a model answer photos, in batches of a usual size."""
    composer = load_composer(bundle, "cpu")
    parts = [slice(first, first + _BATCH) for first in range(0, len(thumbnails), _BATCH)]
    return [answer for part in parts for answer in composer.compose(thumbnails[part], aspects[part])]


def seen(photos: Sequence[Path], size: int) -> tuple[list[Image.Image], list[float]]:
    """Return photos as the model sees them, and the width / height of each."""
    thumbnails, aspects = [], []
    for path in photos:
        image = upright(path)
        thumbnails.append(squash(image, size))
        aspects.append(image.width / image.height)
    return thumbnails, aspects
