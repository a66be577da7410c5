"""The JSON file beside each triple: what was cut from which photo, by which model, and why.

It is written after the crops, so that its presence says that a photo is done. `sidecar.schema.json`
beside this file describes it to others. A failed photo gets none, so that the next run tries it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import TypeVar

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.metadata import MetadataPolicy
from shotcrop_cli.settings import CropSettings
from shotcrop_cli.shots import Box, ModelIdentity, PixelBox, Reasoning, ShotType

SCHEMA_ID = "shotcrop/1"
SCHEMA_PATH = Path(__file__).with_name("sidecar.schema.json")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class SettingsRecord:
    """The choices the crops were made with, and their hash at that time."""

    hash: str
    format: str
    quality: int
    metadata: str

    @classmethod
    def of(cls, settings: CropSettings) -> SettingsRecord:
        """Record the settings of a run."""
        return cls(settings.hash, settings.format, settings.quality, str(settings.metadata))


@dataclass(frozen=True, slots=True)
class ShotRecord:
    """One crop.

    Args:
        shot: Which of the three.
        box: Where it was cut, whole pixels of the upright photo; authoritative.
        box_norm: The same relative to the photo.
        file: Name of the crop, in the sidecar's own folder.
        caption: What is seen in it.
        score: The model's confidence, 0..1, None when it gave none.
    """

    shot: ShotType
    box: PixelBox
    box_norm: Box
    file: str
    caption: str = ""
    score: float | None = None


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
    settings: SettingsRecord
    reasoning: Reasoning
    shots: tuple[ShotRecord, ...]
    warnings: tuple[str, ...] = ()
    timing_ms: Timing | None = None
    shotcrop: str = ""
    created: str | None = None

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
        return _sidecar(_Object(json.loads(path.read_text(encoding="utf-8")), ""))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ShotcropError(
            f"{path}: not a sidecar of schema {SCHEMA_ID}: {error}",
            hint="delete it and run `shotcrop crop` again",
        ) from error


def iso_mtime(mtime_ns: int) -> str:
    """Write a file time as ISO 8601 UTC with microseconds, years beyond 9999 as the last moment before."""
    try:
        moment = _EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def iso_now() -> str:
    """Write the present moment as ISO 8601 UTC with seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _document(sidecar: Sidecar) -> dict[str, object]:
    source, model, settings = sidecar.source, sidecar.model, sidecar.settings
    document: dict[str, object] = {
        "schema": SCHEMA_ID,
        "status": str(sidecar.status),
        "source": {name: getattr(source, name) for name in SourceRecord.__slots__},
        "model": {"id": model.id, "sha256": model.sha256, "provider": model.provider},
        "settings": {name: getattr(settings, name) for name in SettingsRecord.__slots__},
        "reasoning": {name: getattr(sidecar.reasoning, name) for name in ("scene", "subject", "story")},
        "shots": [
            {
                "shot": str(shot.shot),
                "box": {name: getattr(shot.box, name) for name in ("x", "y", "width", "height")},
                "box_norm": [round(side, 6) for side in shot.box_norm],
                "file": shot.file,
                "caption": shot.caption,
                "score": None if shot.score is None else round(shot.score, 4),
            }
            for shot in sidecar.shots
        ],
        "warnings": list(sidecar.warnings),
    }
    if sidecar.timing_ms is not None:
        document["timing_ms"] = {
            name: round(getattr(sidecar.timing_ms, name), 1) for name in ("decode", "compose", "write")
        }
    document["shotcrop"] = sidecar.shotcrop
    if sidecar.created is not None:
        document["created"] = sidecar.created
    return document


class _Object:
    """A JSON object that names the key when a value is missing or of the wrong kind."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"{place or 'the document'} is not an object")
        self._values, self._place = value, place

    def get(self, key: str, *kinds: type[T]) -> T:
        value = self._values.get(key)
        # bool is an int to Python, not to JSON.
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{self._place}{key} is missing or of the wrong kind")
        return value

    def text_or_none(self, key: str) -> str | None:
        return None if self._values.get(key) is None else self.get(key, str)

    def number(self, key: str) -> float:
        return float(self.get(key, int, float))

    def number_or_none(self, key: str) -> float | None:
        return None if self._values.get(key) is None else self.number(key)

    def object(self, key: str) -> _Object:
        return _Object(self._values.get(key), f"{self._place}{key}.")

    def objects(self, key: str) -> list[_Object]:
        return [_Object(item, f"{self._place}{key}[{i}].") for i, item in enumerate(self.get(key, list))]

    def has(self, key: str) -> bool:
        return key in self._values


def _sidecar(document: _Object) -> Sidecar:
    if (schema := document.get("schema", str)) != SCHEMA_ID:
        raise ValueError(f"its schema is {schema!r}")
    source, model = document.object("source"), document.object("model")
    settings, reasoning = document.object("settings"), document.object("reasoning")
    timing = document.object("timing_ms") if document.has("timing_ms") else None
    return Sidecar(
        status=SidecarStatus(document.get("status", str)),
        source=SourceRecord(
            path=source.get("path", str),
            size_bytes=source.get("size_bytes", int),
            mtime=source.get("mtime", str),
            sha256=source.get("sha256", str),
            format=source.get("format", str),
            width=source.get("width", int),
            height=source.get("height", int),
            exif_orientation=source.get("exif_orientation", int),
            captured_at=source.text_or_none("captured_at"),
            camera=source.text_or_none("camera"),
        ),
        model=ModelIdentity(model.get("id", str), model.get("sha256", str), model.get("provider", str)),
        settings=SettingsRecord(
            hash=settings.get("hash", str),
            format=settings.get("format", str),
            quality=settings.get("quality", int),
            metadata=str(MetadataPolicy(settings.get("metadata", str))),
        ),
        reasoning=Reasoning(*(reasoning.get(name, str) for name in ("scene", "subject", "story"))),
        shots=tuple(_shot(shot) for shot in document.objects("shots")),
        warnings=tuple(str(warning) for warning in document.get("warnings", list)),
        timing_ms=None if timing is None else Timing(*(timing.number(name) for name in ("decode", "compose", "write"))),
        shotcrop=document.get("shotcrop", str),
        created=document.text_or_none("created"),
    )


def _shot(shot: _Object) -> ShotRecord:
    box = shot.object("box")
    return ShotRecord(
        shot=ShotType(shot.get("shot", str)),
        box=PixelBox(*(box.get(name, int) for name in ("x", "y", "width", "height"))),
        box_norm=Box(*shot.get("box_norm", list)),
        file=shot.get("file", str),
        caption=shot.get("caption", str),
        score=shot.number_or_none("score"),
    )
