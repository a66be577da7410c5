"""What happens to one photo before and after the model sees it; any engine runs these two steps.

Neither step raises for a photo's sake: a photo that fails is a `PhotoResult` that says why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shotcrop_cli import __version__
from shotcrop_cli.errors import AnswerError, OutputError, PhotoError
from shotcrop_cli.geometry import from_pixels, to_pixels
from shotcrop_cli.imaging.decode import Fingerprint, Photo, decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.library.plan import Job
from shotcrop_cli.library.store import NewFile, put_in_place
from shotcrop_cli.library.tally import PhotoResult, PhotoStatus
from shotcrop_cli.settings import CropSettings
from shotcrop_cli.shots import Answer, Composition, ModelIdentity, NoSubject, Reasoning
from shotcrop_cli.sidecar import (
    SettingsRecord,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    SourceRecord,
    Timing,
    iso_mtime,
    iso_now,
)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPhoto:
    """A photo on its way to the model.

    Args:
        job: What it is and what is to come of it.
        photo: Its upright pixels.
        thumbnail: What the model sees.
        fingerprint: Of exactly the bytes that were decoded.
        decode_ms: How long reading and decoding took, milliseconds.
    """

    job: Job
    photo: Photo
    thumbnail: Image.Image
    fingerprint: Fingerprint
    decode_ms: float

    @property
    def aspect(self) -> float:
        """Width / height of the upright photo."""
        return self.photo.width / self.photo.height

    @property
    def pixels(self) -> int:
        """Number of pixels held in memory."""
        return self.photo.width * self.photo.height


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for every photo of a run.

    Args:
        root: The output folder.
        settings: What the user chose.
        model: The model that answers, and where it runs.
    """

    root: Path
    settings: CropSettings
    model: ModelIdentity


def load(job: Job, thumbnail_size: tuple[int, int]) -> LoadedPhoto | PhotoResult:
    """Read, decode and shrink a photo, or say why it failed."""
    start = time.perf_counter()
    try:
        source = read_source(job.source.path)
        photo = decode(source)
        small = thumbnail(photo, thumbnail_size)
    except PhotoError as error:
        return failed(job, error)
    except Exception as error:  # one strange photo must not end a run of thousands
        return failed(job, error)
    return LoadedPhoto(job, photo, small, source.fingerprint, _ms_since(start))


def finish(loaded: LoadedPhoto, answer: Answer, run: RunContext, compose_ms: float) -> PhotoResult:
    """Cut and write what the model answered, the sidecar last, or say why the photo failed.

    Raises:
        OutputError: The output is full, gone or read-only, which no further photo would survive.
    """
    try:
        if isinstance(answer, AnswerError):
            raise answer
        return _write(loaded, answer, run, compose_ms)
    except OutputError:
        raise
    except Exception as error:  # as in `load`
        return failed(loaded.job, error)


def failed(job: Job, error: Exception) -> PhotoResult:
    """Turn an error into the photo's result."""
    foreseen = isinstance(error, (PhotoError, AnswerError))
    reason = str(error) if foreseen else f"unforeseen {type(error).__name__}: {error}"
    return PhotoResult(job.source.path, PhotoStatus.FAILED, reason=reason.removeprefix(f"{job.source.path}: "))


def _write(loaded: LoadedPhoto, answer: Composition | NoSubject, run: RunContext, compose_ms: float) -> PhotoResult:
    start = time.perf_counter()
    job, photo = loaded.job, loaded.photo
    shots: list[ShotRecord] = []
    files: list[NewFile] = []
    if isinstance(answer, Composition):
        for shot in answer.shots:
            box = to_pixels(shot.box, photo.width, photo.height)
            path = job.crop(shot.type)
            content = encode_crop(photo, box, quality=run.settings.quality, policy=run.settings.metadata)
            files.append(NewFile(path, content, loaded.fingerprint.mtime_ns))
            relative = from_pixels(box, photo.width, photo.height)
            shots.append(ShotRecord(shot.type, box, relative, path.name, shot.caption, shot.score))
    sidecar = Sidecar(
        status=SidecarStatus.DONE if shots else SidecarStatus.NO_SUBJECT,
        source=_source_record(loaded),
        model=run.model,
        settings=SettingsRecord.of(run.settings),
        reasoning=answer.reasoning if isinstance(answer, Composition) else Reasoning(),
        shots=tuple(shots),
        warnings=photo.warnings,
        timing_ms=Timing(loaded.decode_ms, compose_ms, _ms_since(start)),
        shotcrop=__version__,
        created=iso_now(),
    )
    files.append(NewFile(job.sidecar, sidecar.to_bytes()))
    # The old sidecar goes first: from then on nothing claims that the crops are complete. Where nobody is
    # seen any more, the crops of an earlier run go too.
    put_in_place(files, root=run.root, obsolete=(job.sidecar, *(() if shots else job.crops)))
    return PhotoResult(
        job.source.path,
        PhotoStatus.DONE if shots else PhotoStatus.NO_SUBJECT,
        job.sidecar,
        job.crops if shots else (),
    )


def _source_record(loaded: LoadedPhoto) -> SourceRecord:
    photo, fingerprint, facts = loaded.photo, loaded.fingerprint, loaded.photo.metadata.facts()
    return SourceRecord(
        path=str(loaded.job.source.path),
        size_bytes=fingerprint.size_bytes,
        mtime=iso_mtime(fingerprint.mtime_ns),
        sha256=fingerprint.sha256,
        format=photo.format.name,
        width=photo.width,
        height=photo.height,
        exif_orientation=photo.orientation,
        captured_at=facts.captured_at,
        camera=facts.camera,
    )


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
