"""What the runtime must know of a large model: the content of its `model.json`."""

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
_ROOM = 2.0
"""Width / height up to which a photo of `Vision.long_side` holds as many pixels as the model takes [O]."""


class Family(str, Enum):
    """Which class of models an export comes from; the values are `model_type` in a checkpoint's config."""

    QWEN3_VL = "qwen3_vl"
    QWEN2_5_VL = "qwen2_5_vl"

    def __str__(self) -> str:
        return self.value


class Precision(str, Enum):
    """The numbers that weights are stored in and graphs compute with."""

    FP32 = "fp32"
    """For CPUs: on a GPU ONNX Runtime's attention takes half precision alone."""
    FP16 = "fp16"
    BF16 = "bf16"
    """For GPUs: ONNX Runtime's CPU provider has no kernels for it."""

    def __str__(self) -> str:
        return self.value

    @property
    def bytes(self) -> int:
        """Size of a number."""
        return 4 if self is Precision.FP32 else 2

    @property
    def onnx_type(self) -> int:
        """The number's type in ONNX's enumeration `TensorProto.DataType`."""
        return {Precision.FP32: 1, Precision.FP16: 10, Precision.BF16: 16}[self]


@dataclass(frozen=True, slots=True)
class Prompt:
    """How the model is asked, its chat template filled in.

    Args:
        prefix: Text before the photo's visual tokens.
        suffix: Text after them, to where the model's answer begins.
        text_tokens: Tokens of both.
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
    """How photos become patches, and what the vision tower wants to know of them.

    Args:
        patch_size: Side of a patch in pixels.
        merge_size: Side of the square of patches that makes a visual token.
        temporal_patch_size: How often a still image is repeated, as the frames of a film are.
        min_pixels: Smaller photos are enlarged.
        max_pixels: Larger photos are reduced.
        mean: What is subtracted from red, green and blue in 0..1.
        std: What they are divided by then.
        grid_side: Side of the square table of learned positions, which is interpolated; 0 for none.
        window: Side of an attention window in visual tokens; 0 for none.
        heads: Heads of the tower's attention.
        width: Width of the tower.
        deepstack: How many of the tower's inner layers the decoder is shown.
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
        """Side in pixels of what a visual token covers."""
        return self.patch_size * self.merge_size

    @property
    def long_side(self) -> int:
        """Longer side in pixels that photos are shrunk to beforehand; up to 2:1 they keep all that the model sees."""
        return math.ceil(math.sqrt(_ROOM * self.max_pixels))

    @property
    def most_tokens(self) -> int:
        """Visual tokens of the largest photo."""
        return max(1, self.max_pixels // self.cell**2)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Sizes of the language model.

    Args:
        layers: Its layers.
        heads: Heads of a layer's attention.
        key_value_heads: Heads in the key-value cache.
        head_size: Width of a head.
        width: Width of a token.
        inner_width: Width within a layer's perceptron.
        context: Positions that it can address.
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
    """What the runtime must know of a large model.

    Args:
        format: Name and version of this layout.
        family: Which class of models it is of.
        name: The model's name, as sidecars give it.
        precision: What its graphs compute with.
        caching: How its decoder graph keeps its cache.
        prompt: How it is asked.
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
            ValueError: A key is missing, unknown or of the wrong kind.
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
