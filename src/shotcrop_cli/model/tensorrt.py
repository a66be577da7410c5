"""Options for TensorRT: the input shapes to build an engine for, and the folder to keep it in.

Building an engine takes minutes. By default, TensorRT builds one at the first shape, and again in the middle of a run
for each larger shape. With the range of shapes known, it builds one engine for all of them while the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.model.notices import Notices

TENSORRT = "TensorrtExecutionProvider"
LARGEST_BATCH = 256
"""Largest batch of an engine, and of any model (our choice)."""
USUAL_BATCH = 32
"""Batch size that an engine is tuned for (our choice)."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The range of shapes of one graph input.

    Args:
        name: Name of the input.
        minimum: Smallest size in each dimension.
        typical: The shape that the engine is tuned for.
        maximum: Largest size in each dimension.
    """

    name: str
    minimum: tuple[int, ...]
    typical: tuple[int, ...]
    maximum: tuple[int, ...]

    @classmethod
    def per_photo(cls, name: str, shape: tuple[int, ...], images: int = 1) -> Shapes:
        """Return the shapes of an input of which only the first dimension varies.

        Args:
            name: Name of the input.
            shape: The other dimensions.
            images: Images per photo: 2 with test-time flip augmentation.
        """
        return cls(name, (1, *shape), (images * USUAL_BATCH, *shape), (images * LARGEST_BATCH, *shape))


@dataclass(frozen=True, slots=True)
class Engine:
    """A graph that TensorRT runs as a whole.

    Args:
        model: Hash of the model folder.
        inputs: The range of shapes of each input with a variable shape.
    """

    model: str
    inputs: tuple[Shapes, ...]

    def options(self, folder: Path) -> dict[str, object]:
        """Return the options for ONNX Runtime's TensorRT provider, with the names of its documentation.

        Args:
            folder: The folder for engines and timings. Each model needs its own, because the provider tells engines
                apart by the names in the graph and not by its weights.
        """
        return {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(folder),
            "trt_profile_min_shapes": _format_shapes([(one.name, one.minimum) for one in self.inputs]),
            "trt_profile_opt_shapes": _format_shapes([(one.name, one.typical) for one in self.inputs]),
            "trt_profile_max_shapes": _format_shapes([(one.name, one.maximum) for one in self.inputs]),
        }


def _format_shapes(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """Write shapes as `pixel_values:32x3x256x256,...`."""
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes)


def announce_building(folder: Path, notices: Notices) -> None:
    """Say that building engines takes minutes, unless the folder has some already.

    Args:
        folder: Where engines are kept.
        notices: Receives the line.
    """
    if not any(folder.glob("*.engine")):
        notices.info(f"building TensorRT engines, this takes minutes once; they are kept in {folder}")
