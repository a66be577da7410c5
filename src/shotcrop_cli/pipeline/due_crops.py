"""Say which crops of a photo are due once it is known who is in it, and where each is cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shotcrop_cli.framing import frame_shot
from shotcrop_cli.geometry import from_pixels, to_pixels
from shotcrop_cli.imaging.lossless import align_to_blocks
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.library.plan import Task
from shotcrop_cli.pipeline.crop import copies_blocks
from shotcrop_cli.shots import MAIN, SHOT_TYPES, CropKey, Shot, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar
from shotcrop_cli.subjects import Subject, subject_of


def add_crops(sidecar: Sidecar, task: Task) -> tuple[Sidecar, Task]:
    """Add the crops of other people and of ratio sets that the run asks for, and return the task with all that are due.

    Args:
        sidecar: The sidecar, with a new answer of the model if the task asked for one.
        task: The task. Without `wanted`, nothing is added.
    """
    wanted, record = task.wanted, task.record
    if not sidecar.shots:
        return sidecar, task
    asked = () if wanted is None else wanted.crops(sidecar)
    recorded = () if record is None else record.more_crops
    known = {crop.key for crop in sidecar.more_crops}
    added: list[ShotRecord] = []
    for key in dict.fromkeys((*asked, *(crop.key for crop in recorded))):
        if not key.is_ordinary and key not in known and (crop := _proposed(key, sidecar)) is not None:
            added.append(crop)
    sidecar = replace(sidecar, more_crops=(*sidecar.more_crops, *added))
    if not task.needs_model or wanted is None:
        return sidecar, task
    # The model may have found other people than those that the task was made for.
    rejected = {crop.key for crop in (() if record is None else record.all_crops) if crop.rejected}
    made = {crop.key for crop in (() if record is None else record.all_crops) if crop.file is not None}
    kept = task.shots if wanted.subjects.is_main else [key for key in task.shots if key in made]
    due = {*kept, *(asked if wanted.shots else ())} - rejected
    return sidecar, replace(task, shots=tuple(crop.key for crop in sidecar.all_crops if crop.key in due))


def frame_crops(
    sidecar: Sidecar, photo: Photo, due: Sequence[CropKey | ShotType]
) -> tuple[tuple[ShotRecord, ...], list[str]]:
    """Return all crops with their boxes, and notes on what the framing could not do.

    A box that a person set keeps its `box_norm` until it is cropped. By this `shotcrop apply` knows what is left to do.
    """
    crops: list[ShotRecord] = []
    notes: list[str] = []
    for crop in sidecar.all_crops:
        if crop.key not in due and (crop.edited or crop.retouched or crop.rejected):
            crops.append(crop)
            continue
        box = crop.box  # a person's box is not framed
        if not crop.edited:
            subject = _subject(crop.person, sidecar)
            framed = frame_shot(
                crop.shot,
                crop.model_box,
                photo.width,
                photo.height,
                sidecar.settings.framing_of(crop.key),
                None if subject is None else subject.body,
                None if subject is None else subject.head,
                None if subject is None else subject.shots[-1].box,
            )
            box = framed.box
            notes += framed.notes
        if copies_blocks(photo, sidecar.settings):  # even if copying fails later: a box must not depend on that
            box = align_to_blocks(photo, box)
        crops.append(replace(crop, box=box, box_norm=from_pixels(box, photo.width, photo.height)))
    return tuple(crops), notes


def _proposed(key: CropKey, sidecar: Sidecar) -> ShotRecord | None:
    """Return a crop that is not framed yet; None if the photo does not show whom it should show."""
    subject = _subject(key.person, sidecar)
    if subject is None:
        return None
    index = SHOT_TYPES.index(key.shot)
    shot, unit = subject.shots[index], to_pixels(subject.shots[index].box, 1, 1)
    caption = sidecar.shots[index].caption if key.person == MAIN else ""
    return ShotRecord(
        key.shot, unit, shot.box, shot.box, None, None, caption, shot.score, person=key.person, set_name=key.set_name
    )


def _subject(person: str, sidecar: Sidecar) -> Subject | None:
    shots = tuple(Shot(shot.shot, shot.model_box, score=shot.score) for shot in sidecar.shots)
    main = Subject(shots, sidecar.main_person.body, sidecar.main_person.head)
    return subject_of(person, sidecar.people, main, sidecar.source.width / sidecar.source.height)
