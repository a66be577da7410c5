"""The JSON file beside each triple: what was cut from which photo, by which model, and why.

It is written after the crops, so that its presence says that a photo is done. `sidecar.schema.json`
beside this file describes it to others. A failed photo gets none, so that the next run tries it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import SHOT_TYPES, Box, ModelIdentity, PixelBox, Reasoning, ShotType

SCHEMA_ID = "shotcrop/1"
SCHEMA_PATH = Path(__file__).with_name("sidecar.schema.json")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BOX_DIGITS = 6
"""Decimals of relative boxes: a pixel of any photo is wider than their last [O]."""
SCORE_DIGITS = 4
"""Decimals of scores: far finer than any model is sure [O]."""
LARGEST = 1 << 20
"""Bytes a sidecar may have; ours have some 3,000 [O]."""


class SidecarStatus(str, Enum):
    """How a photo ended that needs no second try."""

    DONE = "done"
    NO_SUBJECT = "no_subject"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The photo as it was when it was read.

    Args:
        path: Absolute path.
        size_bytes: Size of the file.
        mtime: Its modification time, as `iso_mtime` writes it.
        sha256: Hash of its content.
        format: Container, Pillow's name.
        width: Width in pixels, upright.
        height: Height in pixels, upright.
        exif_orientation: How the stored pixels are turned, 1..8.
        captured_at: ISO 8601 time of the camera's clock, None when unknown.
        camera: Make and model, None when unknown.
        lens: Its lens, None when unknown.
        has_gps: Whether the photo says where it was taken; where is never recorded.
    """

    path: str
    size_bytes: int
    mtime: str
    sha256: str
    format: str
    width: int
    height: int
    exif_orientation: int = 1
    captured_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    has_gps: bool = False


@dataclass(frozen=True, slots=True)
class Lead:
    """Where the model sees the person who carries the story; None where it does not say.

    Args:
        body: The whole person, as far as it is in the photo.
        head: Hair top to chin.
    """

    body: Box | None = None
    head: Box | None = None


@dataclass(frozen=True, slots=True)
class FileSize:
    """Width and height in pixels of a written crop; smaller than its box where `--max-size` shrank it."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ShotRecord:
    """One shot.

    Args:
        shot: Which of the three.
        box: Where it was cut, whole pixels of the upright photo; authoritative.
        box_norm: The same relative to the photo.
        model_box: What the model proposed, relative to the photo, before aspect, padding and size were seen to.
        file: Path of the crop from the sidecar's own folder; None when this shot was not asked for.
        size: The crop's own size; None when there is no crop.
        caption: What is seen in it.
        score: The model's confidence, 0..1, None when it gave none.
        edited: Whether a person set the box, which no later run overrules. A box that is no longer what `box_norm` says
            was set by one.
    """

    shot: ShotType
    box: PixelBox
    box_norm: Box
    model_box: Box
    file: str | None
    size: FileSize | None
    caption: str = ""
    score: float | None = None
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a photo took: reading and decoding, its share of the batch, cutting and writing."""

    decode: float
    compose: float
    write: float


@dataclass(frozen=True, slots=True)
class Sidecar:
    """All that a sidecar tells; see the records above."""

    status: SidecarStatus
    source: SourceRecord
    model: ModelIdentity
    settings: CropSettings
    lead: Lead
    reasoning: Reasoning
    shots: tuple[ShotRecord, ...]
    warnings: tuple[str, ...] = ()
    timing_ms: Timing | None = None
    shotcrop: str = ""
    created: str | None = None

    @property
    def edited(self) -> bool:
        """Whether a person set any of its boxes."""
        return any(shot.edited for shot in self.shots)

    def to_bytes(self) -> bytes:
        """Serialise with stable key order, two spaces, UTF-8."""
        text = json.dumps(_document(self), ensure_ascii=False, indent=2) + "\n"
        # File names that are no UTF-8 reach here as lone surrogates; JSON can spell those out in ASCII.
        return text.encode("utf-8", "backslashreplace")


def read(path: Path) -> Sidecar:
    """Read a sidecar.

    Raises:
        ShotcropError: It is no sidecar of this schema; the message says where it goes wrong.
        FileNotFoundError: There is none.
    """
    try:
        with path.open("rb") as file:
            return parse(file.read(LARGEST + 1))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ShotcropError(
            f"{path}: not a sidecar of schema {SCHEMA_ID}: {error}",
            hint="mend it, or delete it and run `shotcrop crop` again",
        ) from error


def parse(content: bytes) -> Sidecar:
    """Turn a sidecar's content into its records.

    Raises:
        ValueError: It does not follow the schema, or a box leaves its photo.
        RecursionError: It is nested without end.
    """
    if len(content) > LARGEST:
        raise ValueError("it is far too large")
    document = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    if isinstance(document, Mapping) and document.get("schema", SCHEMA_ID) != SCHEMA_ID:
        raise ValueError(f"its schema is {document['schema']!r}")
    _validate(document)
    return _sidecar(document)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def iso_mtime(mtime_ns: int) -> str:
    """Write a file time as ISO 8601 UTC with microseconds, years beyond 9999 as the last moment before."""
    seconds, microseconds = divmod(mtime_ns // 1000, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if (day := _iso_day(days)) is None:
        return "9999-12-31T23:59:59.999999Z"
    return f"{day}T{hours:02}:{minutes:02}:{seconds:02}.{microseconds:06}Z"


@lru_cache(maxsize=4096)  # photos of a day lie together, and `datetime` takes three times as long
def _iso_day(days: int) -> str | None:
    try:
        return (_EPOCH + timedelta(days=days)).date().isoformat()
    except OverflowError:
        return None


def iso_now() -> str:
    """Write the present moment as ISO 8601 UTC with seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _document(sidecar: Sidecar) -> dict[str, object]:
    document: dict[str, object] = {
        "schema": SCHEMA_ID,
        "status": str(sidecar.status),
        "source": _values(sidecar.source),
        "model": _values(sidecar.model),
        "settings": settings_document(sidecar.settings),
        "lead": {"body": _sides(sidecar.lead.body), "head": _sides(sidecar.lead.head)},
        "reasoning": _values(sidecar.reasoning),
        "shots": [_shot_document(shot) for shot in sidecar.shots],
        "warnings": list(sidecar.warnings),
    }
    if sidecar.timing_ms is not None:
        document["timing_ms"] = {name: round(value, 1) for name, value in _values(sidecar.timing_ms).items()}
    document["shotcrop"] = sidecar.shotcrop
    if sidecar.created is not None:
        document["created"] = sidecar.created
    return document


def settings_document(settings: CropSettings) -> dict[str, object]:
    """Return the settings as the sidecar spells them."""
    framing = settings.framing
    return {
        "hash": settings.hash,
        "format": str(settings.format),
        "quality": settings.quality,
        "metadata": str(settings.metadata),
        "xmp": settings.xmp,
        "aspect": {str(shot): str(aspect) for shot, aspect in framing.aspects},
        "pad": framing.pad,
        "min_size": framing.min_size,
        "max_size": settings.max_size,
        "lossless": settings.lossless,
    }


def _shot_document(shot: ShotRecord) -> dict[str, object]:
    return {
        "shot": str(shot.shot),
        "box": _values(shot.box),
        "box_norm": _sides(shot.box_norm),
        "model_box": _sides(shot.model_box),
        "file": shot.file,
        "size": None if shot.size is None else _values(shot.size),
        "caption": shot.caption,
        "score": None if shot.score is None else round(shot.score, SCORE_DIGITS),
        "edited": shot.edited,
    }


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _sides(box: Box | None) -> list[float] | None:
    return None if box is None else [round(side, BOX_DIGITS) for side in box]


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema  # takes a tenth of a second, and most runs only glance

    return jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text("utf-8")))


def _validate(document: object) -> None:
    from jsonschema.exceptions import best_match

    if (error := best_match(_validator().iter_errors(document))) is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        raise ValueError(f"{place.lstrip('.') or 'the document'}: {error.message[:200]}")


def _sidecar(document: Mapping[str, Any]) -> Sidecar:
    source = SourceRecord(**document["source"])
    lead, timing = document["lead"], document.get("timing_ms")
    return Sidecar(
        status=SidecarStatus(document["status"]),
        source=source,
        model=ModelIdentity(**document["model"]),
        settings=_settings(document["settings"]),
        lead=Lead(*(None if lead[part] is None else Box(*lead[part]) for part in ("body", "head"))),
        reasoning=Reasoning(**document["reasoning"]),
        shots=tuple(_shot(shot, source) for shot in document["shots"]),
        warnings=tuple(document["warnings"]),
        timing_ms=None if timing is None else Timing(**timing),
        shotcrop=document["shotcrop"],
        created=document.get("created"),
    )


def _settings(document: Mapping[str, Any]) -> CropSettings:
    aspects = document["aspect"]
    return CropSettings(
        format=CropFormat(document["format"]),
        quality=document["quality"],
        metadata=MetadataPolicy(document["metadata"]),
        xmp=document["xmp"],
        framing=Framing(
            aspects=tuple((shot, Aspect.parse(aspects[shot])) for shot in SHOT_TYPES if shot in aspects),
            pad=document["pad"],
            min_size=document["min_size"],
        ),
        max_size=document["max_size"],
        lossless=document["lossless"],
    )


def is_moved(box: PixelBox, box_norm: Box, source: SourceRecord) -> bool:
    """Tell whether a shot's box was changed since the file was written, by whoever did not know `box_norm`."""
    return to_pixels(box_norm, source.width, source.height) != box


def _shot(shot: Mapping[str, Any], source: SourceRecord) -> ShotRecord:
    # To JSON Schema 3.0 is an integer, too.
    box = PixelBox(*(int(shot["box"][name]) for name in ("x", "y", "width", "height")))
    size = shot["size"]
    _, _, right, lower = box.corners
    if right > source.width or lower > source.height:
        raise ValueError(f"the box of {shot['shot']} leaves the photo of {source.width} x {source.height} pixels")
    box_norm = Box(*shot["box_norm"])
    return ShotRecord(
        shot=ShotType(shot["shot"]),
        box=box,
        box_norm=box_norm,
        model_box=Box(*shot["model_box"]),
        file=shot["file"],
        size=None if size is None else FileSize(int(size["width"]), int(size["height"])),
        caption=shot["caption"],
        score=shot["score"],
        edited=shot["edited"] or is_moved(box, box_norm, source),
    )
