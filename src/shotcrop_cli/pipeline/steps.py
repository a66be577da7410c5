"""The two steps of a photo: `load` before the model sees it, `finish` after.

Neither raises an exception because of a photo. A photo that fails is a `PhotoResult` that says why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import __version__
from shotcrop_cli.errors import AnswerError, OutputError, PhotoError
from shotcrop_cli.framing import frame_shot
from shotcrop_cli.geometry import clamp, from_pixels, to_pixels
from shotcrop_cli.imaging.decode import Photo, SourceBytes, decode, read_source
from shotcrop_cli.imaging.encode import EncodedCrop
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.imaging.lossless import align_to_blocks
from shotcrop_cli.imaging.metadata.xmp import caption_packet
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.library.atomic_write import NewFile, free_name, put_in_place
from shotcrop_cli.library.name_template import is_inside, leads_into
from shotcrop_cli.library.own_crops import OWN_CROP_REASON, is_own_crop
from shotcrop_cli.library.plan import XMP_SUFFIX, Target, Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, low_scores
from shotcrop_cli.pipeline.crop import copies_blocks, make_crop
from shotcrop_cli.pipeline.loaded_photo import LoadedPhoto, RunContext
from shotcrop_cli.shots import Box, Composition, Person, Reasoning, Shot, ShotType
from shotcrop_cli.sidecar import (
    BOX_DIGITS,
    FileSize,
    MainPerson,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    SourceRecord,
    Timing,
    iso_mtime,
    iso_now,
)

DAMAGED_SUFFIX = ".damaged"
"""Appended to the name of a sidecar that cannot be read."""
_STATUS = {SidecarStatus.DONE: PhotoStatus.DONE, SidecarStatus.NO_SUBJECT: PhotoStatus.NO_SUBJECT}


def load(
    task: Task, thumbnail_size: tuple[int, int] | None, *, include_crops: bool = False
) -> LoadedPhoto | PhotoResult:
    """Read and decode a photo and make the thumbnail for the model, or say why that failed.

    Args:
        task: What to do with the photo.
        thumbnail_size: Width and height in pixels that the model wants; None if it does not see the photo.
        include_crops: Whether to crop what is itself a crop by shotcrop.
    """
    start = time.perf_counter()
    try:
        source = read_source(task.target.source.path)
        if task.is_first and not include_crops and is_own_crop(source.path, source.data):
            return skipped_crop(task)
        _check_same_name(task, source)
        photo = decode(source)
        task = replace(task, target=task.target.for_format(photo.format, task.settings.format))
        if not task.needs_model:
            _check_boxes_fit(task, source, photo)
        small = None if thumbnail_size is None else thumbnail(photo, thumbnail_size)
        if not copies_blocks(photo, task.settings):
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
        sidecar = _recorded_sidecar(loaded) if loaded.answer is None else _new_sidecar(loaded)
        return _write(loaded, sidecar, run, start)
    except OutputError:
        raise
    except Exception as error:  # as in `load`
        return failed(loaded.task.target, error)


def skipped_crop(task: Task) -> PhotoResult:
    """Return the result of a photo that is itself a crop by shotcrop."""
    return PhotoResult(task.target.source.path, PhotoStatus.SKIPPED, reason=OWN_CROP_REASON, is_own_crop=True)


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
            hint="set the boxes again, or let the model set them with `shotcrop crop --overwrite`",
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
    person, reasoning = MainPerson(), Reasoning()
    shots: tuple[ShotRecord, ...] = ()
    people: tuple[Person, ...] = ()
    if isinstance(answer, Composition):
        if answer.grounding is not None:
            body, head = answer.grounding.main_person, answer.grounding.head
            person = MainPerson(body and _rounded(body), head and _rounded(head))
        reasoning, shots = answer.reasoning, tuple(map(_proposed, answer.shots))
        people = tuple(map(_rounded_person, answer.people))
    return Sidecar(
        status=SidecarStatus.DONE if shots else SidecarStatus.NO_SUBJECT,
        source=_source_record(loaded),
        model=loaded.model,
        settings=loaded.task.settings,
        main_person=person,
        reasoning=reasoning,
        shots=shots,
        people=people,
    )


def _rounded_person(person: Person) -> Person:
    body, head, face = (box and _rounded(box) for box in (person.body, person.head, person.face))
    shots = tuple(replace(shot, box=_rounded(shot.box)) for shot in person.shots)
    return Person(body, head, face, person.probability, shots)


def _proposed(shot: Shot) -> ShotRecord:
    box = _rounded(shot.box)
    unit = to_pixels(box, 1, 1)  # replaced by `_frame_shots`, which knows the size of the photo
    return ShotRecord(shot.type, unit, box, box, None, None, shot.caption, shot.score)


def _rounded(box: Box) -> Box:
    """Round a box as the sidecar does, so that a crop made from the sidecar later has the same pixels."""
    return clamp(*(round(side, BOX_DIGITS) for side in box), min_side=10.0**-BOX_DIGITS)


def _recorded_sidecar(loaded: LoadedPhoto) -> Sidecar:
    """Return the sidecar of an earlier run with what is known of the photo now."""
    record = loaded.task.record
    assert record is not None
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


def _frame_shots(sidecar: Sidecar, photo: Photo, due: Sequence[ShotType]) -> tuple[tuple[ShotRecord, ...], list[str]]:
    """Return the shots with the boxes of their crops, and notes on what the framing could not do.

    A box that a person set keeps its `box_norm` until it is cropped. By this `shotcrop apply` knows what is left to do.
    """
    shots: list[ShotRecord] = []
    notes: list[str] = []
    close_up = sidecar.shots[-1].model_box if sidecar.shots else None
    for shot in sidecar.shots:
        if shot.edited and shot.shot not in due:
            shots.append(shot)
            continue
        if shot.edited:  # a person's box is not framed
            box = shot.box
        else:
            framed = frame_shot(
                shot.shot,
                shot.model_box,
                photo.width,
                photo.height,
                sidecar.settings.framing,
                sidecar.main_person.body,
                sidecar.main_person.head,
                close_up,
            )
            box = framed.box
            notes += framed.notes
        if copies_blocks(photo, sidecar.settings):  # even if copying fails later: a box must not depend on that
            box = align_to_blocks(photo, box)
        shots.append(replace(shot, box=box, box_norm=from_pixels(box, photo.width, photo.height)))
    return tuple(shots), notes


def _write(loaded: LoadedPhoto, sidecar: Sidecar, run: RunContext, start: float) -> PhotoResult:
    task, target, photo = loaded.task, loaded.task.target, loaded.photo
    shots, notes = _frame_shots(sidecar, photo, task.shots)
    files: list[NewFile] = []
    written: list[ShotRecord] = []
    for shot in shots:
        if shot.shot in task.shots:
            crop, loss = make_crop(photo, loaded.source.data, shot.box, task.settings)
            shot, new = _with_files(shot, crop, loaded)
            files += new
            notes += [note for note in (*crop.warnings, loss) if note and note not in notes]
        written.append(shot)
    to_review = low_scores(written, run.min_score)
    notes += [f"{low}, below {run.min_score:g}" for low in to_review]
    sidecar = replace(
        sidecar,
        shots=tuple(written),
        warnings=(*photo.warnings, *notes),
        timing_ms=None if run.reproducible else Timing(loaded.decode_ms, loaded.compose_ms, _ms_since(start)),
        shotcrop=__version__,
        created=None if run.reproducible else iso_now(),
    )
    files.append(NewFile(target.sidecar, sidecar.to_bytes()))
    obsolete = _obsolete_files(task, written, run.root)
    # If the run is killed while it replaces files, no sidecar may say that the crops are complete. So the old sidecar
    # is removed first. If the boxes are kept, a sidecar without the crops replaces it: a person may have set them.
    if task.needs_model:
        obsolete.append(target.sidecar)
    else:
        files.insert(0, NewFile(target.sidecar, _without_crops(sidecar, task.shots).to_bytes()))
    run.check_root()
    kept = _name_for_damaged(task)
    put_in_place(files, root=run.root, obsolete=obsolete, aside=None if kept is None else (target.sidecar, kept))
    crops = tuple(target.folder / shot.file for shot in written if shot.file is not None)
    status = _STATUS[sidecar.status]
    content = "" if photo.format is format_of_name(target.source.name) else photo.format.name
    return PhotoResult(
        target.source.path,
        status,
        target.sidecar,
        crops,
        low_scores=to_review,
        damaged_sidecar=kept,
        content=content,
    )


def _with_files(shot: ShotRecord, crop: EncodedCrop, loaded: LoadedPhoto) -> tuple[ShotRecord, list[NewFile]]:
    target = loaded.task.target
    name = target.crop_name(shot.shot)
    files = [NewFile(target.folder / name, crop.content, loaded.source.mtime_ns)]
    if loaded.task.settings.xmp:
        files.append(NewFile(target.folder / (name + XMP_SUFFIX), caption_packet(shot.caption)))
    return replace(shot, file=name, size=FileSize(crop.width, crop.height)), files


def _without_crops(sidecar: Sidecar, due: Sequence[ShotType]) -> Sidecar:
    """Return the sidecar for the time until the crops that are due are written."""
    shots = (replace(shot, file=None, size=None) if shot.shot in due else shot for shot in sidecar.shots)
    return replace(sidecar, shots=tuple(shots))


def _name_for_damaged(task: Task) -> Path | None:
    """Return a new name for a damaged sidecar, which may hold somebody's work; None if there is nothing to keep."""
    sidecar = task.target.sidecar
    has_content = task.damaged and sidecar.is_file() and sidecar.stat().st_size > 0
    return free_name(sidecar, DAMAGED_SUFFIX) if has_content else None


def _obsolete_files(task: Task, written: Sequence[ShotRecord], root: Path) -> list[Path]:
    """Return the crops of an earlier run that this one does not replace, and XMP files that it does not write again.

    Anybody may have edited the sidecar, so only files below the output folder count.
    """
    record = task.record
    kept = {shot.file for shot in written}
    # Without people, crops that a killed run left without a sidecar go, too.
    obsolete = [] if written else list(task.target.crops())
    for shot in () if record is None else record.shots:
        if shot.file is None or not is_inside(shot.file):
            continue
        path = task.target.folder / shot.file
        if not leads_into(path.parent, root.resolve()):
            continue
        xmp = path.with_name(path.name + XMP_SUFFIX)
        if shot.file not in kept:
            obsolete += [path, xmp]
        elif not task.settings.xmp and _is_unchanged_xmp(xmp, shot):
            obsolete.append(xmp)
    return list(filter(os.path.lexists, obsolete))  # others may have names that no file can have


def _is_unchanged_xmp(path: Path, shot: ShotRecord) -> bool:
    """Say whether an XMP file is as `--xmp` wrote it, without additions of a photo program."""
    try:
        return path.read_bytes() == caption_packet(shot.caption)
    except OSError:
        return False


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
