"""A sidecar, and the schema that sidecars follow."""

import json

from jsonschema import Draft202012Validator

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.shots import Box, ModelIdentity, PixelBox, Reasoning, ShotType
from shotcrop_cli.sidecar import (
    SCHEMA_PATH,
    FileSize,
    MainPerson,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    SourceRecord,
    Timing,
    iso_mtime,
)

SCHEMA = Draft202012Validator(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


def example(path: str = "/photos/a.jpg", caption: str = "A man in a field.") -> Sidecar:
    box = Box(0.1, 0.2, 0.4, 0.6)
    shots = tuple(
        ShotRecord(kind, PixelBox(10, 20, 30, 40), box, box, f"a.jpg.{kind}.jpg", FileSize(30, 40), caption, 0.75)
        for kind in ShotType
    )
    return Sidecar(
        status=SidecarStatus.DONE,
        source=SourceRecord(path, 1234, iso_mtime(1_000), "c" * 64, "JPEG", 100, 100, 6, None, "Canon EOS R5"),
        model=ModelIdentity("shotcrop-nano", "d" * 64, "cpu"),
        settings=CropSettings(),
        main_person=MainPerson(Box(0.0, 0.1, 0.5, 1.0), None),
        reasoning=Reasoning("A field.", "A man.", "He waits."),
        shots=shots,
        warnings=("animated: only the first frame is used",),
        timing_ms=Timing(1.5, 2.5, 3.5),
        shotcrop="0.1.0",
        created="2026-01-02T03:04:05Z",
    )
