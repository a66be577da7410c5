"""The choices that decide what a crop looks like: when they change, the crops they concern are cut again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from shotcrop_cli.framing import Framing
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import SHOT_TYPES, ShotType


@dataclass(frozen=True, slots=True)
class CropSettings:
    """What the user chose; nothing in here may be left out of `concerning`.

    Args:
        format: Format of the crops; `same` as the photo's where it can be written.
        quality: 1..100 for lossy formats.
        metadata: What of the photo's metadata the crops inherit.
        xmp: Whether an XMP file with the caption lies beside each crop.
        framing: Aspect, padding and least size.
        max_size: Longer side in pixels that crops are shrunk to where it is longer; None for never.
        lossless: Whether crops of JPEG photos are copied block by block instead of encoded anew, where that can be had.
    """

    format: CropFormat = CropFormat.SAME
    quality: int = 95
    metadata: MetadataPolicy = MetadataPolicy.SAFE
    xmp: bool = False
    framing: Framing = Framing()  # noqa: RUF009 - it is frozen
    max_size: int | None = None
    lossless: bool = False

    def concerning(self, shot: ShotType) -> tuple[object, ...]:
        """Return the choices that decide the files of one shot: equal ones give equal files."""
        look = (self.format, self.quality, self.metadata, self.xmp, self.max_size, self.lossless)
        return (*look, self.framing.for_shot(shot))

    @property
    def hash(self) -> str:
        """Hash of every choice, 16 hexadecimal digits."""
        return _hash(self)


@lru_cache(maxsize=64)
def _hash(settings: CropSettings) -> str:
    choices = repr([[str(choice) for choice in settings.concerning(shot)] for shot in SHOT_TYPES])
    return hashlib.sha256(choices.encode()).hexdigest()[:16]
