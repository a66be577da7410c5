"""What TensorRT is told: which shapes to build an engine for, and where to keep it.

Building takes minutes. TensorRT left to itself builds when it first sees a shape, and again whenever a larger one
comes, in the middle of a run. Told the shapes beforehand, it builds one engine for all of them as the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.model.notices import Notices

TENSORRT = "TensorrtExecutionProvider"
LARGEST_BATCH = 256
"""Photos that an engine takes at most, and that any model is handed at once [O]."""
USUAL_BATCH = 32
"""Photos that an engine is tuned for [O]."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes that one input of a graph may take.

    Args:
        name: The input's name.
        least: Its smallest size in each dimension.
        usual: What an engine is tuned for.
        most: Its largest.
    """

    name: str
    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]

    @classmethod
    def per_photo(cls, name: str, shape: tuple[int, ...], looks: int = 1) -> Shapes:
        """Return the shapes of an input in which nothing varies but the number of photos, its first dimension."""
        return cls(name, (1, *shape), (looks * USUAL_BATCH, *shape), (looks * LARGEST_BATCH, *shape))


@dataclass(frozen=True, slots=True)
class Engine:
    """A graph that TensorRT takes whole.

    Args:
        model: Hash of the model folder.
        inputs: The shapes of each input of the graph whose shape varies.
    """

    model: str
    inputs: tuple[Shapes, ...]

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
            "trt_profile_min_shapes": _written([(one.name, one.least) for one in self.inputs]),
            "trt_profile_opt_shapes": _written([(one.name, one.usual) for one in self.inputs]),
            "trt_profile_max_shapes": _written([(one.name, one.most) for one in self.inputs]),
        }


def _written(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> str:
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
