"""All that the page shows of one photo, read from its sidecar: boxes, texts, people, and what may be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.framing import frame_shot
from shotcrop_cli.library.edits import are_pending, as_seen, fingerprint
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.review.index import are_asked, photo_id, prominent, text_of
from shotcrop_cli.shots import (
    DEFAULT_SET,
    GROUP,
    MAIN,
    SHOT_TYPES,
    Box,
    CropKey,
    PixelBox,
    Shot,
    ShotType,
    person_number,
)
from shotcrop_cli.sidecar import ShotRecord, Sidecar, is_moved
from shotcrop_cli.subjects import Subject, subject_of

NAMES = {
    ShotType.ESTABLISHING: "Establishing",
    ShotType.MEDIUM: "Medium",
    ShotType.CLOSE_UP: "Close-up",
}
"""What the page calls the shots."""


@dataclass(frozen=True, slots=True)
class ShotState:
    """One shot of a photo.

    Args:
        key: What tells it from the others; see `CropKey`.
        shot: Which of the three.
        person: Whom it shows, as `CropKey` calls them.
        set_name: The ratio set that it belongs to.
        name: What the page calls it.
        box: Where it is cropped, in pixels of the upright photo.
        model_box: Where the model would crop it with the recorded settings.
        aspect: Width and height of the recorded aspect ratio; None for any.
        caption: What it shows.
        alt_text: The same for somebody who cannot see it.
        score: The model's score; None without one.
        edited: Whether a person set or accepted it.
        rejected: Whether a person does not want it, or deleted its crop.
        retouched: Whether a person or program changed the file of the crop.
        has_crop: Whether there is a file.
        deleted: Whether a person deleted the file.
        left_out: Why there is no crop, if its ratio cannot hold the heads.
        version: Changes with the content of the file.
    """

    key: str
    shot: str
    person: str
    set_name: str
    name: str
    box: PixelBox
    model_box: PixelBox
    aspect: tuple[int, int] | None
    caption: str
    alt_text: str
    score: float | None
    edited: bool
    rejected: bool
    retouched: bool
    has_crop: bool
    deleted: bool
    left_out: str
    version: str


@dataclass(frozen=True, slots=True)
class PersonState:
    """One person, with the boxes that the recorded settings would give their shots.

    Args:
        number: Their number in the sidecar, counted from 1.
        name: What the page calls them.
        body: The whole person; None if unknown.
        head: Hair top to chin; None if unknown.
        boxes: A box for each shot, in pixels of the upright photo.
    """

    number: int
    name: str
    body: tuple[float, ...] | None
    head: tuple[float, ...] | None
    boxes: dict[str, PixelBox]


@dataclass(frozen=True, slots=True)
class PhotoState:
    """A photo as the page shows it.

    Args:
        id: What addresses call it.
        photo: Its path as the output folder mirrors it.
        name: Its file name.
        folder: The folder of the output folder that it is in.
        status: `done` or `no_subject`.
        fingerprint: Identifies what a person sees; an edit names it.
        width: Width of the upright photo in pixels.
        height: Height of the upright photo in pixels.
        version: Changes with the content of the photo.
        rejected: Whether a person wants no crops of it.
        shots: Its shots, without ordinary ones that no one asked for.
        people: The people whom it shows, the main person first.
        notes: Lines about it, such as warnings.
        facts: When and how it was taken, in a few words.
        is_pending: Whether it has edits that are not applied yet.
    """

    id: str
    photo: str
    name: str
    folder: str
    status: str
    fingerprint: str
    width: int
    height: int
    version: str
    rejected: bool
    shots: tuple[ShotState, ...]
    people: tuple[PersonState, ...]
    notes: tuple[str, ...]
    facts: str
    is_pending: bool


def read_state(path: Path, root: Path) -> PhotoState:
    """Read the state of a photo.

    Raises:
        ShotcropError: The sidecar cannot be read.
        FileNotFoundError: There is none.
    """
    return state_of(path, root, sidecars.read(path))


def state_of(path: Path, root: Path, record: Sidecar) -> PhotoState:
    """Return the state of a photo with a sidecar that was read."""
    seen = as_seen(path, record)
    source = record.source
    relative = path.relative_to(root)
    folder = "" if relative.parent == Path() else text_of(relative.parent.as_posix())
    pairs = zip(record.all_crops, seen.all_crops, strict=True)
    moved = any(is_moved(shot.box, shot.box_norm, record.source) for shot in record.shots)
    asked = moved or are_asked((*record.shots, *seen.shots), record.more_crops)
    shots = tuple(_shot(written, shot, record) for written, shot in pairs if asked or not shot.key.is_ordinary)
    main = record.main_person
    shown = prominent([(person.probability, person.body) for person in record.people])
    people = tuple(_person(place, record) for place in shown)
    if not people and (main.body or main.head):
        people = (PersonState(1, "main person", _sides(main.body), _sides(main.head), {}),)
    facts = (f"{source.width} × {source.height}", source.captured_at, source.camera, source.lens)
    return PhotoState(
        id=photo_id(root, path),
        photo=text_of(relative.as_posix().removesuffix(SIDECAR_SUFFIX)),
        name=text_of(path.name.removesuffix(SIDECAR_SUFFIX)),
        folder=folder,
        status=str(record.status),
        fingerprint=fingerprint(seen),
        width=source.width,
        height=source.height,
        version=source.sha256[:12],
        rejected=record.rejected,
        shots=shots,
        people=people,
        notes=_lines(record),
        facts=" · ".join(filter(None, facts)),
        is_pending=are_pending(path, record),
    )


def _shot(written: ShotRecord, shot: ShotRecord, record: Sidecar) -> ShotState:
    aspect = record.settings.framing_of(shot.key).for_shot(shot.shot).aspect
    own = shot.written
    return ShotState(
        key=str(shot.key),
        shot=str(shot.shot),
        person=shot.person,
        set_name=shot.set_name,
        name=name_of(shot.key),
        box=shot.box,
        model_box=_framed(shot.key, shot.model_box, record, _subject(shot.person, record)),
        aspect=None if aspect is None else (aspect.width, aspect.height),
        caption=shot.caption,
        alt_text=shot.alt_text,
        score=shot.score,
        edited=shot.edited,
        rejected=shot.rejected,
        retouched=shot.retouched,
        has_crop=shot.file is not None,
        deleted=written.file is not None and shot.file is None,
        left_out=shot.left_out,
        version="" if own is None else (own.sha256 or "")[:12],
    )


def _person(place: int, record: Sidecar) -> PersonState:
    person = record.people[place]
    subject = Subject(person.shots, person.body, person.head)
    boxes = {str(shot.type): _framed(CropKey(shot.type), shot.box, record, subject) for shot in person.shots}
    name = person.name or ("main person" if place == 0 else f"person {place + 1}")
    return PersonState(place + 1, name, _sides(person.body), _sides(person.head), boxes)


def _sides(box: Box | None) -> tuple[float, ...] | None:
    return None if box is None else tuple(box)


def _framed(key: CropKey, box: Box, record: Sidecar, subject: Subject | None) -> PixelBox:
    source, framing = record.source, record.settings.framing_of(key)
    body, head = (None, None) if subject is None else (subject.body, subject.head)
    close_up = None if subject is None else subject.shots[-1].box
    return frame_shot(key.shot, box, source.width, source.height, framing, body, head, close_up).box


def _subject(person: str, record: Sidecar) -> Subject | None:
    shots = tuple(Shot(shot.shot, shot.model_box, score=shot.score) for shot in record.shots)
    main = Subject(shots, record.main_person.body, record.main_person.head)
    return subject_of(person, record.people, main, record.source.width / record.source.height)


def name_of(key: CropKey) -> str:
    """Return what the page calls a crop, such as `Medium, person 2, story`."""
    number = person_number(key.person)
    person = "" if key.person == MAIN else "group" if key.person == GROUP else f"person {number}"
    return ", ".join(filter(None, (NAMES[key.shot], person, "" if key.set_name == DEFAULT_SET else key.set_name)))


def _lines(record: Sidecar) -> tuple[str, ...]:
    reasoning = record.reasoning
    thought = " ".join(filter(None, (reasoning.scene, reasoning.subject, reasoning.story)))
    story = "" if record.captions is None else record.captions.story
    left_out = tuple(f"{shot.key}: left out" for shot in record.all_crops if shot.left_out)  # their panels say why
    warnings = (warning for warning in record.warnings if not warning.startswith(left_out))
    return tuple(filter(None, (thought, story, *warnings)))


def crop_file(path: Path, record: Sidecar, key: str) -> str | None:
    """Return the name of the crop of a shot, relative to the sidecar's folder; None if there is none."""
    return next((shot.file for shot in record.all_crops if shot.key == key), None)


def shot_names() -> Sequence[tuple[str, str]]:
    """Return the shots and their names, widest first."""
    return [(str(shot), NAMES[shot]) for shot in SHOT_TYPES]
