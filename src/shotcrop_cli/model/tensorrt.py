"""What TensorRT is told: which shapes to build an engine for, and where to keep it.

Building takes minutes. TensorRT left to itself builds when it first sees a shape, and again whenever a larger one
comes, in the middle of a run. Told the shapes beforehand, it builds one engine for all of them as the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TENSORRT = "TensorrtExecutionProvider"
LARGEST_BATCH = 256
"""Photos that an engine takes at most, and that any model is handed at once [O]."""
_USUAL_BATCH = 32
"""Photos that an engine is tuned for [O]."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A graph that TensorRT takes whole, since nothing varies but the number of photos.

    Args:
        model: Hash of the model folder.
        inputs: Name of each input of the graph, and its shape without the first dimension, the photos.
    """

    model: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]

    def options(self, folder: Path) -> dict[str, object]:
        """Return the options of ONNX Runtime's TensorRT provider, by the names of its documentation.

        Args:
            folder: Where engines and timings are kept. One per model: the provider tells engines apart by the names in
                the graph and not by its weights.
        """
        return {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(folder),
            "trt_profile_min_shapes": self._shapes(1),
            "trt_profile_opt_shapes": self._shapes(_USUAL_BATCH),
            "trt_profile_max_shapes": self._shapes(LARGEST_BATCH),
        }

    def _shapes(self, photos: int) -> str:
        """Write shapes as `pixel_values:32x3x256x256,...`."""
        return ",".join(f"{name}:{'x'.join(map(str, (photos, *shape)))}" for name, shape in self.inputs)


def announce_building(folder: Path, tell: Callable[[str], None]) -> None:
    """Say what takes so long when no engine is kept yet.

    Args:
        folder: Where engines are kept.
        tell: Says it.
    """
    if not any(folder.glob("*.engine")):
        tell(f"building TensorRT engines, this takes minutes once; they are kept in {folder}")
