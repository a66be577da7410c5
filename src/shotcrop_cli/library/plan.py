"""Decide, without touching the disk, what is written for each photo and what there is to do."""

from __future__ import annotations

import os.path
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import FORMATS, JPEG, CropFormat, written_as
from shotcrop_cli.library.name_template import Names, NameTemplate, TemplateNames
from shotcrop_cli.library.source import Source
from shotcrop_cli.library.walk import format_of_name
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar, SidecarStatus, iso_mtime

XMP_ENDING = ".xmp"


@dataclass(frozen=True, slots=True)
class Job:
    """One photo and the files that come of it.

    Args:
        source: The photo.
        folder: Where its files go.
        names: What its crops are called.
    """

    source: Source
    folder: Path
    names: Names

    @property
    def sidecar_name(self) -> str:
        """Name of the sidecar in the folder."""
        return f"{self.source.name}.json"

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the three crops below the folder, widest first, `/` between their parts."""
        return self.names.files(self.source.name)

    @property
    def sidecar(self) -> Path:
        """Path of the sidecar, the completion marker."""
        return self.folder / self.sidecar_name

    def file(self, shot: ShotType) -> str:
        """Path of one crop below the folder."""
        return self.files[SHOT_TYPES.index(shot)]

    def crop(self, shot: ShotType) -> Path:
        """Path of one crop."""
        return self.folder / self.file(shot)

    def crops(self, shots: Sequence[ShotType]) -> tuple[Path, ...]:
        """Paths of some crops, widest first."""
        return tuple(self.crop(shot) for shot in SHOT_TYPES if shot in shots)

    def target(self, shots: Sequence[ShotType]) -> str:
        """Say in one path where some crops go, such as `/shots/a.jpg.{medium,close_up}.jpg`."""
        names = [self.file(shot) for shot in SHOT_TYPES if shot in shots]
        if len(names) == 1:
            return str(self.folder / names[0])
        start = os.path.commonprefix(names)  # noqa: RUF071 - characters are meant
        end = os.path.commonprefix([name[len(start) :][::-1] for name in names])[::-1]  # noqa: RUF071
        middle = ",".join(name[len(start) : len(name) - len(end)] for name in names)
        return str(self.folder / f"{start}{{{middle}}}{end}")


class Work(Enum):
    """What a photo needs."""

    NOTHING = "nothing"
    CUT = "cut"
    """Crops are cut again from the boxes on record; no model is asked."""
    COMPOSE = "compose"

    @property
    def composes(self) -> bool:
        """Whether the model has to see the photo."""
        return self is Work.COMPOSE


@dataclass(frozen=True, slots=True)
class Decision:
    """What a photo needs, and why.

    Args:
        work: What there is to do.
        reason: Why, in words.
        shots: The shots to cut, or those that lie there already when there is nothing to do.
        record: What an earlier run left, where it was read.
        no_subject: Whether there is nothing to do because the model saw nobody.
        recorded_path: Where the photo on record lay, when this one lies elsewhere: perhaps it is another photo of the
            same name.
        damaged: Whether there is a sidecar that cannot be read.
    """

    work: Work
    reason: str
    shots: tuple[ShotType, ...] = ()
    record: Sidecar | None = None
    no_subject: bool = False
    recorded_path: Path | None = None
    damaged: bool = False

    @property
    def due(self) -> bool:
        """Whether there is anything to do."""
        return self.work is not Work.NOTHING


@dataclass(frozen=True, slots=True)
class Wanted:
    """What this run would make, to be compared with what an earlier run left.

    Args:
        model_sha256: Content hash of the model.
        settings: What decides the look of the crops.
        shots: The shots that are asked for.
    """

    model_sha256: str
    settings: CropSettings
    shots: tuple[ShotType, ...] = SHOT_TYPES


def plan(
    sources: Sequence[Source],
    output: Path,
    template: NameTemplate = NameTemplate(),  # noqa: B008 - it is frozen
    wanted: CropFormat = CropFormat.SAME,
) -> tuple[Job, ...]:
    """Give every photo its output names, the tree of the sources mirrored below the output folder.

    Raises:
        ShotcropError: Two photos would write to the same file, on this or on a file system that does not
            tell case or Unicode composition apart, or a photo's name would lead out of the output.
    """
    folders = {folder: output / folder.relative for folder in {source.folder for source in sources}}
    names = {form: TemplateNames(template, written_as(form, wanted).suffix) for form in set(FORMATS.values())}
    jobs = tuple(Job(source, folders[source.folder], names[format_of_name(source.name) or JPEG]) for source in sources)
    _refuse_collisions(jobs, {folder.relative for folder in folders}, output, template)
    return jobs


def decide(
    job: Job,
    record: Sidecar | None,
    present: Collection[str],
    wanted: Wanted,
    digest: Callable[[], str],
    *,
    overwrite: bool = False,
) -> Decision:
    """Compare what an earlier run left with what this run would make.

    Shots that are there already are kept up to date, even if this run does not ask for them. A box that a person
    set is never given up unless `overwrite` says so: neither another model nor a photo that was saved again
    makes the photo composed anew then.

    Args:
        job: The photo and its files.
        record: What the earlier run left, None when there is no readable sidecar.
        present: Which of the photo's files exist, as paths below the job's folder.
        wanted: What this run would make.
        digest: Hashes the source; only called when its size fits but its modification time does not.
        overwrite: Whether everything is done again.
    """
    there = {job.file(shot): shot for shot in SHOT_TYPES}
    if record is not None:
        there |= {shot.file: shot.shot for shot in record.shots if shot.file is not None}
    kept = {shot for file, shot in there.items() if file in present}
    every = tuple(shot for shot in SHOT_TYPES if shot in wanted.shots or shot in kept)
    if record is None:
        damaged = job.sidecar_name in present
        return Decision(Work.COMPOSE, "the sidecar is damaged" if damaged else "new", every, damaged=damaged)
    recorded = None if record.source.path == str(job.source.path) else Path(record.source.path)
    if overwrite:
        return Decision(Work.COMPOSE, "overwritten on request", every, record, recorded_path=recorded)
    same_time = record.source.mtime == iso_mtime(job.source.mtime_ns)
    same = record.source.size_bytes == job.source.size_bytes and (same_time or record.source.sha256 == digest())
    if not same:
        work = Work.CUT if record.edited else Work.COMPOSE
        return Decision(work, "the photo changed", every, record, recorded_path=recorded)
    if record.model.sha256 != wanted.model_sha256 and not record.edited:
        return Decision(Work.COMPOSE, "the model changed", every, record)
    if record.status is SidecarStatus.NO_SUBJECT:
        return Decision(Work.NOTHING, "unchanged", (), record, no_subject=True)
    stale = {shot.shot: _stale(job, shot, record, present, wanted) for shot in record.shots if shot.shot in every}
    due = tuple(shot for shot, reason in stale.items() if reason)
    if due:
        return Decision(Work.CUT, next(filter(None, stale.values())), due, record)
    return Decision(Work.NOTHING, "unchanged" if same_time else "unchanged but for its time", every, record)


def _stale(job: Job, shot: ShotRecord, record: Sidecar, present: Collection[str], wanted: Wanted) -> str:
    """Say why a shot has to be cut again; empty when it has not."""
    name = job.file(shot.shot)
    if record.settings.concerning(shot.shot) != wanted.settings.concerning(shot.shot):
        return "the settings changed"
    if shot.file is None:
        return f"{shot.shot} is asked for"
    if shot.file != name:
        return "the name template changed"
    if name not in present:
        return f"{name} is missing"
    if wanted.settings.xmp and name + XMP_ENDING not in present:
        return f"{name}{XMP_ENDING} is missing"
    return ""


def _refuse_collisions(
    jobs: Sequence[Job], parents: Collection[PurePath], output: Path, template: NameTemplate
) -> None:
    starts = {parent: f"{_folded(str(parent))}/" for parent in parents}
    taken: dict[str, Job] = {}
    for job in jobs:
        start = starts[job.source.folder.relative]
        # By the default template all names of a photo grow from its own, so photos collide when these names do.
        names = (job.source.name,) if template.grows_from_the_name else (*job.files, job.sidecar_name)
        for name in names:
            other = taken.setdefault(start + _folded(name), job)
            if other is not job:
                raise ShotcropError(
                    f"{other.source.path} and {job.source.path} would be cut to the same files below {output}",
                    hint="rename one of them, or crop them to different --output folders",
                )
    used = {_folded(str(folder)) for parent in parents for folder in (parent, *parent.parents)}
    # Folders are seldom called like a crop or a sidecar; only then is it worth to look at every file.
    endings = {PurePath(name).suffix.lower() for job in jobs[:1] for name in (*job.files, job.sidecar_name)}
    if any(PurePath(folder).suffix in endings for folder in used):
        for job in jobs:
            for name in (*job.files, job.sidecar_name):
                if _folded(str(job.source.folder.relative / name)) in used:
                    raise ShotcropError(
                        f"{job.source.path} would be cut to {job.folder / name}, which is to be a folder",
                        hint="rename one of them, or crop them to different --output folders",
                    )


def _folded(relative: str) -> str:
    if relative.isascii():
        return relative.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", relative).casefold())
