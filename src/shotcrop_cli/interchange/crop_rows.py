"""The rows of a manifest: one for each crop in a sidecar, and one for each photo without people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from shotcrop_cli.geometry import from_pixels
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto
from shotcrop_cli.shots import MAIN, person_number
from shotcrop_cli.sidecar import BOX_DIGITS, SCORE_DIGITS, ShotRecord, Sidecar


@dataclass(frozen=True, slots=True)
class CropRow:
    """A row of a manifest. The fields are its columns, in this order; docs/results.md explains them.

    All that describe a shot are None for a photo without people.
    """

    photo: str
    photo_width: int
    photo_height: int
    status: str
    shot: str | None
    person: str | None
    person_name: str | None
    set: str | None
    box_x: int | None
    box_y: int | None
    box_width: int | None
    box_height: int | None
    box_x0: float | None
    box_y0: float | None
    box_x1: float | None
    box_y1: float | None
    file: str | None
    width: int | None
    height: int | None
    caption: str | None
    alt_text: str | None
    score: float | None
    edited: bool
    rejected: bool
    retouched: bool
    left_out: str | None
    story: str | None
    captured_at: str | None
    model: str
    model_sha256: str
    sidecar: str


COLUMNS = tuple(field.name for field in fields(CropRow))
"""Names of the columns, in their order."""


def rows_of(photo: RecordedPhoto) -> Iterator[CropRow]:
    """Yield the rows of a photo: the three ordinary crops, the widest shot first, then the others."""
    if not photo.record.shots:
        yield _row(photo, None)
    for shot in photo.record.all_crops:
        yield _row(photo, shot)


def _name_of(shot: ShotRecord, record: Sidecar) -> str | None:
    """Return who a crop shows, if the sidecar has a name."""
    boxes = [one.model_box for one in record.shots]
    is_alone = bool(record.people) and [one.box for one in record.people[0].shots] == boxes
    number = 1 if shot.person == MAIN and is_alone else person_number(shot.person)
    return None if number is None or number > len(record.people) else record.people[number - 1].name


def _row(photo: RecordedPhoto, shot: ShotRecord | None) -> CropRow:
    record, source = photo.record, photo.record.source
    box = None if shot is None else shot.box
    # Not `box_norm`, which is older than a box that somebody has edited since.
    sides = (None,) * 4 if box is None else from_pixels(box, source.width, source.height)
    x0, y0, x1, y1 = (None if side is None else round(side, BOX_DIGITS) for side in sides)
    crop = None if shot is None else photo.crop(shot)
    size = None if shot is None or crop is None else shot.size
    return CropRow(
        photo=source.path,
        photo_width=source.width,
        photo_height=source.height,
        status=str(record.status),
        shot=None if shot is None else str(shot.shot),
        person=None if shot is None else shot.person,
        person_name=None if shot is None else _name_of(shot, record),
        set=None if shot is None else shot.set_name,
        box_x=None if box is None else box.x,
        box_y=None if box is None else box.y,
        box_width=None if box is None else box.width,
        box_height=None if box is None else box.height,
        box_x0=x0,
        box_y0=y0,
        box_x1=x1,
        box_y1=y1,
        file=None if crop is None else photo.relative(crop),
        width=None if size is None else size.width,
        height=None if size is None else size.height,
        caption=None if shot is None else shot.caption,
        alt_text=None if shot is None else shot.alt_text,
        score=None if shot is None or shot.score is None else round(shot.score, SCORE_DIGITS),
        edited=shot is not None and shot.edited,
        rejected=record.rejected if shot is None else photo.is_rejected(shot),
        retouched=shot is not None and shot.retouched,
        left_out=None if shot is None else shot.left_out or None,
        story=None if record.captions is None else record.captions.story,
        captured_at=source.captured_at,
        model=record.model.id,
        model_sha256=record.model.sha256,
        sidecar=photo.relative(photo.sidecar),
    )
