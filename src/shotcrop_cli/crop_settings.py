"""The settings that decide how a crop looks. If one changes, the next run makes the affected crops again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from shotcrop_cli.framing import Framing
from shotcrop_cli.imaging.formats import SAME_QUALITY, CropFormat, Quality
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import SHOT_TYPES, ShotType


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How crops should look. Every field has to be part of `concerning`.

    Args:
        format: File format; `same` keeps the photo's format if shotcrop can write it.
        quality: Quality of lossy formats, 1 to 100, or `same` for the photo's own.
        metadata: What the crops keep of the photo's metadata.
        xmp: Whether to write an XMP file with the caption next to each crop.
        framing: Aspect ratios, padding and least size.
        max_size: Pixels of the longer side that larger crops are shrunk to; None to shrink none.
        to_srgb: Whether to convert crops to sRGB instead of keeping the photo's colour space.
        lossless: Whether to copy crops of JPEG photos block by block if possible, instead of encoding them again.
    """

    format: CropFormat = CropFormat.SAME
    quality: Quality = SAME_QUALITY
    metadata: MetadataPolicy = MetadataPolicy.SAFE
    xmp: bool = False
    framing: Framing = Framing()  # noqa: RUF009 - it is frozen
    max_size: int | None = None
    lossless: bool = False
    to_srgb: bool = False

    def concerning(self, shot: ShotType) -> tuple[object, ...]:
        """Return the values that decide the files of one shot. Equal values give equal files."""
        look = (self.format, self.quality, self.metadata, self.xmp, self.max_size, self.lossless, self.to_srgb)
        return (*look, self.framing.for_shot(shot))

    @property
    def hash(self) -> str:
        """Hash of all settings, 16 hexadecimal digits."""
        return _hash(self)


@lru_cache(maxsize=64)
def _hash(settings: CropSettings) -> str:
    values = repr([[str(value) for value in settings.concerning(shot)] for shot in SHOT_TYPES])
    return hashlib.sha256(values.encode()).hexdigest()[:16]
