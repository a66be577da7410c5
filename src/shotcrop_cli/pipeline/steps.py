"""The two steps of a photo: `load` before the model sees it, `finish` after.

Neither raises an exception because of a photo. A photo that fails is a `PhotoResult` that says why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from shotcrop_cli.captions.keywords import keywords_of
from shotcrop_cli.captions.renewal import renewed
from shotcrop_cli.captions.rules import reword
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.errors import AnswerError, OutputError, PhotoError
from shotcrop_cli.geometry import clamp, to_pixels
from shotcrop_cli.imaging.decode import SourceBytes, decode, guard_memory, read_source
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.imaging.metadata.face_regions import regions_of_photo
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import least_sides, thumbnail
from shotcrop_cli.library.names_in_photos import names_to_record, with_names
from shotcrop_cli.library.own_crops import OWN_CROP_REASON, is_own_crop
from shotcrop_cli.library.plan import Target, Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.pipeline.crop import copies_blocks
from shotcrop_cli.pipeline.due_crops import add_crops, frame_crops
from shotcrop_cli.pipeline.loaded_photo import LoadedPhoto, RunContext
from shotcrop_cli.pipeline.write import write_photo
from shotcrop_cli.shots import Box, Composition, Person, Reasoning
from shotcrop_cli.sidecar import (
    BOX_DIGITS,
    CaptionRecord,
    MainPerson,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    SourceRecord,
    iso_mtime,
)

_UNSEEN = (1, 1)
"""Size of the thumbnail if neither the model nor a crop needs the pixels."""


def load(
    task: Task,
    thumbnail_size: tuple[int, int] | None,
    *,
    include_crops: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> LoadedPhoto | PhotoResult:
    """Read and decode a photo and make the thumbnail for the model, or say why that failed.

    Args:
        task: What to do with the photo.
        thumbnail_size: Width and height in pixels that the model wants; None if it does not see the photo.
        include_crops: Whether to crop what is itself a crop by shotcrop.
        max_pixels: Pixels that the photo may have.
    """
    start = time.perf_counter()
    try:
        source = read_source(task.target.source.path)
        if task.is_first and not include_crops and is_own_crop(source.path, source.data):
            return skipped_crop(task)
        _check_same_name(task, source)
        with guard_memory(source) as large:
            # Without crops, only the model sees the pixels.
            enough = None if task.makes_crops else least_sides(thumbnail_size or _UNSEEN)
            photo = decode(source, max_pixels, least_sides=enough)
            task = replace(task, target=task.target.for_format(photo.format, task.settings.format))
            if not task.needs_model:
                _check_boxes_fit(task, source, photo)
            small = None if thumbnail_size is None else thumbnail(photo, thumbnail_size)
            if large:
                photo = photo.without_pixels()  # `finish` decodes it again, so that only one is in memory
            if large or not copies_blocks(photo, task.settings):
                source = replace(source, data=b"")
    except Exception as error:  # one strange photo must not end a run of thousands
        return failed(task.target, error)
    return LoadedPhoto(task, source, photo, small, _ms_since(start))


def finish(loaded: LoadedPhoto, run: RunContext) -> PhotoResult:
    """Write the crops and then the sidecar of a photo, or say why that failed.

    Args:
        loaded: The photo, with the model's answer unless its sidecar says where to crop.
        run: What is the same for all photos.

    Raises:
        OutputError: The output is full, gone or read-only, so that all further photos would fail, too.
    """
    try:
        start = time.perf_counter()
        with _with_pixels(loaded, run.max_pixels) as complete:
            sidecar = _recorded_sidecar(complete) if complete.answer is None else _new_sidecar(complete)
            sidecar, names = _with_names(sidecar, complete)
            sidecar, task = add_crops(sidecar, complete.task)
            shots, notes = frame_crops(sidecar, complete.photo, task.shots)
            written = write_photo(
                replace(complete, task=task), _with_fewer_names(sidecar, task), shots, notes, run, start
            )
            is_shown = not sidecar.shots or task.wanted is None or bool(task.wanted.crops(sidecar))
            return replace(written, names=names, lacks_subject=not is_shown)
    except OutputError:
        raise
    except Exception as error:  # as in `load`
        return failed(loaded.task.target, error)


@dataclass(frozen=True, slots=True)
class Steps:
    """The two steps of a photo, for files of this machine or for others.

    Args:
        load: See the function `load`.
        finish: See the function `finish`.
    """

    load: Callable[..., LoadedPhoto | PhotoResult] = load
    finish: Callable[[LoadedPhoto, RunContext], PhotoResult] = finish


LOCAL_STEPS = Steps()


def _with_names(sidecar: Sidecar, loaded: LoadedPhoto) -> tuple[Sidecar, tuple[str, ...]]:
    """Return a sidecar with the names in the photo, and these names; as it is if the run asks for no one by name."""
    wanted = loaded.task.wanted
    if wanted is None or not wanted.subjects.names:
        return sidecar, ()
    regions = regions_of_photo(loaded.task.target.source.path, loaded.photo.metadata.xmp)
    return with_names(sidecar, regions), tuple(dict.fromkeys(region.name for region in regions))


def _with_fewer_names(sidecar: Sidecar, task: Task) -> Sidecar:
    """Return a sidecar that names only those whom it may name."""
    asked = () if task.wanted is None else task.wanted.subjects.names
    before = () if task.record is None else task.record.people
    return replace(sidecar, people=names_to_record(sidecar.people, before, asked, sidecar.settings.metadata))


def skipped_crop(task: Task) -> PhotoResult:
    """Return the result of a photo that is itself a crop by shotcrop."""
    return PhotoResult(task.target.source.path, PhotoStatus.SKIPPED, reason=OWN_CROP_REASON, is_own_crop=True)


@contextmanager
def _with_pixels(loaded: LoadedPhoto, max_pixels: int) -> Iterator[LoadedPhoto]:
    """Yield the photo with its pixels, and decode it again if `load` dropped them and crops are due.

    Raises:
        PhotoError: The photo changed in the meantime.
    """
    if loaded.photo.full_size is None or not loaded.task.makes_crops:
        yield loaded
        return
    source = read_source(loaded.source.path)
    if source.sha256 != loaded.source.sha256:
        raise PhotoError(f"{source.path}: the photo changed during the run", hint="run again when it is complete")
    with guard_memory(source):
        yield replace(loaded, source=source, photo=decode(source, max_pixels))


def failed(target: Target, error: Exception) -> PhotoResult:
    """Turn an error into the result of a photo."""
    expected = isinstance(error, (PhotoError, AnswerError))
    reason = str(error) if expected else f"unexpected {type(error).__name__}: {error}"
    return PhotoResult(target.source.path, PhotoStatus.FAILED, reason=reason.removeprefix(f"{target.source.path}: "))


def _check_same_name(task: Task, source: SourceBytes) -> None:
    """Refuse to replace the crops of another photo that has the same name in another library."""
    path, other, record = task.target.source.path, task.recorded_path, task.record
    if other is None or record is None or source.sha256 == record.source.sha256:
        return
    if os.path.exists(other):  # noqa: PTH110 - Path.exists raises in folders without permission
        if not os.path.samefile(other, path):  # noqa: PTH121
            raise PhotoError(
                f"{path}: its crops would replace those of {other}",
                hint=f"crop it to another --output, or move {task.target.sidecar} away",
            )
    elif record.edited and not task.needs_model:
        raise PhotoError(
            f"{path}: somebody set boxes by hand for {other}, which is gone, and this may be another photo",
            hint="crop it to another --output or, if it is the same photo, run `shotcrop apply` with --photos once",
        )


def _check_boxes_fit(task: Task, source: SourceBytes, photo: Photo) -> None:
    """Refuse to crop by boxes that were made for another content of the photo."""
    record = task.record
    assert record is not None
    if source.sha256 == record.source.sha256:
        return
    path = task.target.source.path
    if not record.edited:
        raise PhotoError(f"{path}: the photo changed after its boxes were made", hint="run `shotcrop crop` on it")
    if (photo.width, photo.height) != (record.source.width, record.source.height):
        raise PhotoError(
            f"{path}: the photo has another size than when its boxes were set by hand",
            hint="set the boxes again, or let the model set them with --overwrite --overwrite-edited",
        )


def _new_sidecar(loaded: LoadedPhoto) -> Sidecar:
    """Return a sidecar with the model's proposals. Its shots are not framed yet.

    Raises:
        AnswerError: The model gave no readable answer.
    """
    answer = loaded.answer
    if isinstance(answer, AnswerError):
        raise answer
    assert loaded.model is not None
    settings = loaded.task.settings
    person, reasoning = MainPerson(), Reasoning()
    shots: tuple[ShotRecord, ...] = ()
    people: tuple[Person, ...] = ()
    if isinstance(answer, Composition):
        if answer.grounding is not None:
            body, head = answer.grounding.main_person, answer.grounding.head
            person = MainPerson(body and _rounded(body), head and _rounded(head))
        answer = _in_words(answer, settings)
        reasoning = answer.reasoning
        shots = tuple(_proposed(answer, number, settings) for number in range(len(answer.shots)))
        people = tuple(map(_rounded_person, answer.people))
    return Sidecar(
        status=SidecarStatus.DONE if shots else SidecarStatus.NO_SUBJECT,
        source=_source_record(loaded),
        model=loaded.model,
        settings=settings,
        main_person=person,
        reasoning=reasoning,
        shots=shots,
        people=people,
        people_count=answer.people_count if isinstance(answer, Composition) else None,
        captions=_edited_story(loaded.task.record) if shots else None,
    )


def _edited_story(record: Sidecar | None) -> CaptionRecord | None:
    """Return what a captioner wrote if a person edited its story, which then stays. Its captions are due again."""
    captions = None if record is None else record.captions
    return replace(captions, key="") if captions is not None and captions.has_new_story else None


def _rounded_person(person: Person) -> Person:
    body, head, face = (box and _rounded(box) for box in (person.body, person.head, person.face))
    shots = tuple(replace(shot, box=_rounded(shot.box)) for shot in person.shots)
    return replace(person, body=body, head=head, face=face, shots=shots)


def _in_words(answer: Composition, settings: CropSettings) -> Composition:
    """Return an answer with the words that the settings ask for; those of a large model are its own."""
    if settings.captions is RuleCaptions.NONE:
        return replace(answer, shots=tuple(replace(shot, caption="", alt_text="") for shot in answer.shots))
    return reword(answer, settings.language, strict=settings.captions is RuleCaptions.STRICT)


def _proposed(answer: Composition, number: int, settings: CropSettings) -> ShotRecord:
    """Return one of the shots, which is not framed yet."""
    shot = answer.shots[number]
    facts = answer.facts[number] if answer.facts else None
    box = _rounded(shot.box)
    unit = to_pixels(box, 1, 1)  # replaced by `frame_crops`, which knows the size of the photo
    return ShotRecord(
        shot.type,
        unit,
        box,
        box,
        None,
        None,
        shot.caption,
        shot.score,
        alt_text=shot.alt_text,
        keywords=keywords_of(answer, number),
        language="" if facts is None else settings.language,
        facts=facts,
    )


def _rounded(box: Box) -> Box:
    """Round a box as the sidecar does, so that a crop made from the sidecar later has the same pixels."""
    return clamp(*(round(side, BOX_DIGITS) for side in box), min_side=10.0**-BOX_DIGITS)


def _recorded_sidecar(loaded: LoadedPhoto) -> Sidecar:
    """Return the sidecar of an earlier run with what is known of the photo now."""
    record = loaded.task.record
    assert record is not None
    record = renewed(record, loaded.task.settings, {str(key) for key in loaded.task.shots})
    return replace(record, source=_source_record(loaded), settings=loaded.task.settings)


def _source_record(loaded: LoadedPhoto) -> SourceRecord:
    photo, source, facts = loaded.photo, loaded.source, loaded.photo.metadata.capture_info()
    return SourceRecord(
        path=str(loaded.task.target.source.path),
        size_bytes=source.size_bytes,
        mtime=iso_mtime(source.mtime_ns),
        sha256=source.sha256,
        format=photo.format.name,
        width=photo.width,
        height=photo.height,
        exif_orientation=photo.orientation,
        captured_at=facts.captured_at,
        camera=facts.camera,
        lens=facts.lens,
        has_gps=facts.has_gps,
    )


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
