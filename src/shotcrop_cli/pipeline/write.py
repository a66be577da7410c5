"""Write the files of a photo: crops, XMP files and the sidecar.

What people and other programs changed is kept; see `library.hand_work`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shotcrop_cli import __version__
from shotcrop_cli.captions.crop_texts import last_texts, next_to_other, texts_of
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.encode import EncodedCrop
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.imaging.metadata.embed import described_by_somebody, embed_texts
from shotcrop_cli.imaging.metadata.own_texts import OwnTexts, own_packet
from shotcrop_cli.imaging.metadata.policy import Metadata
from shotcrop_cli.imaging.metadata.xmp_caption import merge_texts
from shotcrop_cli.imaging.open_image import open_image
from shotcrop_cli.imaging.png import read_chunks
from shotcrop_cli.library.atomic_write import NewFile, free_name, put_in_place
from shotcrop_cli.library.hand_work import (
    BACKUP_SUFFIX,
    Owner,
    companions,
    crop_in_place,
    is_own_xmp,
    recorded_times,
    stranded_xmp,
)
from shotcrop_cli.library.placement import Placement, place
from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, low_scores
from shotcrop_cli.pipeline.crop import make_crop
from shotcrop_cli.pipeline.loaded_photo import LoadedPhoto, RunContext
from shotcrop_cli.sidecar import (
    CaptionRecord,
    FileSize,
    Replaced,
    ShotRecord,
    Sidecar,
    SidecarStatus,
    Timing,
    Written,
    iso_now,
)

_STATUS = {SidecarStatus.DONE: PhotoStatus.DONE, SidecarStatus.NO_SUBJECT: PhotoStatus.NO_SUBJECT}


def write_photo(
    loaded: LoadedPhoto,
    sidecar: Sidecar,
    shots: Sequence[ShotRecord],
    notes: Sequence[str],
    run: RunContext,
    start: float,
) -> PhotoResult:
    """Make and write the crops that are due, and then the sidecar.

    Args:
        loaded: The photo.
        sidecar: Its sidecar, whose shots are not framed yet.
        shots: Its crops with their boxes.
        notes: What the framing could not do.
        run: What is the same for all photos.
        start: When the work on the crops began, by `time.perf_counter`.

    Raises:
        PhotoError: A crop cannot be made or written, or somebody changed the sidecar in the meantime.
        OutputError: The output is full, gone or read-only.
    """
    task = loaded.task
    files = _Files(loaded, run, sidecar.captions, notes=list(notes))
    if shots or not files.keep_all_crops():
        written = (*(files.add(shot) for shot in shots), *files.drop({shot.key for shot in shots}))
    else:  # the model finds no people any more, but somebody worked on the crops
        assert task.record is not None  # else there would be no shots to keep
        written, captions = files.unchanged_shots(), task.record.captions
        sidecar = replace(sidecar, status=SidecarStatus.DONE, captions=captions)
    to_review = low_scores((crop for crop in written if crop.key.is_ordinary), run.min_score)
    sidecar = replace(
        sidecar.with_crops(written),
        warnings=(*loaded.photo.warnings, *files.notes, *(f"{low}, below {run.min_score:g}" for low in to_review)),
        timing_ms=None if run.reproducible else Timing(loaded.decode_ms, loaded.compose_ms, _ms_since(start)),
        shotcrop=__version__,
        created=None if run.reproducible else iso_now(),
    )
    files.remove_stranded()
    run.check_root()
    _check_sidecar(task)
    files.put_in_place(sidecar)
    target = task.target
    return PhotoResult(
        target.source.path,
        _STATUS[sidecar.status],
        target.sidecar,
        tuple(target.folder / shot.file for shot in written if shot.file is not None),
        low_scores=to_review,
        content="" if loaded.photo.format is format_of_name(target.source.name) else loaded.photo.format.name,
        kept=tuple(dict.fromkeys(files.kept)),
        rejected=task.rejected,
        backups=tuple(backup for _, backup in files.backups) + tuple(file.path for file in files.copies),
        small=tuple(too_small(crop, task.settings) for crop in written if is_too_small(crop, task)),
        left_out=tuple(f"{crop.key}: {crop.left_out}" for crop in written if crop.left_out and crop.key in task.shots),
        unapplied=sidecar.pending,
    )


def is_too_small(crop: ShotRecord, task: Task) -> bool:
    """Say whether a crop that this task made has fewer pixels than its ratio set asks for."""
    size = _wanted_size(crop, task.settings)
    if crop.key not in task.shots or size is None or crop.size is None or crop.retouched:
        return False
    return crop.size.width < size[0] or crop.size.height < size[1]


def too_small(crop: ShotRecord, settings: CropSettings) -> str:
    """Say how large a crop is that is too small for its ratio set."""
    size = _wanted_size(crop, settings)
    assert size is not None
    assert crop.size is not None
    return f"{crop.key} has {crop.size.width}x{crop.size.height} pixels, not {size[0]}x{size[1]}"


def _wanted_size(crop: ShotRecord, settings: CropSettings) -> tuple[int, int] | None:
    ratio_set = settings.ratio_set(crop.set_name)
    ratio = None if ratio_set is None else ratio_set.ratio(crop.shot)
    return None if ratio is None else ratio.size


@dataclass(slots=True)
class _Files:
    """The files of a photo: which to write, to keep, to back up and to remove."""

    loaded: LoadedPhoto
    run: RunContext
    captions: CaptionRecord | None
    notes: list[str] = field(default_factory=list)
    new: list[NewFile] = field(default_factory=list)
    copies: list[NewFile] = field(default_factory=list)
    backups: list[tuple[Path, Path]] = field(default_factory=list)
    obsolete: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    replaced: dict[str, Replaced | None] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return self.loaded.task

    def add(self, shot: ShotRecord) -> ShotRecord:
        """Make the crop of a shot if it is due and nothing has to stay in its place; return what the sidecar says."""
        if shot.key not in self.task.shots:
            return self._not_due(shot)
        there = place(self.task, shot.key)
        if there.must_stay(self.run.allowed):
            return self._keep(shot, there)
        if shot.left_out:
            return self._leave_out(shot, there)
        photo, settings = self.loaded.photo, self.task.settings
        if settings.xmp.embeds:
            photo = replace(photo, metadata=_described(photo.metadata, settings))
        crop, loss = make_crop(photo, self.loaded.source.data, shot.box, settings, shot.key, padded=shot.padded)
        self.notes += [note for note in (*crop.warnings, loss) if note and note not in self.notes]
        return self._replace(shot, there, crop)

    def _leave_out(self, shot: ShotRecord, there: Placement) -> ShotRecord:
        """Make no crop, because the ratio cannot hold the heads, and remove that of an earlier run."""
        self.backups += [(path, free_name(path, BACKUP_SUFFIX)) for path in there.edited]
        self.obsolete += there.own
        if there.own:
            self.replaced[shot.key] = None
            xmp = companions(there.own[0])[0]
            if there.before is not None and (content := _read(xmp)) is not None and is_own_xmp(content, there.before):
                self.obsolete.append(xmp)
        return replace(shot, file=None, size=None, retouched=False, written=_unwritten(shot), replaced=None)

    def remove_stranded(self) -> None:
        """Remove the XMP files of crops that somebody deleted."""
        record, target = self.task.record, self.task.target
        for shot in () if record is None else record.all_crops:
            if shot.key not in self.task.shots:
                xmp = stranded_xmp(target.folder / target.crop_name(shot.key), shot)
                self.obsolete += [] if xmp is None else [xmp]

    def drop(self, keys: Collection[str]) -> Iterator[ShotRecord]:
        """Remove the crops of people whom the model does not find any more; yield those that somebody changed.

        Args:
            keys: The crops that the photo still has.
        """
        record, target = self.task.record, self.task.target
        times = (target.source.mtime_ns, *recorded_times(record))
        for shot in () if record is None else record.all_crops:
            if shot.key in keys or shot.file is None:
                continue
            path = target.folder / shot.file
            if crop_in_place(path, shot, times).owner is Owner.PERSON:
                self.kept.append(path)
                if self._has_recorded_size():
                    yield replace(shot, retouched=True)
                continue
            self.obsolete.append(path)
            self.replaced[shot.key] = None
            xmp = companions(path)[0]
            if (content := _read(xmp)) is not None and is_own_xmp(content, shot):
                self.obsolete.append(xmp)

    def keep_all_crops(self) -> bool:
        """Whether somebody worked on crops of a photo in which the model finds no people any more.

        If no one did, the crops are removed.
        """
        record, target = self.task.record, self.task.target
        times = (target.source.mtime_ns, *recorded_times(record))
        known = {} if record is None else {shot.file: shot for shot in record.all_crops if shot.file is not None}
        names = dict.fromkeys((*known, *target.crop_names))
        found = {name: crop_in_place(target.folder / name, known.get(name), times) for name in names}
        edited = [target.folder / name for name, file in found.items() if file.owner is Owner.PERSON]
        for name in names:
            for xmp in companions(target.folder / name):
                content = _read(xmp)
                if content is not None and (name not in known or not is_own_xmp(content, known[name])):
                    edited.append(xmp)
                elif content is not None:
                    self.obsolete.append(xmp)
        self.obsolete += [target.folder / name for name, file in found.items() if file.owner is Owner.SHOTCROP]
        if edited and not self.run.allowed.overwrite_edited:
            self.kept, self.obsolete = edited, []
            if known:
                self.notes.append("the model finds no people, but the crops stay, because somebody changed them")
            return bool(known)
        self.backups = [(path, free_name(path, BACKUP_SUFFIX)) for path in edited]
        return False

    def unchanged_shots(self) -> tuple[ShotRecord, ...]:
        """Return the shots of the sidecar, whose crops all stay.

        Raises:
            PhotoError: The photo has another size than they were made for.
        """
        record = self.task.record
        assert record is not None
        if not self._has_recorded_size():
            raise PhotoError(
                f"{self.task.target.source.path}: the model finds no people, but somebody changed the crops",
                hint="keep them and reject the photo in its sidecar, or replace them with --overwrite-edited",
            )
        kept = {str(path) for path in self.kept}
        folder = self.task.target.folder
        return tuple(
            replace(shot, retouched=True) if shot.file is not None and str(folder / shot.file) in kept else shot
            for shot in record.all_crops
        )

    def put_in_place(self, sidecar: Sidecar) -> None:
        """Write everything, the sidecar last.

        If a run is killed while it replaces files, no sidecar may say that the crops are complete. So a sidecar without
        them comes first, from which the next run goes on. Without people there are none, and the old sidecar goes.
        """
        path, root = self.task.target.sidecar, self.run.root
        record = self.task.record
        first: NewFile | Path | None = None
        if record is not None and not sidecar.shots and self.obsolete:
            first = path
        elif record is not None and self.replaced:
            first = NewFile(path, sidecar.with_crops(map(self._pending, sidecar.all_crops)).to_bytes())
        if self.task.needs_model and record is not None and record.edited:
            self.copies.append(NewFile(free_name(path, BACKUP_SUFFIX), _read(path) or b""))
        if self.copies:
            put_in_place(self.copies, root=root)
        new = [*self.new, NewFile(path, sidecar.to_bytes())]
        obsolete = list(filter(os.path.lexists, self.obsolete))  # others may have names that no file can have
        put_in_place(new, root=root, first=first, backups=self.backups, obsolete=obsolete)

    def _pending(self, shot: ShotRecord) -> ShotRecord:
        if shot.key not in self.replaced:
            return shot
        return replace(shot, file=None, size=None, replaced=self.replaced[shot.key])

    def _not_due(self, shot: ShotRecord) -> ShotRecord:
        """Return a shot whose files stay as they are."""
        if not self.task.needs_model:
            return shot
        record = self.task.record
        before = next((known for known in (() if record is None else record.all_crops) if known.key == shot.key), None)
        if before is None or not before.rejected:
            return replace(shot, written=_unwritten(shot))
        return self._recorded(shot, before)

    def _recorded(self, shot: ShotRecord, before: ShotRecord) -> ShotRecord:
        """Return the shot of the sidecar, with a new box if the recorded one no longer fits into the photo."""
        if self._has_recorded_size():
            if not self.task.needs_model:  # the words may be others, for example in another language
                before = replace(before, caption=shot.caption, alt_text=shot.alt_text, language=shot.language)
            return replace(before, replaced=None)
        shot = replace(shot, rejected=before.rejected, retouched=before.retouched)
        return replace(shot, file=before.file, size=before.size, written=before.written)

    def _has_recorded_size(self) -> bool:
        record, photo = self.task.record, self.loaded.photo
        return record is not None and (record.source.width, record.source.height) == (photo.width, photo.height)

    def _keep(self, shot: ShotRecord, there: Placement) -> ShotRecord:
        """Leave the files of a shot that somebody changed, and return what the sidecar says of them."""
        self.kept += there.edited
        before = there.before
        if before is None or before.file is None:
            size = _image_size(there.path)
            return replace(shot, file=self._name(there.path), size=size, retouched=True, written=_unwritten(shot))
        kept = self._recorded(shot, before)
        crop = self.task.target.folder / before.file
        kept = replace(kept, retouched=crop in there.edited)
        content, embedded = self._embed_again(kept, before, crop)
        texts = self._texts(kept)
        xmp_sha256 = self._add_xmp(texts, before, crop, None, content)
        written = kept.written or Written(kept.caption)
        if embedded is not None and not kept.retouched:
            written = replace(written, size_bytes=len(embedded), sha256=hashlib.sha256(embedded).hexdigest())
        return replace(kept, written=_with_texts(written, texts, xmp_sha256))

    def _embed_again(self, shot: ShotRecord, before: ShotRecord, crop: Path) -> tuple[bytes, bytes | None]:
        """Renew the captions in a crop that stays, without touching its pixels.

        Returns:
            The content of its file, and the new content if it changes.
        """
        content = _read(crop) or b""
        settings, record = self.task.settings, self.task.record
        if not content or not settings.xmp.embeds:
            return content, None
        wrote = record is not None and record.settings.xmp.embeds
        embedded = embed_texts(content, self._texts(shot), last_texts(before) if wrote else None)
        if embedded.note:
            self.notes.append(f"{crop.name}: its caption was not written into it: {embedded.note}")
        if embedded.content == content:
            return content, None
        mtime_ns = None if shot.retouched else self.loaded.source.mtime_ns
        self.new.append(NewFile(crop, embedded.content, mtime_ns))
        return embedded.content, embedded.content

    def _texts(self, shot: ShotRecord) -> OwnTexts:
        return texts_of(shot, self.captions, self.task.settings)

    def _replace(self, shot: ShotRecord, there: Placement, crop: EncodedCrop) -> ShotRecord:
        """Write a crop, and back up what somebody changed in its place."""
        settings, texts = self.task.settings, self._texts(shot)
        content, image_sha256 = crop.content, None
        if settings.xmp.embeds:
            embedded = embed_texts(content, texts, force=settings.prefer_own_captions)
            content, image_sha256 = embedded.content, hashlib.sha256(content).hexdigest()
            if embedded.note:
                self.notes.append(f"{there.path.name}: its caption was not written into it: {embedded.note}")
        self.backups += [(path, free_name(path, BACKUP_SUFFIX)) for path in there.edited]
        self.obsolete += [path for path in there.own if path != there.path]
        old = next(iter(there.own), None)  # never a person's: a run that goes on after a kill must ask again
        self.replaced[shot.key] = None if old is None else Replaced(self._name(old), there.found[old].sha256)
        self.new.append(NewFile(there.path, content, self.loaded.source.mtime_ns))
        xmp_sha256 = self._add_xmp(texts, there.before, there.path, there.former, content)
        written = Written(shot.caption, len(content), hashlib.sha256(content).hexdigest(), image_sha256=image_sha256)
        return replace(
            shot,
            file=self._name(there.path),
            size=FileSize(crop.width, crop.height),
            rejected=False,
            retouched=False,
            written=_with_texts(written, texts, xmp_sha256),
            replaced=None,
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.task.target.folder).as_posix()

    def _add_xmp(
        self, texts: OwnTexts, before: ShotRecord | None, crop: Path, former: Path | None, content: bytes
    ) -> str | None:
        """Write texts into the XMP file of a crop. What other programs wrote stays, and moves with the crop.

        Args:
            texts: What to write.
            before: What the sidecar said of the crop.
            crop: The crop.
            former: Where it was before, if it got another name.
            content: The content of the crop.

        Returns:
            The hash of the file, if it is shotcrop's alone.
        """
        path, other = companions(crop)
        old_path, old_other = (None, None) if former is None else companions(former)
        if old_other is not None and old_other != other and (moved := _read(old_other)) is not None:
            self._move(old_other, other, moved)
        source = path if old_path is None or path.exists() else old_path
        there, record = _read(source), self.task.record
        is_own = there is not None and before is not None and is_own_xmp(there, before)
        new, settings = there, self.task.settings
        if settings.xmp.has_files:
            wrote = before is not None and record is not None and record.settings.xmp.has_files
            ours = (texts.description, *(() if before is None else (last_texts(before).description,)))
            if not settings.prefer_own_captions and described_by_somebody(content, ours):
                texts = next_to_other(texts)
            own = own_packet(texts)
            new = own if there is None or (is_own and wrote) else self._merged(texts, before, path, there, wrote)
        elif is_own:
            new = None
            self.obsolete.append(source)
        if new is not None and (source != path or new != there):
            self.new.append(NewFile(path, new))
        if old_path is not None and (old := _read(old_path)) is not None:
            if source == old_path or (before is not None and is_own_xmp(old, before)) or old == new:
                self.obsolete.append(old_path)
            else:
                self.kept.append(old_path)
        is_own = new is not None and settings.xmp.has_files and new == own_packet(texts)
        return hashlib.sha256(new).hexdigest() if is_own and new is not None else None

    def _merged(self, texts: OwnTexts, before: ShotRecord | None, path: Path, content: bytes, wrote: bool) -> bytes:
        last = last_texts(before) if wrote and before is not None else None
        merged = merge_texts(content, texts, last)
        if not merged.keeps_caption:
            if merged.note:
                self.notes.append(f"{path.name}: {merged.note}")
                self.kept.append(path)
            return merged.content
        if before is None or not before.text_edited:
            return merged.content  # the model's caption gives way to that of a person
        if self.run.allowed.overwrite_edited:
            self.copies.append(NewFile(free_name(path, BACKUP_SUFFIX), content))
            return merge_texts(content, texts, last, force=True).content
        self.notes.append(f"{path.name}: {merged.note}, so that of the sidecar is not written into it")
        self.kept.append(path)
        return merged.content

    def _move(self, source: Path, target: Path, content: bytes) -> None:
        if target.exists():
            self.kept.append(source)
        else:
            self.new.append(NewFile(target, content))
            self.obsolete.append(source)


def _unwritten(shot: ShotRecord) -> Written:
    """Return what was written of a shot without a file: its words in the sidecar."""
    return Written(shot.caption, alt_text=shot.alt_text)


def _with_texts(written: Written, texts: OwnTexts, xmp_sha256: str | None) -> Written:
    """Return what was written, with the texts as XMP has them."""
    caption, alt_text, headline, keywords = texts.description, texts.alt_text, texts.headline, texts.keywords
    texts_only = replace(written, caption=caption, alt_text=alt_text, headline=headline, keywords=keywords, hashes=())
    return replace(texts_only, xmp_sha256=xmp_sha256)


def _described(metadata: Metadata, settings: CropSettings) -> Metadata:
    """Return the metadata of a photo without the descriptions that must not hide the captions of its crops."""
    return metadata.without_descriptions(of_cameras_only=not settings.prefer_own_captions)


def _check_sidecar(task: Task) -> None:
    """Refuse to write if somebody changed the sidecar since it was read."""
    if task.stamp is None:
        return
    path = task.target.sidecar
    try:
        status = path.stat()
    except OSError:
        return
    if (status.st_size, status.st_mtime_ns) != task.stamp[1]:
        raise PhotoError(
            f"{path}: the sidecar changed while its photo was being cropped", hint="run the same command again"
        )


def _image_size(path: Path) -> FileSize | None:
    try:
        return FileSize(*open_image(path, read_chunks(path.read_bytes()).content).size)
    except (OSError, ValueError, PhotoError):
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (OSError, ValueError):
        return None


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
