"""What happens to one photo before and after the model sees it; any engine runs these two steps.

Neither step raises for a photo's sake: a photo that fails is a `PhotoResult` that says why.
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
from shotcrop_cli.imaging.decode import Fingerprint, Photo, decode, read_source
from shotcrop_cli.imaging.encode import EncodedCrop
from shotcrop_cli.imaging.lossless import on_blocks
from shotcrop_cli.imaging.metadata.caption_xmp import description
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.library.atomic_write import NewFile, free_name, put_in_place
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.plan import XMP_ENDING, Job
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, doubts
from shotcrop_cli.pipeline.crop import copies_blocks, crop_of
from shotcrop_cli.pipeline.task import LoadedPhoto, RunContext, Task, Verdict
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Reasoning, Shot, ShotType
from shotcrop_cli.sidecar import (
    BOX_DIGITS,
    FileSize,
    Lead,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    SourceRecord,
    Timing,
    iso_mtime,
    iso_now,
)

DAMAGED_ENDING = ".damaged"
"""Is appended to the name of a sidecar that cannot be read."""


def load(task: Task, thumbnail_size: tuple[int, int] | None) -> LoadedPhoto | PhotoResult:
    """Read, decode and, for a model, shrink a photo; or say why it failed.

    Args:
        task: What to read.
        thumbnail_size: Width and height in pixels that the model wants, None when it is not asked.
    """
    start = time.perf_counter()
    try:
        source = read_source(task.job.source.path)
        _check_name(task, source.fingerprint)
        photo = decode(source)
        if not task.composes:
            _check_record(task, photo, source.fingerprint)
        small = None if thumbnail_size is None else thumbnail(photo, thumbnail_size)
        stored = source.data if copies_blocks(photo, task.settings) else b""
    except Exception as error:  # one strange photo must not end a run of thousands
        return failed(task.job, error)
    return LoadedPhoto(task, photo, small, source.fingerprint, _ms_since(start), stored)


def finish(loaded: LoadedPhoto, verdict: Verdict | None, run: RunContext) -> PhotoResult:
    """Cut and write what the model answered or the record says, the sidecar last; or say why the photo failed.

    Args:
        loaded: The photo.
        verdict: The model's, None to cut what is on record.
        run: What is the same for every photo.

    Raises:
        OutputError: The output is full, gone or read-only, which no further photo would survive.
    """
    try:
        start = time.perf_counter()
        sidecar = draft(loaded, verdict)
        return _write(loaded, sidecar, run, 0.0 if verdict is None else verdict.compose_ms, start)
    except OutputError:
        raise
    except Exception as error:  # as in `load`
        return failed(loaded.task.job, error)


def failed(job: Job, error: Exception) -> PhotoResult:
    """Turn an error into the photo's result."""
    foreseen = isinstance(error, (PhotoError, AnswerError))
    reason = str(error) if foreseen else f"unforeseen {type(error).__name__}: {error}"
    return PhotoResult(job.source.path, PhotoStatus.FAILED, reason=reason.removeprefix(f"{job.source.path}: "))


def _check_name(task: Task, fingerprint: Fingerprint) -> None:
    """Refuse to replace the crops of another photo that happens to have the same name in another library."""
    path, other, record = task.job.source.path, task.decision.recorded_path, task.decision.record
    if other is None or record is None or fingerprint.sha256 == record.source.sha256:
        return
    if os.path.exists(other):  # noqa: PTH110 - which raises where a folder may not be entered
        if not os.path.samefile(other, path):  # noqa: PTH121
            raise PhotoError(
                f"{path}: its crops would replace those of {other}",
                hint=f"crop it to another --output, or move {task.job.sidecar} away",
            )
    elif record.edited and not task.composes:
        raise PhotoError(
            f"{path}: boxes were set by hand for {other}, which is gone, and this may be another photo",
            hint="crop it to another --output or, if it is the same, run `shotcrop apply` with --photos once",
        )


def _check_record(task: Task, photo: Photo, fingerprint: Fingerprint) -> None:
    """Refuse to cut a photo by boxes that were made for another content."""
    record = task.decision.record
    assert record is not None
    if fingerprint.sha256 == record.source.sha256:
        return
    path = task.job.source.path
    if not record.edited:
        raise PhotoError(f"{path}: the photo changed since its boxes were made", hint="run `shotcrop crop` on it")
    if (photo.width, photo.height) != (record.source.width, record.source.height):
        raise PhotoError(
            f"{path}: the photo has another size than when its boxes were set by hand",
            hint="set them anew, or compose it anew with `shotcrop crop --overwrite`",
        )


def _write(loaded: LoadedPhoto, sidecar: Sidecar, run: RunContext, compose_ms: float, start: float) -> PhotoResult:
    job, photo, due = loaded.task.job, loaded.photo, loaded.task.decision.shots
    shots, notes = frame_shots(sidecar, photo, due)
    files: list[NewFile] = []
    written: list[ShotRecord] = []
    for shot in shots:
        if shot.shot in due:
            crop, loss = crop_of(photo, loaded.stored, shot.box, loaded.task.settings)
            shot, new = _placed(shot, crop, loaded)
            files += new
            notes += [loss] if loss and loss not in notes else []
        written.append(shot)
    doubtful = doubts(written, run.min_score)
    notes += [f"{doubt}, below {run.min_score:g}" for doubt in doubtful]
    sidecar = replace(
        sidecar,
        shots=tuple(written),
        warnings=(*photo.warnings, *notes),
        timing_ms=None if run.reproducible else Timing(loaded.decode_ms, compose_ms, _ms_since(start)),
        shotcrop=__version__,
        created=None if run.reproducible else iso_now(),
    )
    files.append(NewFile(job.sidecar, sidecar.to_bytes()))
    obsolete = _obsolete(loaded.task, written, run.root)
    # From the first change on nothing may claim that the crops are complete: the old sidecar goes first. One whose
    # boxes are cut again says meanwhile that they are not cut, since it may hold what a person has set.
    if loaded.task.composes:
        obsolete.append(job.sidecar)
    else:
        files.insert(0, NewFile(job.sidecar, uncut(sidecar, due).to_bytes()))
    run.check_root()
    kept = _kept(loaded.task)
    put_in_place(files, root=run.root, obsolete=obsolete, aside=None if kept is None else (job.sidecar, kept))
    cut = tuple(job.folder / shot.file for shot in written if shot.file is not None)
    return PhotoResult(job.source.path, _STATUS[sidecar.status], job.sidecar, cut, doubts=doubtful, put_aside=kept)


def _kept(task: Task) -> Path | None:
    """Return a new name for a sidecar that cannot be read: nobody but a person writes half of one."""
    sidecar = task.job.sidecar
    written_in = task.decision.damaged and sidecar.is_file() and sidecar.stat().st_size > 0
    return free_name(sidecar, DAMAGED_ENDING) if written_in else None


_STATUS = {SidecarStatus.DONE: PhotoStatus.DONE, SidecarStatus.NO_SUBJECT: PhotoStatus.NO_SUBJECT}


def _placed(shot: ShotRecord, crop: EncodedCrop, loaded: LoadedPhoto) -> tuple[ShotRecord, list[NewFile]]:
    job, settings = loaded.task.job, loaded.task.settings
    name = job.file(shot.shot)
    files = [NewFile(job.folder / name, crop.content, loaded.fingerprint.mtime_ns)]
    if settings.xmp:
        files.append(NewFile(job.folder / (name + XMP_ENDING), description(shot.caption)))
    return replace(shot, file=name, size=FileSize(crop.width, crop.height)), files


def _obsolete(task: Task, written: Sequence[ShotRecord], root: Path) -> list[Path]:
    """Return the crops of an earlier run that are crops of this photo no more, and captions that nothing renews.

    A sidecar may have been altered by anyone, so that only what lies below the output folder is believed.
    """
    record = task.decision.record
    kept = {shot.file for shot in written}
    # Where nobody is seen any more, crops that a killed run left without a record go, too.
    gone: list[Path] = [] if written else list(task.job.crops(SHOT_TYPES))
    for shot in () if record is None else record.shots:
        if shot.file is None or not is_inside(shot.file):
            continue
        path = task.job.folder / shot.file
        if not path.parent.resolve().is_relative_to(root.resolve()):
            continue
        caption = path.with_name(path.name + XMP_ENDING)
        if shot.file not in kept:
            gone += [path, caption]
        elif not task.settings.xmp and _is_ours(caption, shot):
            gone.append(caption)
    return gone


def _is_ours(caption: Path, shot: ShotRecord) -> bool:
    """Tell whether an XMP file holds what `--xmp` wrote, and nothing that a photo program has added."""
    try:
        return caption.read_bytes() == description(shot.caption)
    except OSError:
        return False


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def draft(loaded: LoadedPhoto, verdict: Verdict | None) -> Sidecar:
    """Return what is to be said of a photo, its shots not framed yet.

    Args:
        loaded: The photo.
        verdict: The model's, None to keep to what is on record.

    Raises:
        AnswerError: The model gave no answer that could be read.
    """
    return _from_record(loaded) if verdict is None else _from_verdict(loaded, verdict)


def _from_verdict(loaded: LoadedPhoto, verdict: Verdict) -> Sidecar:
    answer = verdict.answer
    if isinstance(answer, AnswerError):
        raise answer
    lead, reasoning = Lead(), Reasoning()
    shots: tuple[ShotRecord, ...] = ()
    if isinstance(answer, Composition):
        if answer.grounding is not None:
            body, head = answer.grounding.main_person, answer.grounding.head
            lead = Lead(body and _rounded(body), head and _rounded(head))
        reasoning, shots = answer.reasoning, tuple(map(_proposed, answer.shots))
    return Sidecar(
        status=SidecarStatus.DONE if shots else SidecarStatus.NO_SUBJECT,
        source=_source_record(loaded),
        model=verdict.model,
        settings=loaded.task.settings,
        lead=lead,
        reasoning=reasoning,
        shots=shots,
    )


def _rounded(box: Box) -> Box:
    """Round a box as the sidecar does, so that a crop cut from the record equals the first one to the pixel."""
    return clamp(*(round(side, BOX_DIGITS) for side in box), min_side=10.0**-BOX_DIGITS)


def _proposed(shot: Shot) -> ShotRecord:
    box = _rounded(shot.box)
    unit = to_pixels(box, 1, 1)  # set by `frame_shots`, which knows the photo's pixels
    return ShotRecord(shot.type, unit, box, box, None, None, shot.caption, shot.score)


def _from_record(loaded: LoadedPhoto) -> Sidecar:
    record = loaded.task.decision.record
    assert record is not None
    return replace(record, source=_source_record(loaded), settings=loaded.task.settings)


def frame_shots(sidecar: Sidecar, photo: Photo, due: Sequence[ShotType]) -> tuple[tuple[ShotRecord, ...], list[str]]:
    """Return the shots with the boxes they are cut at, and what could not be had of what was asked for.

    A box that a person set and that is not cut now stays as it is: what `box_norm` says tells `apply` whether it was.
    """
    shots: list[ShotRecord] = []
    notes: list[str] = []
    close_up = sidecar.shots[-1].model_box if sidecar.shots else None
    for shot in sidecar.shots:
        if shot.edited and shot.shot not in due:
            shots.append(shot)
            continue
        if shot.edited:  # what a person set is framed already
            box = shot.box
        else:
            framed = frame_shot(
                shot.shot,
                shot.model_box,
                photo.width,
                photo.height,
                sidecar.settings.framing,
                sidecar.lead.body,
                sidecar.lead.head,
                close_up,
            )
            box = framed.box
            notes += framed.notes
        if copies_blocks(photo, sidecar.settings):  # even if it fails later: a box must not depend on that
            box = on_blocks(photo, box)
        shots.append(replace(shot, box=box, box_norm=from_pixels(box, photo.width, photo.height)))
    return tuple(shots), notes


def _source_record(loaded: LoadedPhoto) -> SourceRecord:
    photo, fingerprint, facts = loaded.photo, loaded.fingerprint, loaded.photo.metadata.facts()
    return SourceRecord(
        path=str(loaded.task.job.source.path),
        size_bytes=fingerprint.size_bytes,
        mtime=iso_mtime(fingerprint.mtime_ns),
        sha256=fingerprint.sha256,
        format=photo.format.name,
        width=photo.width,
        height=photo.height,
        exif_orientation=photo.orientation,
        captured_at=facts.captured_at,
        camera=facts.camera,
        lens=facts.lens,
        has_gps=facts.has_gps,
    )


def uncut(sidecar: Sidecar, due: Sequence[ShotType]) -> Sidecar:
    """Return the sidecar as long as the shots that are due are not cut."""
    shots = (replace(shot, file=None, size=None) if shot.shot in due else shot for shot in sidecar.shots)
    return replace(sidecar, shots=tuple(shots))
