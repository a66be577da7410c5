"""What `shotcrop crop` leaves of a photo, made without a model."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.shots import SHOT_TYPES, Box, ModelIdentity, PixelBox, Reasoning
from shotcrop_cli.sidecar import FileSize, MainPerson, ShotRecord, Sidecar, SidecarStatus, SourceRecord

GREY = (90, 90, 90)


def sidecar_of(photo: Path, size: tuple[int, int], boxes: tuple[PixelBox, ...]) -> Sidecar:
    width, height = size
    shots = []
    for shot_type, box in zip(SHOT_TYPES, boxes, strict=False):
        left, upper, right, lower = box.corners
        shots.append(
            ShotRecord(
                shot=shot_type,
                box=box,
                box_norm=Box(left / width, upper / height, right / width, lower / height),
                model_box=Box(left / width, upper / height, right / width, lower / height),
                file=f"{photo.name}.{shot_type}.png",
                size=FileSize(right - left, lower - upper),
                caption=f"A person in grey, {shot_type}.",
                score=0.5,
            )
        )
    return Sidecar(
        status=SidecarStatus.DONE if shots else SidecarStatus.NO_SUBJECT,
        source=SourceRecord(str(photo), 1, "2026-01-01T00:00:00.000000Z", "0" * 64, "PNG", width, height),
        model=ModelIdentity("shotcrop-nano", "0" * 64, "CPUExecutionProvider"),
        settings=CropSettings(),
        main_person=MainPerson(),
        reasoning=Reasoning("A grey room.", "No one in particular.", "Nothing happens."),
        shots=tuple(shots),
    )


def write_shots(root: Path, name: str, size: tuple[int, int] = (300, 200), *, person: bool = True) -> Path:
    """Write what `shotcrop crop` leaves of one photo, and the photo next to the output folder."""
    width, height = size
    photo, record_path = root.parent / "photos" / name, root / f"{name}.json"
    for folder in (photo.parent, record_path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size, GREY)
    picture.save(photo)
    boxes = (
        PixelBox(0, 0, width, height),
        PixelBox(width // 4, 0, width // 2, height // 2),
        PixelBox(width // 3, 0, width // 4, height // 4),
    )
    record = sidecar_of(photo, size, boxes if person else ())
    for shot in record.shots:
        picture.crop(shot.box.corners).save(record_path.parent / shot.file)
    record_path.write_bytes(record.to_bytes())
    return photo


def change(sidecar: Path, shot: int, **values: object) -> None:
    document = json.loads(sidecar.read_bytes())
    document["shots"][shot].update(values)
    sidecar.write_text(json.dumps(document), "utf-8")
