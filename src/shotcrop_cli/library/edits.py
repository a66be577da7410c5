"""What a person changed in a review page: boxes, captions, and which crops to keep or reject.

An edit ends up in the sidecar exactly as if the person had edited the JSON by hand; docs/hand-work.md has the rules. It
names the state of the photo that the person saw. If the sidecar says something else by now, the edit is refused.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import msgspec

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.name_template import is_inside, leads_into
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, with_rejections
from shotcrop_cli.shots import PixelBox
from shotcrop_cli.sidecar import MAX_BYTES, ShotRecord, Sidecar, Written

EDITS_SCHEMA = "shotcrop-edits/1"
MAX_TEXT = 5_000
"""Characters that a caption or an alternative text may have (our choice)."""
_MAX_FILE_BYTES = 256 << 20
_FIX_STALE = "look at the photo as it is now, and edit it again"


class ShotEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one shot should be.

    Args:
        key: Which crop of the photo; see `CropKey`.
        box: Where to crop, in whole pixels of the upright photo.
        caption: What the crop shows.
        alt_text: The same for somebody who cannot see it.
        edited: Whether the person accepts box and caption as they are.
        rejected: Whether the person does not want this crop.
    """

    key: str
    box: PixelBox
    caption: str
    alt_text: str = ""
    edited: bool = False
    rejected: bool = False


class PhotoEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a photo should be.

    Args:
        fingerprint: The state that the person saw; see `fingerprint`.
        shots: Its shots. Those that are not named stay as they are.
        rejected: Whether the person wants no crops of this photo.
        photo: Path of the photo as the output folder mirrors it. Only edits in files name it.
    """

    fingerprint: str
    shots: tuple[ShotEdit, ...] = ()
    rejected: bool = False
    photo: str = ""


class EditsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The edits that a person saved from a static review page, for `shotcrop apply --edits`."""

    schema: str
    photos: tuple[PhotoEdit, ...]


class StaleEditError(PhotoError):
    """Somebody changed the photo's sidecar or crops since the person saw them."""


def read_edits(path: Path) -> EditsFile:
    """Read a file of edits.

    Raises:
        ShotcropError: It cannot be read, or it is not such a file.
    """
    hint = "name the file that the review page saved"
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ValueError("it is far too large")
        edits = msgspec.json.decode(content, type=EditsFile)
        if edits.schema != EDITS_SCHEMA:
            raise ValueError(f"its schema is {edits.schema!r}")
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise ShotcropError(f"{path}: not a file of edits ({EDITS_SCHEMA}): {error}", hint=hint) from error
    return edits


def as_seen(path: Path, record: Sidecar) -> Sidecar:
    """Return a sidecar in which the crops that somebody deleted are rejected.

    Args:
        path: The sidecar.
        record: Its content.
    """
    names = [shot.file for shot in record.all_crops if shot.file is not None and is_inside(shot.file)]
    present = {name for name in names if os.path.isfile(path.parent / name)}  # noqa: PTH113 - never raises
    return with_rejections(record, present)


def fingerprint(seen: Sidecar) -> str:
    """Return a hash of all that a person sees of a photo and may edit. Making its crops again does not change it.

    Args:
        seen: The sidecar, as `as_seen` returns it.
    """
    shots = [
        (str(shot.key), shot.box, shot.caption, shot.alt_text, shot.edited, shot.rejected, shot.file is None)
        for shot in seen.all_crops
    ]
    values = repr((seen.source.sha256, seen.source.width, seen.source.height, seen.rejected, shots))
    return hashlib.sha256(values.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def sidecar_of(root: Path, photo: str) -> Path:
    """Return the sidecar of a photo that an edits file names.

    Args:
        root: The output folder, resolved.
        photo: Path of the photo as the output folder mirrors it.

    Raises:
        PhotoError: The path leads out of the output folder.
    """
    path = root / (photo + SIDECAR_SUFFIX)
    if not is_inside(photo) or path.is_symlink() or not leads_into(path, root):
        raise PhotoError(f"{photo}: not a photo of {root}", hint="name the output folder that the edits belong to")
    return path


def save_edit(path: Path, root: Path, edit: PhotoEdit, *, dry_run: bool = False) -> Sidecar:
    """Write an edit into the sidecar of its photo. The caller holds the lock of the output folder.

    Args:
        path: The sidecar.
        root: The output folder, resolved.
        edit: What the person wants.
        dry_run: Whether to check the edit and write nothing.

    Returns:
        The new content of the sidecar.

    Raises:
        StaleEditError: The photo is not as the person saw it any more.
        PhotoError: The edit does not fit the photo.
        ShotcropError: The sidecar cannot be read.
        OutputError: The sidecar cannot be written.
        FileNotFoundError: There is no such sidecar.
    """
    if path.is_symlink() or not leads_into(path, root):
        raise PhotoError(f"{path}: a link that leads out of the output folder", hint="name the file itself")
    record = sidecars.read(path)
    seen = as_seen(path, record)
    if fingerprint(seen) != edit.fingerprint:
        if _has(seen, edit):
            return record
        raise StaleEditError(f"{path}: somebody changed it since this edit was made", hint=_FIX_STALE)
    new = edited(record, seen, edit)
    content = new.to_bytes()
    if len(content) > MAX_BYTES:
        raise PhotoError(f"{path}: its texts are too long", hint="shorten them")
    sidecars.parse(content)
    if not dry_run and new != record:
        put_in_place([NewFile(path, content)], root=root)
    return new


def _has(seen: Sidecar, edit: PhotoEdit) -> bool:
    """Say whether an edit was saved already, for example by a request whose answer was lost."""
    values = {str(shot.key): (shot.box, shot.caption, shot.alt_text, shot.rejected) for shot in seen.all_crops}
    return seen.rejected == edit.rejected and all(
        values.get(shot.key) == (shot.box, shot.caption, shot.alt_text, shot.rejected) for shot in edit.shots
    )


def edited(record: Sidecar, seen: Sidecar, edit: PhotoEdit) -> Sidecar:
    """Return a sidecar with an edit.

    Args:
        record: The sidecar as it is written.
        seen: The same, as `as_seen` returns it.
        edit: What the person wants.

    Raises:
        PhotoError: The edit names a shot that does not exist, or a box outside the photo.
    """
    wanted = {shot.key: shot for shot in edit.shots}
    if unknown := wanted.keys() - {str(shot.key) for shot in seen.all_crops}:
        raise PhotoError(f"{edit.photo or record.source.path}: it has no shot {min(unknown)!r}", hint=_FIX_STALE)
    shots = [
        shot if (change := wanted.get(shot.key)) is None else _changed(written, shot, change, record)
        for written, shot in zip(record.all_crops, seen.all_crops, strict=True)
    ]
    return replace(record.with_crops(shots), rejected=edit.rejected)


def _changed(written: ShotRecord, seen: ShotRecord, edit: ShotEdit, record: Sidecar) -> ShotRecord:
    _check(edit, record)
    new = replace(seen, box=edit.box, caption=edit.caption, alt_text=edit.alt_text, rejected=edit.rejected)
    is_changed = (new.box, new.caption, new.alt_text) != (seen.box, seen.caption, seen.alt_text)
    new = replace(new, edited=edit.edited or is_changed or new.is_pending(record.source))
    if seen.rejected and not edit.rejected and seen.file is None and written.file is not None:
        # The crop was deleted and is wanted again. That shotcrop wrote no caption makes it due.
        new = replace(new, file=written.file, size=written.size, edited=True)
        new = replace(new, written=Written("" if new.caption else " "))
    return new


def _check(edit: ShotEdit, record: Sidecar) -> None:
    source = record.source
    left, upper, right, lower = edit.box.corners
    if not (0 <= left < right <= source.width and 0 <= upper < lower <= source.height):
        raise PhotoError(
            f"{source.path}: the box of {edit.key} is not inside the photo of {source.width} x {source.height} pixels",
            hint="move it into the photo",
        )
    if max(len(edit.caption), len(edit.alt_text)) > MAX_TEXT:
        raise PhotoError(f"{source.path}: a text has more than {MAX_TEXT} characters", hint="shorten it")


def are_pending(path: Path, record: Sidecar) -> bool:
    """Say whether `shotcrop apply` has anything to do for a sidecar.

    Args:
        path: The sidecar.
        record: Its content.
    """
    seen = as_seen(path, record)
    return not record.rejected and any(
        crop.is_pending(record.source)
        for written, crop in zip(record.all_crops, seen.all_crops, strict=True)
        if not crop.rejected and written.file is not None
    )
