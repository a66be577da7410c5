"""The settings that decide how a crop looks. If one changes, the next run makes the affected crops again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from shotcrop_cli.framing import Framing
from shotcrop_cli.imaging.formats import SAME_QUALITY, CropFormat, Quality
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.ratio_sets import RatioSet
from shotcrop_cli.shots import DEFAULT_SET, SHOT_TYPES, CropKey, ShotType


class XmpMode(str, Enum):
    """Where captions are written besides the JSON sidecar."""

    NONE = "none"
    EMBEDDED = "embedded"
    """Into the crop itself."""
    SIDECAR = "sidecar"
    """Into an XMP file next to the crop."""
    BOTH = "both"

    def __str__(self) -> str:
        return self.value

    @property
    def embeds(self) -> bool:
        """Whether captions are written into crops."""
        return self in (XmpMode.EMBEDDED, XmpMode.BOTH)

    @property
    def has_files(self) -> bool:
        """Whether each crop has an XMP file."""
        return self in (XmpMode.SIDECAR, XmpMode.BOTH)

    @property
    def key(self) -> bool | str:
        """What stands for it in hashes. Earlier versions knew only files or none."""
        return {XmpMode.NONE: False, XmpMode.SIDECAR: True}.get(self, self.value)


class RuleCaptions(str, Enum):
    """Which captions the model writes by rule."""

    RULES = "rules"
    """A plain one, such as "A person outdoors", if it is sure of nothing else."""
    STRICT = "strict"
    """None unless it is sure of something that a caption is worth."""
    NONE = "none"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How crops should look, and which words go with them. Every field but those of the words is part of `concerning`.

    Args:
        format: File format; `same` keeps the photo's format if shotcrop can write it.
        quality: Quality of lossy formats, 1 to 100, or `same` for the photo's own.
        metadata: What the crops keep of the photo's metadata.
        xmp: Where to write the caption for other programs.
        framing: Aspect ratios, padding and least size.
        max_size: Pixels of the longer side that larger crops are shrunk to; None to shrink none.
        to_srgb: Whether to convert crops to sRGB instead of keeping the photo's colour space.
        lossless: Whether to copy crops of JPEG photos block by block if possible, instead of encoding them again.
        sets: The ratio sets, by name.
        keywords: Whether `xmp` also writes what the model sees as keywords.
        prefer_own_captions: Whether the caption replaces the description that the photo has.
        captions: Which captions the model writes by rule. They also stand in for those of a captioner.
        language: Language of these captions, a key of `captions.messages.LANGUAGES`.
    """

    format: CropFormat = CropFormat.SAME
    quality: Quality = SAME_QUALITY
    metadata: MetadataPolicy = MetadataPolicy.SAFE
    xmp: XmpMode = XmpMode.NONE
    framing: Framing = Framing()  # noqa: RUF009 - it is frozen
    max_size: int | None = None
    lossless: bool = False
    to_srgb: bool = False
    sets: tuple[RatioSet, ...] = ()
    keywords: bool = False
    prefer_own_captions: bool = False
    captions: RuleCaptions = RuleCaptions.RULES
    language: str = "en"

    def concerning(self, key: CropKey | ShotType) -> tuple[object, ...]:
        """Return the values that decide the file of one crop. Equal values give equal files."""
        look = (self.format, self.quality, self.metadata, self.xmp.key, self.max_size, self.lossless, self.to_srgb)
        return (*look, *self._texts, *self.shape(key))

    @property
    def _texts(self) -> tuple[str, ...]:
        """The settings of `xmp` that differ from those of earlier versions."""
        if self.xmp is XmpMode.NONE:
            return ()
        wanted = {"keywords": self.keywords, "prefer_own_captions": self.prefer_own_captions}
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    def shape(self, key: CropKey | ShotType) -> tuple[object, ...]:
        """Return the values that decide the box of one crop and how it fills its ratio."""
        key = CropKey.of(key)
        if key.set_name == DEFAULT_SET:
            return (self.framing.for_shot(key.shot),)
        ratio_set = self.ratio_set(key.set_name)
        if ratio_set is None:
            return (None,)
        how = (ratio_set.ratio(key.shot), ratio_set.upscale, ratio_set.fit, ratio_set.background)
        return (*how, self.framing.pad, self.framing.min_size)

    def ratio_set(self, name: str) -> RatioSet | None:
        """Return the ratio set with a name; None if there is none."""
        return next((one for one in self.sets if one.name == name), None)

    def framing_of(self, key: CropKey | ShotType) -> Framing:
        """Return how one crop is framed: by its set, or else as all crops are."""
        key = CropKey.of(key)
        ratio_set = self.ratio_set(key.set_name)
        ratio = None if ratio_set is None else ratio_set.ratio(key.shot)
        return self.framing if ratio is None else replace(self.framing, aspects=((key.shot, ratio.aspect),))

    @property
    def words(self) -> tuple[RuleCaptions, str]:
        """What decides the words. If it changes, they are written again, as far as they are by rule."""
        return self.captions, self.language

    @property
    def hash(self) -> str:
        """Hash of all settings, 16 hexadecimal digits."""
        return _hash(self)


@lru_cache(maxsize=64)
def _hash(settings: CropSettings) -> str:
    values = repr([[str(value) for value in settings.concerning(shot)] for shot in SHOT_TYPES])
    if settings.sets:
        values += repr(sorted(settings.sets, key=lambda one: one.name))
    if settings.words != CropSettings().words:  # earlier versions had no others
        values += repr(tuple(map(str, settings.words)))
    return hashlib.sha256(values.encode()).hexdigest()[:16]
