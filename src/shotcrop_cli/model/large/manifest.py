"""The content of a large model's `model.json`: all that the runtime must know about it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from shotcrop_cli.model.kv_cache import CacheShape, Caching
from shotcrop_cli.model.large.answer import CoordSpace

FORMAT = "shotcrop-large/1"
_FULL_DETAIL_ASPECT = 2.0
"""Aspect ratio up to which a thumbnail of `Vision.long_side` has all the pixels that the model sees (our choice)."""


class Family(str, Enum):
    """Supported model families; the values are those of `model_type` in a checkpoint's config."""

    QWEN3_VL = "qwen3_vl"
    QWEN2_5_VL = "qwen2_5_vl"

    def __str__(self) -> str:
        return self.value


class Precision(str, Enum):
    """The number format of weights and computation."""

    FP32 = "fp32"
    """For CPUs: on a GPU, ONNX Runtime's attention supports only half precision."""
    FP16 = "fp16"
    BF16 = "bf16"
    """For GPUs: ONNX Runtime's CPU provider has no kernels for it."""

    def __str__(self) -> str:
        return self.value

    @property
    def bytes(self) -> int:
        """Bytes per number."""
        return 4 if self is Precision.FP32 else 2

    @property
    def onnx_type(self) -> int:
        """The element type, as a number of ONNX's `TensorProto.DataType`."""
        return {Precision.FP32: 1, Precision.FP16: 10, Precision.BF16: 16}[self]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt, with the chat template filled in.

    Args:
        prefix: Text before the photo's visual tokens.
        suffix: Text after them, up to the start of the answer.
        text_tokens: Number of tokens in both.
        image_token: Id of the token that stands for each visual token.
        end_tokens: Ids that end an answer.
        answer_tokens: An answer longer than this is cut off.
        coord_space: How boxes are written.
        think: Whether the answer begins with reasoning.
    """

    prefix: str
    suffix: str
    text_tokens: int
    image_token: int
    end_tokens: tuple[int, ...]
    answer_tokens: int
    coord_space: CoordSpace
    think: bool


@dataclass(frozen=True, slots=True)
class Vision:
    """How photos become patches, and the sizes of the vision tower.

    Args:
        patch_size: Side of a patch in pixels.
        merge_size: Side of the square of patches that makes a visual token.
        temporal_patch_size: Number of times that a still image is repeated, in place of video frames.
        min_pixels: Photos with fewer pixels are enlarged.
        max_pixels: Photos with more pixels are reduced.
        mean: Values subtracted from red, green and blue in the range 0 to 1.
        std: Values by which they are divided afterwards.
        grid_side: Side of the square table of learned positions, which is interpolated; 0 for none.
        window: Side of an attention window in visual tokens; 0 for none.
        heads: Heads of the tower's attention.
        width: Width of the tower.
        deepstack: Number of inner layers of the tower whose output the decoder receives.
    """

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    grid_side: int
    window: int
    heads: int
    width: int
    deepstack: int

    @property
    def cell(self) -> int:
        """Side in pixels of the square that a visual token covers."""
        return self.patch_size * self.merge_size

    @property
    def long_side(self) -> int:
        """Longer side in pixels for thumbnails. Up to 2:1 they keep every pixel that the model sees."""
        return math.ceil(math.sqrt(_FULL_DETAIL_ASPECT * self.max_pixels))

    @property
    def max_tokens(self) -> int:
        """Number of visual tokens for the largest photo."""
        return max(1, self.max_pixels // self.cell**2)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Sizes of the language model.

    Args:
        layers: Number of layers.
        heads: Attention heads per layer.
        key_value_heads: Heads in the key-value cache.
        head_size: Width of a head.
        width: Width of a token embedding.
        inner_width: Hidden width of a layer's perceptron.
        context: Number of positions.
        vocabulary: Number of tokens.
    """

    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    width: int
    inner_width: int
    context: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class LargeManifest:
    """What the runtime must know about a large model.

    Args:
        format: Name and version of this file format.
        family: The model family.
        name: The model's name in sidecars.
        precision: The number format of weights and computation.
        caching: The form of the decoder's cache.
        prompt: The prompt.
        vision: How photos become patches.
        decoder: Sizes of the language model.
    """

    format: str
    family: Family
    name: str
    precision: Precision
    caching: Caching
    prompt: Prompt
    vision: Vision
    decoder: Decoder

    @property
    def cache(self) -> CacheShape:
        """Sizes of the key-value cache."""
        sizes = self.decoder
        return CacheShape(sizes.layers, sizes.key_value_heads, sizes.head_size, self.precision.onnx_type)

    def to_json(self) -> str:
        """Return the content of `model.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LargeManifest:
        """Read the content of `model.json`.

        Raises:
            ValueError: A key is missing or unknown, or its value has the wrong type.
        """
        return _read(cls, content, "")


_T = TypeVar("_T")


def _read(kind: type[_T], content: object, where: str) -> _T:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must be an object")
    types = get_type_hints(kind)
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    if set(content) != set(names):
        raise ValueError(f"missing or unknown keys: {', '.join(sorted(set(content) ^ set(names)))}")
    return kind(**{name: _value(types[name], content[name], f"{where}{name}") for name in names})


def _value(kind: Any, value: object, where: str) -> object:
    if kind in (Prompt, Vision, Decoder):
        return _read(kind, value, f"{where}.")
    if kind == tuple[int, ...]:
        return tuple(_value(int, one, where) for one in _list(value, where))
    if kind == tuple[float, float, float]:
        numbers = tuple(_value(float, one, where) for one in _list(value, where))
        if len(numbers) != 3:
            raise ValueError(f"{where} must hold three numbers")
        return numbers
    if issubclass(kind, Enum):
        return kind(value)
    if kind is float and type(value) in (int, float) and math.isfinite(value):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    if type(value) is not kind:
        raise ValueError(f"{where} must be of type {kind.__name__}")
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list")
    return value
