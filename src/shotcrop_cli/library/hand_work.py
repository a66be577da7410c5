"""Decide what a run may do to files that a person or another program may have changed.

Everything that writes crops asks here: `crop`, `apply` and `prune`. docs/hand-work.md explains the rules to users.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from shotcrop_cli.imaging.metadata.xmp import caption_packet
from shotcrop_cli.sidecar import ShotRecord, Sidecar

XMP_SUFFIX = ".xmp"
BACKUP_SUFFIX = ".bak"
"""Appended to the name of a file that is replaced although somebody changed it."""
_CLOCK_NS = (1_000_000, 1_000_000_000, 2_000_000_000)
"""Units of the coarse clocks of file systems: that of FAT counts 2 seconds."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a run may do to finished work. Without these, it keeps everything.

    Args:
        overwrite_edited: Whether to replace crops that somebody changed, and with `overwrite` also edited boxes and
            captions. What is replaced is kept as a backup.
        replace: Whether to replace finished crops by others of another shape, size, format or name.
        restore_rejected: Whether to bring back rejected and deleted crops.
    """

    overwrite_edited: bool = False
    replace: bool = False
    restore_rejected: bool = False


KEEP_ALL = Allowed()


class Owner(Enum):
    """Whose work a file is."""

    NO_ONE = "no one"
    """There is no such file."""
    SHOTCROP = "shotcrop"
    """It is as shotcrop wrote it, and may be replaced."""
    PERSON = "person"
    """A person or another program made or changed it."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """A file where a crop belongs.

    Args:
        owner: Whose work it is.
        sha256: Hash of its content; empty without a file.
    """

    owner: Owner
    sha256: str = ""


def crop_in_place(path: Path, shot: ShotRecord | None, photo_times: tuple[int, ...] = ()) -> InPlace:
    """Say whose work the file of a crop is.

    A file belongs to shotcrop if it has the content that the sidecar records. Sidecars of earlier versions record none,
    and a killed run may leave crops without a sidecar: then the file belongs to shotcrop if it has the time of its
    photo, as every crop gets it.

    Args:
        path: The file.
        shot: What the sidecar says of the crop; None without a sidecar.
        photo_times: Modification times of the photo, now and when it was cropped, in nanoseconds.

    Raises:
        OSError: It cannot be read.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return InPlace(Owner.NO_ONE)
    if not stat.S_ISREG(status.st_mode):
        return InPlace(Owner.PERSON)
    written = None if shot is None else shot.written
    sha256 = hash_file(path)
    known = set() if written is None else {written.sha256}
    known |= set() if shot is None or shot.replaced is None else {shot.replaced.sha256}
    if known - {None}:
        return InPlace(Owner.SHOTCROP if sha256 in known else Owner.PERSON, sha256)
    is_ours = any(_same_time(status.st_mtime_ns, time) for time in photo_times)
    return InPlace(Owner.SHOTCROP if is_ours else Owner.PERSON, sha256)


def _same_time(found_ns: int, given_ns: int) -> bool:
    """Say whether a file has the time that it was given, as far as sidecars and file systems can hold it."""
    return found_ns // 1_000 == given_ns // 1_000 or any(found_ns == given_ns // unit * unit for unit in _CLOCK_NS)


def is_retouched(path: Path, shot: ShotRecord, photo_times: tuple[int, ...] = ()) -> bool:
    """Say whether somebody changed a finished crop; cheap if its size already tells. See `crop_in_place`."""
    size = None if shot.written is None else shot.written.size_bytes
    try:
        if size is not None and shot.replaced is None and path.stat().st_size != size:
            return True
        return crop_in_place(path, shot, photo_times).owner is Owner.PERSON
    except OSError:
        return False


def is_own_xmp(content: bytes, shot: ShotRecord) -> bool:
    """Say whether an XMP file is as shotcrop wrote it for a shot."""
    known = None if shot.written is None else shot.written.xmp_sha256
    return content == caption_packet(last_caption(shot)) or known == hashlib.sha256(content).hexdigest()


def stranded_xmp(crop: Path, shot: ShotRecord) -> Path | None:
    """Return the XMP file of a crop that somebody deleted, if it is as shotcrop wrote it; otherwise None.

    Args:
        crop: Where the crop was.
        shot: What the sidecar says of it.
    """
    if shot.file is not None or shot.written is None or shot.written.xmp_sha256 is None or os.path.lexists(crop):
        return None
    xmp = companions(crop)[0]
    try:
        return xmp if is_own_xmp(xmp.read_bytes(), shot) else None
    except (OSError, ValueError):
        return None


def last_caption(shot: ShotRecord) -> str:
    """Return the caption that shotcrop wrote last. Sidecars of earlier versions do not tell it from an edited one."""
    return shot.caption if shot.written is None else shot.written.caption


def companions(crop: Path) -> tuple[Path, Path]:
    """Return the XMP files that photo programs keep next to a crop: `a.jpg.xmp`, as shotcrop's, and `a.xmp`."""
    return crop.with_name(crop.name + XMP_SUFFIX), crop.with_suffix(XMP_SUFFIX)


def backups(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the backups of a file that exist, and what each name has in addition."""
    number, ending = 1, BACKUP_SUFFIX
    while os.path.lexists(f"{path}{ending}"):
        yield Path(f"{path}{ending}"), ending
        number += 1
        ending = f"{BACKUP_SUFFIX}.{number}"


def edits(folder: Path, record: Sidecar) -> Iterator[tuple[Path, str]]:
    """Yield what people did to a finished photo: a file, and what is edited in it.

    Args:
        folder: Folder of the sidecar.
        record: The sidecar. Its file names have been checked.
    """
    times = recorded_times(record)
    for shot in record.all_crops:
        if shot.file is None:
            continue
        crop = folder / shot.file
        if is_retouched(crop, shot, times):
            yield crop, "somebody changed it"
        if shot.edited:
            yield crop, "its box or caption was edited"
        yield from ((backup, "a backup of edited work") for backup, _ in backups(crop))
        for xmp in companions(crop):
            yield from ((backup, "a backup of edited work") for backup, _ in backups(xmp))
            try:
                content = xmp.read_bytes()
            except OSError:
                continue
            if not is_own_xmp(content, shot):
                yield xmp, "somebody changed it"


def recorded_times(record: Sidecar | None) -> tuple[int, ...]:
    """Return the modification time of the photo in a sidecar, in nanoseconds."""
    try:
        moment = None if record is None else datetime.fromisoformat(record.source.mtime.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None:
        return ()
    whole = moment.replace(microsecond=0)
    return (round(whole.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000,)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()
