"""The choices that decide what a crop looks like: when they change, the photo is done again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from shotcrop_cli.imaging.metadata import MetadataPolicy


@dataclass(frozen=True, slots=True)
class CropSettings:
    """What the user chose; nothing in here may be left out of the hash.

    Args:
        quality: 1..100 for lossy formats.
        metadata: What of the photo's metadata the crops inherit.
        format: Format of the crops; `same` as the photo's where it can be written.
    """

    quality: int = 95
    metadata: MetadataPolicy = MetadataPolicy.SAFE
    format: str = "same"

    @property
    def hash(self) -> str:
        """Hash of every choice, 16 hexadecimal digits."""
        choices = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(choices.encode()).hexdigest()[:16]
