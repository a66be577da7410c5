"""The key-value cache of a decoder, on its device, in the two ways in which decoder graphs keep it.

In place, the cache is as long as prompt and answer together, and the graph's attention (ONNX Runtime's own
GroupQueryAttention) writes each step into it: nothing that grows is copied. Grown, each step returns the cache with
the new tokens behind the old ones: nothing but standard operators, which TensorRT takes, too, and steps of several
tokens, which GroupQueryAttention takes for one photo alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.session import Session, import_onnxruntime

_STEP = 256
"""In place, a cache is made longer by so many positions at a time, so that most batches can share it [O]."""


class Caching(str, Enum):
    """How a decoder graph keeps its cache; the values are those of `shotcrop export-onnx --decoder`."""

    IN_PLACE = "gqa"
    GROWN = "concat"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What of a cache does not change.

    Args:
        layers: Layers of the decoder.
        heads: Heads in the cache.
        head_size: Width of a head.
        number: Type of its numbers in ONNX's enumeration `TensorProto.DataType`: 1 single, 10 half, 16 bfloat16.
    """

    layers: int
    heads: int
    head_size: int
    number: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """What the graph's inputs `past.*` and outputs `present.*` are called behind the dot."""
        return tuple(f"{layer}.{kind}" for layer in range(self.layers) for kind in ("key", "value"))


class PastTokens:
    """Keys and values (B, heads, positions, head size) of each layer of one batch.

    Args:
        shape: Their sizes.
        place: Device and its number, as ONNX Runtime names them.
    """

    def __init__(self, shape: CacheShape, place: tuple[str, int]) -> None:
        self.shape, self.place = shape, place
        self.values: list[Any] = []

    def start(self, batch: int, positions: int) -> None:
        """Begin a batch whose prompts and answers together take at most so many positions."""
        raise NotImplementedError

    def bind(self, binding: Any) -> None:
        """Let the next run read the cache and write it; its outputs come first among those of the binding."""
        raise NotImplementedError

    def advance(self, outputs: Sequence[Any]) -> None:
        """Take the cache over from the outputs of a run."""

    def keep(self, rows: NDArray[np.int64], choose: Session) -> None:
        """Go on with some rows of the batch alone.

        Args:
            rows: Their numbers.
            choose: Graph that picks them: `values` and `rows` to `chosen`.
        """
        for number, value in enumerate(self.values):
            binding = choose.session.io_binding()
            binding.bind_ortvalue_input("values", value)
            binding.bind_cpu_input("rows", rows)
            binding.bind_output("chosen", *self.place)
            choose.session.run_with_iobinding(binding)
            # One by one, so that no more than one of them is held twice.
            self.values[number] = binding.get_outputs()[0]
            del value

    def _made(self, batch: int, positions: int) -> list[Any]:
        size = (batch, self.shape.heads, positions, self.shape.head_size)
        return [self._value(size) for _ in self.shape.names]

    def _value(self, size: tuple[int, ...]) -> Any:
        value = import_onnxruntime().OrtValue
        if self.place[0] != "cpu":
            return value.ortvalue_from_shape_and_type(size, self.shape.number, *self.place)
        # On the CPU an OrtValue shares its array's memory, which zeros do not take before it is written to.
        return value.ortvalue_from_numpy(np.zeros(size, np.float32 if self.shape.number == 1 else np.float16))


class InPlace(PastTokens):
    """A cache that the graph writes to; what an older batch left there is masked."""

    def __init__(self, shape: CacheShape, place: tuple[str, int]) -> None:
        super().__init__(shape, place)
        self._size = (0, 0)

    def start(self, batch: int, positions: int) -> None:
        """Begin a batch; see `PastTokens`."""
        if self._size[0] != batch or self._size[1] < positions:
            self.values.clear()  # before the new ones are made: both need not fit
            self._size = (batch, -(-positions // _STEP) * _STEP)
            self.values = self._made(*self._size)

    def bind(self, binding: Any) -> None:
        """Bind each buffer as input and output; see `PastTokens`."""
        for name, value in zip(self.shape.names, self.values, strict=True):
            binding.bind_ortvalue_input(f"past.{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)

    def keep(self, rows: NDArray[np.int64], choose: Session) -> None:
        """Go on with some rows of the batch alone; see `PastTokens`."""
        super().keep(rows, choose)
        self._size = (len(rows), self._size[1])


class Grown(PastTokens):
    """A cache that each run returns longer than it was; it stays on the device."""

    def start(self, batch: int, positions: int) -> None:
        """Begin a batch with nothing; see `PastTokens`."""
        self.values = self._made(batch, 0)

    def bind(self, binding: Any) -> None:
        """Bind the cache as input, and let the device make room for the output; see `PastTokens`."""
        for name, value in zip(self.shape.names, self.values, strict=True):
            binding.bind_ortvalue_input(f"past.{name}", value)
            binding.bind_output(f"present.{name}", *self.place)

    def advance(self, outputs: Sequence[Any]) -> None:
        """Take the longer cache over; see `PastTokens`."""
        self.values = list(outputs[: len(self.values)])


def past_tokens(caching: Caching, shape: CacheShape, place: tuple[str, int]) -> PastTokens:
    """Return an empty cache for a decoder graph."""
    return (InPlace if caching is Caching.IN_PLACE else Grown)(shape, place)
