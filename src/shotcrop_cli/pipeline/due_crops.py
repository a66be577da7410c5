"""Say which crops of a photo are due once it is known who is in it, and where each is cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shotcrop_cli.captions.renewal import text_by_rule
from shotcrop_cli.crop_facts import ACTIONS, THINGS
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.framing import frame_shot
from shotcrop_cli.geometry import from_pixels, to_pixels
from shotcrop_cli.head_framing import frame_with_heads, padded_box, reason
from shotcrop_cli.imaging.lossless import align_to_blocks
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.library.plan import Task
from shotcrop_cli.pipeline.crop import copies_blocks
from shotcrop_cli.ratio_sets import Fit
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
        if crop.edited:  # a person's box is not framed
            crop = replace(crop, left_out="")
        else:
            crop, of_crop = _framed(crop, sidecar, (photo.width, photo.height))
            notes += of_crop
        box = crop.box
        # Even if copying fails later: a box must not depend on that.
        if copies_blocks(photo, sidecar.settings) and not is_resized(crop, sidecar.settings):
            box = align_to_blocks(photo, box)
        crop = replace(crop, box=box, box_norm=from_pixels(box, photo.width, photo.height))
        crops.append(_with_words(crop, sidecar) if crop.key in due and not crop.text_edited else crop)
    return tuple(crops), list(dict.fromkeys(notes))


def is_resized(crop: ShotRecord, settings: CropSettings) -> bool:
    """Say whether a crop has the exact size of its ratio set, or a background, so that it is not copied."""
    ratio_set = settings.ratio_set(crop.set_name)
    ratio = None if ratio_set is None else ratio_set.ratio(crop.shot)
    return crop.padded or (ratio is not None and ratio.size is not None)


def _framed(crop: ShotRecord, sidecar: Sidecar, photo: tuple[int, int]) -> tuple[ShotRecord, tuple[str, ...]]:
    """Return a crop with its box, which is not rounded yet, and notes on what the framing could not do."""
    subject, framing = _subject(crop.person, sidecar), sidecar.settings.framing_of(crop.key)
    ratio_set = sidecar.settings.ratio_set(crop.set_name)
    if ratio_set is None or subject is None:
        body, head, close_up = (
            (None, None, None) if subject is None else (subject.body, subject.head, subject.shots[-1].box)
        )
        framed = frame_shot(crop.shot, crop.model_box, *photo, framing, body, head, close_up)
        return replace(crop, box=framed.box), framed.notes
    found = frame_with_heads(crop.shot, crop.model_box, photo, framing, subject)
    aspect = framing.for_shot(crop.shot).aspect
    crop = replace(crop, box=found.box, left_out="", padded=False)
    if found.fits or aspect is None:
        return crop, tuple(f"{crop.set_name}: {note}" for note in found.notes)
    if ratio_set.fit is Fit.PAD:
        return replace(crop, box=padded_box(crop.shot, crop.model_box, photo, framing, subject), padded=True), ()
    why = reason(aspect, found.heads)
    return replace(crop, left_out=why), (f"{crop.key}: left out: {why}",)


def _proposed(key: CropKey, sidecar: Sidecar) -> ShotRecord | None:
    """Return a crop that is not framed yet; None if the photo does not show whom it should show."""
    subject = _subject(key.person, sidecar)
    if subject is None:
        return None
    index = SHOT_TYPES.index(key.shot)
    shot, unit = subject.shots[index], to_pixels(subject.shots[index].box, 1, 1)
    proposed = ShotRecord(key.shot, unit, shot.box, shot.box, None, None, score=shot.score)
    described = sidecar.shots[index]
    keywords = described.keywords
    if key.person != MAIN and (facts := sidecar.facts_about(key.person)):
        hidden = {*THINGS, *ACTIONS} - {facts[index].thing, facts[index].action}
        keywords = tuple(word for word in keywords if word not in hidden)
    proposed = replace(proposed, person=key.person, set_name=key.set_name, keywords=keywords)
    return _with_words(proposed, sidecar)


def _with_words(crop: ShotRecord, sidecar: Sidecar) -> ShotRecord:
    """Return a crop with words by rule for its box, or with those that somebody gave the main subject's shot."""
    shot = sidecar.shots[SHOT_TYPES.index(crop.shot)]
    if crop.person == MAIN and (shot.text_edited or not shot.language):
        # A person's words are in no language that the rules know, and stay in all of them.
        language = "" if shot.text_edited else shot.language
        return replace(crop, caption=shot.caption, alt_text=shot.alt_text, language=language)
    text = text_by_rule(sidecar, crop, sidecar.settings)
    if text is None:
        return crop
    return replace(crop, caption=text.caption, alt_text=text.alt_text, language=sidecar.settings.language)


def _subject(person: str, sidecar: Sidecar) -> Subject | None:
    shots = tuple(Shot(shot.shot, shot.model_box, score=shot.score) for shot in sidecar.shots)
    main = Subject(shots, sidecar.main_person.body, sidecar.main_person.head)
    return subject_of(person, sidecar.people, main, sidecar.source.width / sidecar.source.height)
