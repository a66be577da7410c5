"""The key-value cache of a decoder on its device, in the two forms that decoder graphs use.

In place: the cache has room for prompt and answer, and the graph's attention (GroupQueryAttention of ONNX Runtime)
writes each step into it. Nothing is copied.

Growing: each step returns the cache with the new tokens after the old ones. Such a graph has only standard operators,
so TensorRT can run it. It also takes steps of several tokens, which GroupQueryAttention takes only for a single photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from shotcrop_cli.model.session import Session, import_onnxruntime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STEP = 256
"""An in-place cache has a multiple of this many positions (our choice), so that most batches can share it."""


class Caching(str, Enum):
    """The form of a decoder's cache; the values are those of `shotcrop export-onnx --decoder`."""

    IN_PLACE = "gqa"
    GROWN = "concat"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CacheShape:
    """The sizes of a cache that are the same for all batches.

    Args:
        layers: Number of decoder layers.
        heads: Number of heads in the cache.
        head_size: Width of a head.
        onnx_type: Element type, as a number of ONNX's `TensorProto.DataType`: 1 float32, 10 float16, 16 bfloat16.
    """

    layers: int
    heads: int
    head_size: int
    onnx_type: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the graph's inputs `past.*` and outputs `present.*` after the dot."""
        return tuple(f"{layer}.{kind}" for layer in range(self.layers) for kind in ("key", "value"))


class KvCache:
    """Keys and values of each layer for one batch, each of shape (B, heads, positions, head size).

    Args:
        shape: The sizes that stay the same.
        place: Type and number of the device, as ONNX Runtime names them.
    """

    def __init__(self, shape: CacheShape, place: tuple[str, int]) -> None:
        self.shape, self.place = shape, place
        self.values: list[Any] = []

    def start(self, batch: int, positions: int) -> None:
        """Begin a batch of `batch` photos, whose prompts and answers take at most `positions` positions together."""
        raise NotImplementedError

    def bind(self, binding: Any) -> None:
        """Bind the cache as input and output of the next run. Its outputs come first in the binding."""
        raise NotImplementedError

    def advance(self, outputs: Sequence[Any]) -> None:
        """Take the new cache from the outputs of a run."""

    def keep_rows(self, rows: NDArray[np.int64], choose: Session) -> None:
        """Keep only some rows of the batch.

        Args:
            rows: Numbers of the rows (N,), int64.
            choose: The graph that selects them: `values` and `rows` to `chosen`.
        """
        for number, value in enumerate(self.values):
            binding = choose.session.io_binding()
            binding.bind_ortvalue_input("values", value)
            binding.bind_cpu_input("rows", rows)
            binding.bind_output("chosen", *self.place)
            choose.session.run_with_iobinding(binding)
            # One at a time, so that at most one of them is in memory twice.
            self.values[number] = binding.get_outputs()[0]
            del value

    def _new_values(self, batch: int, positions: int) -> list[Any]:
        size = (batch, self.shape.heads, positions, self.shape.head_size)
        return [self._new_value(size) for _ in self.shape.names]

    def _new_value(self, size: tuple[int, ...]) -> Any:
        value = import_onnxruntime().OrtValue
        if self.place[0] != "cpu":
            return value.ortvalue_from_shape_and_type(size, self.shape.onnx_type, *self.place)
        import numpy as np  # not above: a run that finds everything up to date needs no numpy

        # On the CPU an OrtValue shares the memory of its array, and zeros take no memory before they are written to.
        return value.ortvalue_from_numpy(np.zeros(size, np.float32 if self.shape.onnx_type == 1 else np.float16))


class InPlaceCache(KvCache):
    """A cache that the graph writes into. What an older batch left there is masked."""

    def __init__(self, shape: CacheShape, place: tuple[str, int]) -> None:
        super().__init__(shape, place)
        self._size = (0, 0)

    def start(self, batch: int, positions: int) -> None:
        """Begin a batch; see `KvCache`."""
        if self._size[0] != batch or self._size[1] < positions:
            self.values.clear()  # before the new ones are allocated: both need not fit into memory
            self._size = (batch, -(-positions // _STEP) * _STEP)
            self.values = self._new_values(*self._size)

    def bind(self, binding: Any) -> None:
        """Bind each buffer as input and output; see `KvCache`."""
        for name, value in zip(self.shape.names, self.values, strict=True):
            binding.bind_ortvalue_input(f"past.{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)

    def keep_rows(self, rows: NDArray[np.int64], choose: Session) -> None:
        """Keep only some rows of the batch; see `KvCache`."""
        super().keep_rows(rows, choose)
        self._size = (len(rows), self._size[1])


class GrowingCache(KvCache):
    """A cache that each run returns with more positions. It stays on the device."""

    def start(self, batch: int, positions: int) -> None:
        """Begin a batch with an empty cache; see `KvCache`."""
        self.values = self._new_values(batch, 0)

    def bind(self, binding: Any) -> None:
        """Bind the cache as input, and let ONNX Runtime allocate the output on the device; see `KvCache`."""
        for name, value in zip(self.shape.names, self.values, strict=True):
            binding.bind_ortvalue_input(f"past.{name}", value)
            binding.bind_output(f"present.{name}", *self.place)

    def advance(self, outputs: Sequence[Any]) -> None:
        """Take the longer cache; see `KvCache`."""
        self.values = list(outputs[: len(self.values)])


def make_kv_cache(caching: Caching, shape: CacheShape, place: tuple[str, int]) -> KvCache:
    """Return an empty cache for a decoder graph."""
    return (InPlaceCache if caching is Caching.IN_PLACE else GrowingCache)(shape, place)
