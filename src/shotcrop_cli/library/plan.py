"""Say which files belong to a photo, and decide what it needs, without touching the disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.errors import with_fix
from shotcrop_cli.imaging.formats import CropFormat, Format, output_format
from shotcrop_cli.library.hand_work import KEEP_ALL, XMP_SUFFIX, Allowed
from shotcrop_cli.library.name_template import Names
from shotcrop_cli.library.source import Source
from shotcrop_cli.settings_changes import SHAPES, how_to_repeat, settings_changes
from shotcrop_cli.shots import DEFAULT_SET, GROUP, MAIN, SHOT_TYPES, CropKey, ShotType, person_key
from shotcrop_cli.sidecar import (
    FIX_SIDECAR,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    iso_mtime,
)
from shotcrop_cli.subjects import Subjects, wanted_crops

PHOTO_CHANGED = "the photo changed"
"""The reason of a task for a photo with another content than the recorded one."""
SIDECAR_SUFFIX = ".json"
REJECTED = "rejected"
"""The reason of a task for a photo of which a person wants no crops."""
NOT_SHOWN = "it does not show whom the run asks for"
"""The reason of a task for a photo of other people."""
WORDS_CHANGED = "captions in other words are asked for"
"""The reason of a task for a photo whose captions are written again."""
MOST_PEOPLE = 10
"""So many people the default model reports at most."""
_SETTINGS_CHANGED = "the settings changed"
_FIX_LOSSES = "add --replace to replace them, or choose another --output for the new crops"


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
        return f"{self.source.name}{SIDECAR_SUFFIX}"

    @property
    def sidecar(self) -> Path:
        """Path of the sidecar, which shotcrop writes last. `decide` says whether a photo that has one is done."""
        return self.folder / self.sidecar_name

    @property
    def crop_names(self) -> tuple[str, ...]:
        """Paths of the three crops below the folder, widest shot first, with `/` between their parts."""
        return self.names.of(self.source.name)

    def for_format(self, form: Format | None, crop_format: CropFormat) -> Target:
        """Return the target of a photo whose content has this format, whatever its extension says.

        Args:
            form: Format of the content; None if it is unknown.
            crop_format: The format that the user wants for crops.
        """
        if form is None:
            return self
        return replace(self, names=self.names.with_suffix(output_format(form, crop_format).suffix))

    def crop_name(self, key: CropKey | ShotType) -> str:
        """Return the path of one crop below the folder."""
        if key in SHOT_TYPES:
            return self.crop_names[SHOT_TYPES.index(CropKey.of(key).shot)]
        return self.names.name(self.source.name, key)

    def crops(self, keys: Sequence[CropKey | ShotType] = SHOT_TYPES) -> tuple[Path, ...]:
        """Return the paths of these crops."""
        return tuple(self.folder / self.crop_name(key) for key in keys)


class Action(Enum):
    """What to do with a photo."""

    SKIP = "skip"
    """Nothing: it is up to date."""
    CROP = "crop"
    """Write crops from the boxes in the sidecar, without the model."""
    COMPOSE = "compose"
    """Ask the model for boxes, then write crops."""
    REFUSE = "refuse"
    """Nothing, because that would lose finished work; the reason says what to do. The photo counts as failed."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with a photo, and why.

    Args:
        target: The photo and its files.
        settings: How the crops should look.
        action: What to do.
        reason: Why, in words. If the task is refused, also the fix.
        shots: The crops to make, by their keys; if there is nothing to do, the crops that exist. Crops of new people
            follow once the model has found them.
        record: The sidecar of an earlier run, if it was read, with the crops marked that somebody deleted.
        no_subject: Whether there is nothing to do because the model found no people.
        photo_changed: Whether the photo may have another content than the recorded one.
        recorded_path: Path of the photo in the sidecar, if it differs from the path of this one. It may be another
            photo with the same name.
        stamp: Stamps of the photo and its sidecar when this was decided; None without a sidecar.
        wanted: What the run would make, as far as the model decides it; None if only `shots` are made.
        names: The names in the photo, if the run asks for people by name and there is nothing to do.
        changes: The options that changed since an earlier run made the crops, in words, if there is anything to do.
    """

    target: Target
    settings: CropSettings
    action: Action
    reason: str
    shots: tuple[CropKey | ShotType, ...] = ()
    record: Sidecar | None = None
    no_subject: bool = False
    photo_changed: bool = False
    recorded_path: Path | None = None
    stamp: tuple[tuple[int, int, int, int], tuple[int, int]] | None = None
    wanted: Wanted | None = None
    names: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The reason with the options that changed."""
        if not self.changes:
            return self.reason
        before = ": " if self.reason in (_SETTINGS_CHANGED, WORDS_CHANGED) else "; also "
        return f"{self.reason}{before}{', '.join(self.changes)}"

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""
        return self.action in (Action.CROP, Action.COMPOSE)

    @property
    def retouched(self) -> tuple[Path, ...]:
        """The crops that an earlier run kept as somebody changed them, and that this one keeps, too."""
        shots = () if self.record is None else self.record.all_crops
        return tuple(self.target.folder / shot.file for shot in shots if shot.retouched and shot.file is not None)

    @property
    def former_names(self) -> tuple[str, ...]:
        """The names of finished crops that get other names."""
        due = (shot for shot in (self.record.all_crops if self.record else ()) if shot.key in self.shots)
        names = (shot.file for shot in due if shot.file != self.target.crop_name(shot.key))
        return tuple(name for name in names if name is not None)

    @property
    def rejected(self) -> tuple[CropKey, ...]:
        """The crops that a person does not want, and that this task leaves out."""
        if self.record is None:
            return ()
        left_out = (shot for shot in self.record.all_crops if shot.key not in self.shots or not self.is_due)
        return tuple(shot.key for shot in left_out if shot.rejected or self.record.rejected)

    @property
    def unapplied(self) -> tuple[CropKey, ...]:
        """The crops whose box or texts a person edited, and that this task leaves as they are."""
        pending = () if self.record is None or self.needs_model else self.record.pending
        return tuple(key for key in pending if not self.is_due or key not in self.shots)

    @property
    def is_first(self) -> bool:
        """Whether no earlier run left a sidecar for the photo."""
        return self.record is None

    @property
    def makes_crops(self) -> bool:
        """Whether crops may have to be made, as far as that is known before the model sees the photo."""
        return bool(self.shots) or (self.needs_model and self.wanted is not None and bool(self.wanted.shots))

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
        shots: The shots to crop; none to make only sidecars.
        subjects: Whom to crop.
        sets: Names of the ratio sets to make; `default` for ordinary crops.
    """

    model_sha256: str
    settings: CropSettings
    shots: tuple[ShotType, ...] = SHOT_TYPES
    subjects: Subjects = Subjects()  # noqa: RUF009 - it is frozen
    sets: tuple[str, ...] = (DEFAULT_SET,)

    @property
    def is_ordinary(self) -> bool:
        """Whether only ordinary crops are asked for: of the main subject and in no ratio set."""
        return self.subjects.is_main and self.sets == (DEFAULT_SET,)

    def crops(self, record: Sidecar | None = None) -> tuple[CropKey, ...]:
        """Return the crops that the run asks for.

        With `shots` empty, these are the crops whose boxes the sidecar should have.

        Args:
            record: The sidecar, which says who is in the photo; None for the crops of the main subject.
        """
        found: tuple[str, ...] = (MAIN,) if self.subjects.is_main or record is None else ()
        if record is not None and not found:
            boxes = [shot.model_box for shot in record.shots]
            found = self.subjects.find(record.people, boxes, record.source.width / record.source.height)
        sets = [(name, self._shots_of(name)) for name in self.sets]
        return wanted_crops(found, sets, self.shots or SHOT_TYPES)

    def possible_crops(self) -> tuple[CropKey, ...]:
        """Return all crops that the run could make of a photo, whoever is in it."""
        everybody = (MAIN, *map(person_key, range(1, MOST_PEOPLE + 1)), GROUP)
        sets = [(name, self._shots_of(name)) for name in self.sets]
        return wanted_crops((MAIN,) if self.subjects.is_main else everybody, sets, SHOT_TYPES)

    def _shots_of(self, name: str) -> tuple[ShotType, ...]:
        ratio_set = None if name == DEFAULT_SET else self.settings.ratio_set(name)
        return SHOT_TYPES if ratio_set is None else ratio_set.shots


def decide(
    target: Target,
    record: Sidecar | None,
    present: Collection[str],
    wanted: Wanted,
    digest: Callable[[], str],
    *,
    fault: str = "",
    overwrite: bool = False,
    check_content: bool = False,
    allowed: Allowed = KEEP_ALL,
    is_retouched: Callable[[ShotRecord], bool] = lambda _shot: False,
) -> Task:
    """Compare what an earlier run left with what this run would make.

    `up_to_date.UpToDateCheck` answers the common case without these rules: change both together.

    Existing crops are kept up to date even if this run does not ask for their shots. The model does not see a photo
    again while a person's box or caption is in its sidecar. Whether the file of a due crop may be replaced is decided
    when it is written, see `hand_work`. A run that makes only sidecars keeps existing crops up to date, too.

    Args:
        target: The photo and its files.
        record: The sidecar of the earlier run, as `with_rejections` returns it; None if there is no readable one.
        present: The photo's files that exist, as paths below the target's folder.
        wanted: What this run would make.
        digest: Returns the SHA-256 of the photo. Called only if its size is the recorded one, and its time is not or
            `check_content` is true.
        fault: Why there is a sidecar that cannot be read; otherwise empty.
        overwrite: Whether to crop everything again.
        check_content: Whether an equal size and time are not enough to say that the photo is the same.
        allowed: What may be done to finished work.
        is_retouched: Says whether somebody changed a finished crop. Called only if such crops may be replaced.
    """
    task = _decide(
        target,
        record,
        present,
        wanted,
        digest,
        fault=fault,
        overwrite=overwrite,
        check_content=check_content,
        allowed=allowed,
        is_retouched=is_retouched,
    )
    if record is None or not task.is_due or record.status is SidecarStatus.NO_SUBJECT:
        return task
    return replace(task, changes=tuple(map(str, settings_changes(record.settings, task.settings))))


def _decide(
    target: Target,
    record: Sidecar | None,
    present: Collection[str],
    wanted: Wanted,
    digest: Callable[[], str],
    *,
    fault: str,
    overwrite: bool,
    check_content: bool,
    allowed: Allowed,
    is_retouched: Callable[[ShotRecord], bool],
) -> Task:
    asked = wanted.crops(record if record is not None and record.shots else None)
    keys_by_name: dict[str, CropKey | ShotType] = dict(zip(target.crop_names, SHOT_TYPES, strict=True))
    if record is not None:
        keys_by_name |= {shot.file: shot.key for shot in record.all_crops if shot.file is not None}
    existing = {key for name, key in keys_by_name.items() if name in present}
    known = () if record is None else tuple(shot.key for shot in record.more_crops)
    due_or_made = [*(asked if wanted.shots else ()), *existing]
    order: dict[CropKey | ShotType, None] = dict.fromkeys((*map(CropKey, SHOT_TYPES), *known, *asked))
    shots = tuple(key for key in order if key in due_or_made)
    if fault:
        return Task(target, wanted.settings, Action.REFUSE, with_fix(f"{target.sidecar}: {fault}", FIX_SIDECAR))
    if record is None:
        return Task(target, wanted.settings, Action.COMPOSE, "new", shots, wanted=wanted)
    settings = _settings_for(wanted, record, existing, asked)
    recorded = None if record.source.path == str(target.source.path) else Path(record.source.path)
    same_time = record.source.mtime == iso_mtime(target.source.mtime_ns)
    same_size = record.source.size_bytes == target.source.size_bytes
    same_stamp = same_time and not check_content
    is_same = recorded is None and overwrite  # then nothing depends on the content
    is_same = is_same or (same_size and (same_stamp or record.source.sha256 == digest()))
    changed = not is_same or (overwrite and not (same_size and same_stamp))
    rejected: set[CropKey | ShotType] = set()
    if is_same or recorded is None:  # otherwise it may be another photo, of which no one has rejected anything
        rejected = {shot.key for shot in record.all_crops if shot.rejected}
        rejected |= {*rejected, *shots, *(shot.key for shot in record.shots)} if record.rejected else set()
        shots = tuple(key for key in shots if key not in rejected)
    only_sidecar = not wanted.shots and not existing
    all_rejected = bool(record.shots) and all(shot.key in rejected for shot in record.shots)
    if not shots and (all_rejected or (asked and not only_sidecar)):
        return Task(target, settings, Action.SKIP, REJECTED, (), record, photo_changed=changed)
    if losses := _losses(target, record, present, settings, shots, allowed):
        return Task(target, settings, Action.REFUSE, losses, (), record, photo_changed=changed)
    composed = Action.COMPOSE
    if record.edited and not (overwrite and allowed.overwrite_edited):
        composed = Action.CROP
    if overwrite:
        reason = "overwritten on request"
        return Task(
            target,
            settings,
            composed,
            reason,
            shots,
            record,
            photo_changed=changed,
            recorded_path=recorded,
            wanted=wanted,
        )
    if not is_same:
        return Task(
            target,
            settings,
            composed,
            PHOTO_CHANGED,
            shots,
            record,
            photo_changed=True,
            recorded_path=recorded,
            wanted=wanted,
        )
    if record.model.sha256 != wanted.model_sha256 and not record.edited:
        return Task(target, settings, Action.COMPOSE, "the model changed", shots, record, wanted=wanted)
    if record.shots and not record.lists_people and not wanted.subjects.is_main and not record.edited:
        reason = "the sidecar does not say who is in the photo"
        return Task(target, settings, Action.COMPOSE, reason, shots, record, wanted=wanted)
    if record.status is SidecarStatus.NO_SUBJECT:
        return Task(target, settings, Action.SKIP, "unchanged", (), record, no_subject=True)
    if _lacks_facts(record, settings):
        reason = "the sidecar does not say what captions in other words need"
        return Task(target, settings, Action.COMPOSE, reason, shots, record, wanted=wanted)
    reasons: dict[CropKey, str] = {}
    for shot in record.all_crops:
        if shot.key not in shots:
            continue
        if allowed.overwrite_edited and (shot.retouched or is_retouched(shot)):
            reasons[shot.key] = f"{shot.file} was edited, and edited crops are overwritten on request"
        elif not shot.retouched:
            reasons[shot.key] = _stale(target, shot, settings, record, present)
    new = [key for key in asked if not key.is_ordinary and key not in known]
    reasons |= {key: f"{key} is asked for" for key in new if key in shots}
    old_words = [crop.key for crop in record.all_crops if record.has_old_words(crop, settings)]
    if settings.xmp.embeds or settings.xmp.has_files:
        reasons |= {key: reasons.get(key) or WORDS_CHANGED for key in old_words if key in shots}
    due = tuple(key for key, reason in reasons.items() if reason)
    if only_sidecar and (record.settings.hash != settings.hash or new):
        return Task(target, settings, Action.CROP, _SETTINGS_CHANGED, (), record, wanted=wanted)
    if due:
        return Task(target, settings, Action.CROP, next(filter(None, reasons.values())), due, record, wanted=wanted)
    if old_words:
        return Task(target, settings, Action.CROP, WORDS_CHANGED, (), record, wanted=wanted)
    reason = "unchanged" if same_time else "unchanged but for its time"
    reason = reason if asked else NOT_SHOWN
    return Task(target, settings, Action.SKIP, reason, shots, record)


def _lacks_facts(record: Sidecar, settings: CropSettings) -> bool:
    """Say whether the model has to see a photo again, because a sidecar of an earlier version has no facts."""
    if settings.captions is RuleCaptions.NONE or settings.words == record.settings.words:
        return False
    # A large model lists no people, and has words of its own.
    return (
        record.captions is None
        and not record.edited
        and bool(record.people)
        and not any(shot.facts is not None for shot in record.shots)
    )


def with_rejections(record: Sidecar, present: Collection[str], allowed: Allowed = KEEP_ALL) -> Sidecar:
    """Return a sidecar in which the crops that somebody deleted are rejected, or in which nothing is rejected any more.

    A sidecar names a crop only once the crop is complete. So if it is missing, somebody deleted it. A shot whose box or
    caption was edited since is wanted again.

    Args:
        record: The sidecar.
        present: The photo's files that exist.
        allowed: Whether rejected crops are to be brought back.
    """
    shots = []
    for shot in record.all_crops:
        is_missing = shot.file is not None and shot.file not in present
        is_pending = shot.is_pending(record.source)
        if is_missing:
            before = shot.written
            written = None if before is None else replace(before, size_bytes=None, sha256=None, image_sha256=None)
            deleted = replace(shot, file=None, size=None, retouched=False, written=written)
            shots.append(replace(deleted, rejected=shot.rejected or not is_pending))
        else:
            shots.append(shot)
    if allowed.restore_rejected:
        shots = [replace(shot, rejected=False) for shot in shots]
    return replace(record.with_crops(shots), rejected=record.rejected and not allowed.restore_rejected)


def _losses(
    target: Target,
    record: Sidecar,
    present: Collection[str],
    settings: CropSettings,
    shots: Sequence[CropKey | ShotType],
    allowed: Allowed,
) -> str:
    """Say which finished crops would give way to crops of another name, shape or size, and the fix; empty if they may.

    The crops are named by their keys, so that equal reasons of many photos are equal texts.
    """
    if allowed.replace:
        return ""
    renamed: list[str] = []
    reshaped: list[str] = []
    for shot in record.all_crops:
        if shot.file is None or shot.key not in shots or shot.retouched:
            continue
        if shot.file != target.crop_name(shot.key):
            renamed.append(shot.key)
        elif _shape(settings, shot) != _shape(record.settings, shot):
            reshaped.append(shot.key)
    if not renamed and not reshaped:
        return ""
    options = ("format", *SHAPES)
    changes = [one for one in settings_changes(record.settings, settings) if one.option in options]
    fix = f"{repeated} to keep them, or {_FIX_LOSSES}" if (repeated := how_to_repeat(changes)) else _FIX_LOSSES
    if renamed:
        return with_fix(f"finished crops would be deleted, because crops get other names: {', '.join(renamed)}", fix)
    return with_fix(f"finished crops would be replaced by crops of another shape or size: {', '.join(reshaped)}", fix)


def _shape(settings: CropSettings, shot: ShotRecord) -> tuple[object, ...]:
    """Return the settings that decide the box and size of a crop. A person's box is not framed."""
    return (None if shot.edited else settings.shape(shot.key), settings.max_size)


def _settings_for(
    wanted: Wanted, record: Sidecar, existing: Collection[CropKey | ShotType], asked: Collection[CropKey]
) -> CropSettings:
    """Return the settings of this run, with the recorded ratios of finished crops and sets that it does not ask for."""
    settings, framing = wanted.settings, wanted.settings.framing
    recorded = [one for one in record.settings.sets if settings.ratio_set(one.name) is None]
    if recorded:
        by_name = {one.name: one for one in (*record.settings.sets, *settings.sets)}
        settings = replace(settings, sets=tuple(by_name.values()))
    new, old = dict(framing.aspects), dict(record.settings.framing.aspects)
    made = {key.shot for key in asked if key.is_ordinary and wanted.shots}
    kept = {shot for shot in SHOT_TYPES if shot in existing and shot not in made and new.get(shot) != old.get(shot)}
    if not kept:
        return settings
    merged = {shot: (old if shot in kept else new).get(shot) for shot in SHOT_TYPES}
    aspects = tuple((shot, aspect) for shot, aspect in merged.items() if aspect is not None)
    return replace(settings, framing=replace(framing, aspects=aspects))


def _stale(target: Target, shot: ShotRecord, settings: CropSettings, record: Sidecar, present: Collection[str]) -> str:
    """Say why a shot has to be cropped again; empty if its crop is up to date."""
    name = target.crop_name(shot.key)
    if shot.file is None and shot.left_out and record.settings.concerning(shot.key) == settings.concerning(shot.key):
        return ""
    if shot.file is None:
        return f"{shot.key} is asked for"
    if shot.file != name:
        return "the name template changed"
    if record.settings.concerning(shot.key) != settings.concerning(shot.key):
        return _SETTINGS_CHANGED
    if settings.xmp.has_files and name + XMP_SUFFIX not in present:
        return f"{name}{XMP_SUFFIX} is missing"
    return ""
