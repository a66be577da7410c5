"""The sidecar of a photo before its crops are cut: what the model answered or the record says, and where to cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.framing import frame_shot
from shotcrop_cli.geometry import clamp, from_pixels, to_pixels
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.lossless import on_blocks
from shotcrop_cli.pipeline.crop import copies_blocks
from shotcrop_cli.pipeline.task import LoadedPhoto, Verdict
from shotcrop_cli.shots import Box, Composition, Reasoning, Shot, ShotType
from shotcrop_cli.sidecar import BOX_DIGITS, Lead, ShotRecord, Sidecar, SidecarStatus, SourceRecord, iso_mtime


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
            body, head = answer.grounding.lead, answer.grounding.head
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
