"""A photo on its way through a run, and what is the same for all photos of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from shotcrop_cli.errors import OutputError
from shotcrop_cli.imaging.decode import SourceBytes
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import memory_bytes
from shotcrop_cli.library.hand_work import KEEP_ALL, Allowed
from shotcrop_cli.library.plan import Task
from shotcrop_cli.shots import Answer, ModelIdentity


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPhoto:
    """A decoded photo on its way to the model and then to be cropped.

    Args:
        task: What to do with it.
        source: The file as it was read. Its data is dropped unless crops are copied from it without loss.
        photo: Its upright pixels.
        thumbnail: What the model sees; None if it does not need to.
        decode_ms: Milliseconds for reading and decoding.
        answer: The model's answer; None if the sidecar says where to crop.
        model: The model that answered.
        compose_ms: The photo's share of the model's time in milliseconds.
    """

    task: Task
    source: SourceBytes
    photo: Photo
    thumbnail: Image.Image | None
    decode_ms: float
    answer: Answer | None = None
    model: ModelIdentity | None = None
    compose_ms: float = 0.0

    @property
    def aspect(self) -> float:
        """Width / height of the upright photo."""
        return self.photo.width / self.photo.height

    @property
    def bytes(self) -> int:
        """Bytes of memory that it holds."""
        return memory_bytes(self.photo.pixels) + len(self.source.data)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for all photos of a run.

    Args:
        root: The output folder.
        reproducible: Whether sidecars leave out when they were made and how long it took.
        min_score: Crops with a lower score need a review; None if none does.
        max_pixels: Pixels that a photo may have.
        allowed: What may be done to finished work.
        include_crops: Whether to crop what is itself a crop by shotcrop.
    """

    root: Path
    reproducible: bool = False
    min_score: float | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    allowed: Allowed = KEEP_ALL
    include_crops: bool = False
    _root_id: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_root_id", _file_id(self.root))

    def check_root(self) -> None:
        """Check that the output folder is still the same one, and not the mount point of a disk that was unmounted.

        Raises:
            OutputError: It is gone or another folder.
        """
        if _file_id(self.root) != self._root_id:
            raise OutputError(f"{self.root}: the output folder is gone", hint="mount its disk and run again")


def _file_id(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino
