"""Plan the files of each photo and decide what each photo needs, without touching the disk."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import FORMATS, JPEG, CropFormat, output_format
from shotcrop_cli.library.name_template import Names, NameTemplate, TemplateNames
from shotcrop_cli.library.source import Source
from shotcrop_cli.library.walk import format_of_name
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar, SidecarStatus, iso_mtime

XMP_SUFFIX = ".xmp"
PHOTO_CHANGED = "the photo changed"
"""The reason of a task for a photo with another content than the recorded one."""


@dataclass(frozen=True, slots=True)
class Target:
    """A photo and the files that shotcrop writes for it.

    Args:
        source: The photo.
        folder: Folder of the files.
        names: Names the crops.
    """

    source: Source
    folder: Path
    names: Names

    @property
    def sidecar_name(self) -> str:
        """Name of the sidecar in the folder."""
        return f"{self.source.name}.json"

    @property
    def sidecar(self) -> Path:
        """Path of the sidecar, which shotcrop writes last. `decide` says whether a photo that has one is done."""
        return self.folder / self.sidecar_name

    @property
    def crop_names(self) -> tuple[str, ...]:
        """Paths of the three crops below the folder, widest shot first, with `/` between their parts."""
        return self.names.of(self.source.name)

    def crop_name(self, shot: ShotType) -> str:
        """Return the path of one crop below the folder."""
        return self.crop_names[SHOT_TYPES.index(shot)]

    def crops(self, shots: Sequence[ShotType] = SHOT_TYPES) -> tuple[Path, ...]:
        """Return the paths of the crops of these shots, widest first."""
        return tuple(self.folder / self.crop_name(shot) for shot in SHOT_TYPES if shot in shots)


class Action(Enum):
    """What to do with a photo."""

    SKIP = "skip"
    """Nothing: it is up to date."""
    CROP = "crop"
    """Write crops from the boxes in the sidecar, without the model."""
    COMPOSE = "compose"
    """Ask the model for boxes, then write crops."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with a photo, and why.

    Args:
        target: The photo and its files.
        settings: How the crops should look.
        action: What to do.
        reason: Why, in words.
        shots: The shots to crop; if there is nothing to do, the shots whose crops exist.
        record: The sidecar of an earlier run, if it was read.
        no_subject: Whether there is nothing to do because the model found no people.
        recorded_path: Path of the photo in the sidecar, if it differs from the path of this one. It may be another
            photo with the same name.
        damaged: Whether there is a sidecar that cannot be read.
        stamp: Stamps of the photo and its sidecar when this was decided; None without a sidecar.
    """

    target: Target
    settings: CropSettings
    action: Action
    reason: str
    shots: tuple[ShotType, ...] = ()
    record: Sidecar | None = None
    no_subject: bool = False
    recorded_path: Path | None = None
    damaged: bool = False
    stamp: tuple[tuple[int, int, int, int], tuple[int, int]] | None = None

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""
        return self.action is not Action.SKIP

    @property
    def needs_model(self) -> bool:
        """Whether the model has to see the photo."""
        return self.action is Action.COMPOSE


@dataclass(frozen=True, slots=True)
class Wanted:
    """What this run would make, to compare with what an earlier run left.

    Args:
        model_sha256: Content hash of the model.
        settings: How the crops should look.
        shots: The shots to crop.
    """

    model_sha256: str
    settings: CropSettings
    shots: tuple[ShotType, ...] = SHOT_TYPES


def plan(
    sources: Sequence[Source],
    output: Path,
    template: NameTemplate = NameTemplate(),  # noqa: B008 - it is frozen
    crop_format: CropFormat = CropFormat.SAME,
) -> tuple[Target, ...]:
    """Name the output files of every photo. The output folder gets the same subfolders as the photos.

    Raises:
        ShotcropError: Two photos would write the same file, on this file system or on one that ignores case or Unicode
            composition, or the name of a photo would lead out of the output folder.
    """
    folders = {folder: output / folder.relative for folder in {source.folder for source in sources}}
    names = {form: TemplateNames(template, output_format(form, crop_format).suffix) for form in set(FORMATS.values())}
    targets = tuple(
        Target(source, folders[source.folder], names[format_of_name(source.name) or JPEG]) for source in sources
    )
    _refuse_collisions(targets, {folder.relative for folder in folders}, output, template)
    return targets


def decide(
    target: Target,
    record: Sidecar | None,
    present: Collection[str],
    wanted: Wanted,
    digest: Callable[[], str],
    *,
    overwrite: bool = False,
    check_content: bool = False,
) -> Task:
    """Compare what an earlier run left with what this run would make.

    `up_to_date.UpToDateCheck` answers the common case without these rules: change both together.

    Existing crops are kept up to date even if this run does not ask for their shots. Boxes that a person set are kept
    unless `overwrite` is true: if the model or the photo changed, the model does not see the photo again.

    Args:
        target: The photo and its files.
        record: The sidecar of the earlier run; None if there is no readable one.
        present: The photo's files that exist, as paths below the target's folder.
        wanted: What this run would make.
        digest: Returns the SHA-256 of the photo. Called only if its size is the recorded one, and its time is not or
            `check_content` is true.
        overwrite: Whether to do everything again.
        check_content: Whether an equal size and time are not enough to say that the photo is the same.
    """
    shots_by_name = dict(zip(target.crop_names, SHOT_TYPES, strict=True))
    if record is not None:
        shots_by_name |= {shot.file: shot.shot for shot in record.shots if shot.file is not None}
    existing = {shot for name, shot in shots_by_name.items() if name in present}
    shots = tuple(shot for shot in SHOT_TYPES if shot in wanted.shots or shot in existing)
    settings = wanted.settings
    if record is None:
        damaged = target.sidecar_name in present
        reason = "the sidecar is damaged" if damaged else "new"
        return Task(target, settings, Action.COMPOSE, reason, shots, damaged=damaged)
    recorded = None if record.source.path == str(target.source.path) else Path(record.source.path)
    if overwrite:
        return Task(target, settings, Action.COMPOSE, "overwritten on request", shots, record, recorded_path=recorded)
    same_time = record.source.mtime == iso_mtime(target.source.mtime_ns)
    same_size = record.source.size_bytes == target.source.size_bytes
    same_stamp = same_time and not check_content
    if not (same_size and (same_stamp or record.source.sha256 == digest())):
        action = Action.CROP if record.edited else Action.COMPOSE
        return Task(target, settings, action, PHOTO_CHANGED, shots, record, recorded_path=recorded)
    if record.model.sha256 != wanted.model_sha256 and not record.edited:
        return Task(target, settings, Action.COMPOSE, "the model changed", shots, record)
    if record.status is SidecarStatus.NO_SUBJECT:
        return Task(target, settings, Action.SKIP, "unchanged", (), record, no_subject=True)
    reasons = {shot.shot: _stale(target, shot, record, present, wanted) for shot in record.shots if shot.shot in shots}
    due = tuple(shot for shot, reason in reasons.items() if reason)
    if due:
        return Task(target, settings, Action.CROP, next(filter(None, reasons.values())), due, record)
    reason = "unchanged" if same_time else "unchanged but for its time"
    return Task(target, settings, Action.SKIP, reason, shots, record)


def _stale(target: Target, shot: ShotRecord, record: Sidecar, present: Collection[str], wanted: Wanted) -> str:
    """Say why a shot has to be cropped again; empty if its crop is up to date."""
    name = target.crop_name(shot.shot)
    if record.settings.concerning(shot.shot) != wanted.settings.concerning(shot.shot):
        return "the settings changed"
    if shot.file is None:
        return f"{shot.shot} is asked for"
    if shot.file != name:
        return "the name template changed"
    if name not in present:
        return f"{name} is missing"
    if wanted.settings.xmp and name + XMP_SUFFIX not in present:
        return f"{name}{XMP_SUFFIX} is missing"
    return ""


def _refuse_collisions(
    targets: Sequence[Target], parents: Collection[PurePath], output: Path, template: NameTemplate
) -> None:
    starts = {parent: f"{_folded(str(parent))}/" for parent in parents}
    taken: dict[str, Target] = {}
    for target in targets:
        start = starts[target.source.folder.relative]
        # With the default template all names start with the photo's name, so it is enough to compare that.
        for name in (target.source.name,) if template.is_default else _files(target):
            other = taken.setdefault(start + _folded(name), target)
            if other is not target:
                raise ShotcropError(
                    f"{other.source.path} and {target.source.path} would write the same files below {output}",
                    hint="rename one of them, or crop them to different --output folders",
                )
    used = {_folded(str(folder)) for parent in parents for folder in (parent, *parent.parents)}
    # Folders are seldom named like a crop or a sidecar. Only if one is, every file has to be compared.
    suffixes = {PurePath(name).suffix.lower() for target in targets[:1] for name in _files(target)}
    if any(PurePath(folder).suffix in suffixes for folder in used):
        for target in targets:
            for name in _files(target):
                if _folded(str(target.source.folder.relative / name)) in used:
                    raise ShotcropError(
                        f"{target.source.path} would write {target.folder / name}, but that is a folder of other crops",
                        hint="rename one of them, or crop them to different --output folders",
                    )


def _files(target: Target) -> tuple[str, ...]:
    return *target.crop_names, target.sidecar_name


def _folded(relative: str) -> str:
    if relative.isascii():
        return relative.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", relative).casefold())
