"""What goes through a run: the job that is due, the photo on its way, what a model made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import OutputError
from shotcrop_cli.imaging.decode import Fingerprint, Photo
from shotcrop_cli.imaging.pixels import bytes_held
from shotcrop_cli.library.plan import Decision, Job
from shotcrop_cli.shots import Answer, ModelIdentity


@dataclass(frozen=True, slots=True)
class Task:
    """A job that is due, what there is to do, and the settings to do it by."""

    job: Job
    decision: Decision
    settings: CropSettings

    @property
    def composes(self) -> bool:
        """Whether the model has to see the photo."""
        return self.decision.work.composes


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPhoto:
    """A photo on its way to the model or, where its boxes are on record, to the knife.

    Args:
        task: What it is and what is to come of it.
        photo: Its upright pixels.
        thumbnail: What the model sees, None where it need not.
        fingerprint: Of exactly the bytes that were decoded.
        decode_ms: How long reading and decoding took, milliseconds.
        stored: These bytes, where crops are copied out of them; otherwise empty.
    """

    task: Task
    photo: Photo
    thumbnail: Image.Image | None
    fingerprint: Fingerprint
    decode_ms: float
    stored: bytes = b""

    @property
    def aspect(self) -> float:
        """Width / height of the upright photo."""
        return self.photo.width / self.photo.height

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        return bytes_held(self.photo.pixels) + len(self.stored)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model made of one photo.

    Args:
        answer: Its answer.
        model: Which model it was, and where it ran.
        compose_ms: The photo's share of the model's time, milliseconds.
    """

    answer: Answer
    model: ModelIdentity
    compose_ms: float


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for every photo of a run.

    Args:
        root: The output folder.
        reproducible: Whether sidecars leave out when they were made and how long it took.
        min_score: Crops with a lower score are doubtful; None when none is.
    """

    root: Path
    reproducible: bool = False
    min_score: float | None = None
    _identity: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_identity", _identity(self.root))

    def check_root(self) -> None:
        """See that the output folder is the one the run began with, not what an unmounted disk leaves.

        Raises:
            OutputError: It is gone, or another.
        """
        if _identity(self.root) != self._identity:
            raise OutputError(f"{self.root}: the output folder is gone", hint="mount it again and rerun")


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino
