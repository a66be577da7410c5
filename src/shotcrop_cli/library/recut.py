"""From a sidecar, perhaps edited by hand, to the job of cutting its photo again.

Sidecars are passed around and edited, so that nothing in one is believed further than the photos' folders, for
reading, and the output folder, for writing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.formats import JPEG, format_of, written_as
from shotcrop_cli.library.name_template import RecordedNames, is_inside
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.plan import Decision, Job, Work
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import Sidecar, is_moved

_ENDING = ".json"


def output_root(path: Path) -> Path:
    """Return the output folder that a sidecar, or a folder of them, lies in.

    Args:
        path: A file or folder that exists.

    Raises:
        ShotcropError: No folder above it was written by `shotcrop crop`.
    """
    real = path.resolve()
    for folder in (real, *real.parents):
        if (folder / LOCK_NAME).is_file():
            return folder
    raise ShotcropError(f"{path}: lies in no output folder of shotcrop", hint="name sidecars that `crop` wrote")


def sidecars_in(folder: Path) -> Iterator[Path]:
    """Yield the sidecars in a folder and below, sorted, links not followed."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(_ENDING) and format_of(Path(name.removesuffix(_ENDING))) is not None:
                yield Path(parent, name)


def recut(path: Path, root: Path, photo_roots: Sequence[Path]) -> tuple[Job, Decision]:
    """Read a sidecar and say what is to be cut.

    Args:
        path: The sidecar.
        root: The output folder, resolved; nothing outside is written.
        photo_roots: Folders of photos; nothing outside is read.

    Raises:
        ShotcropError: It is no valid sidecar, or leads out of those folders.
        PhotoError: Its photo is not there.
        FileNotFoundError: There is no such sidecar.
    """
    folder = path.parent.resolve()
    if path.is_symlink() or not folder.is_relative_to(root):
        raise ShotcropError(f"{path}: is a link out of the output folder", hint="name the file itself")
    record = sidecars.read(path)
    source = _source(path, folder.relative_to(root), record, photo_roots)
    if f"{source.name}{_ENDING}" != path.name:
        raise ShotcropError(
            f"{path}: is not named after its photo {source.name}", hint=f"call it {source.name}{_ENDING}"
        )
    files = {shot.shot: shot.file or "" for shot in record.shots}
    job = Job(source, folder, RecordedNames(tuple(files.get(shot, "") for shot in SHOT_TYPES)))
    _check_files(path, job, record, root)
    due = tuple(shot.shot for shot in record.shots if shot.file is not None)
    recorded = Path(record.source.path)
    other = recorded if recorded != source.path and os.path.exists(recorded) else None  # noqa: PTH110 - as in `_source`
    return job, Decision(Work.CUT, "the sidecar is applied", due, record, recorded_path=other)


def is_pending(job: Job, decision: Decision) -> bool:
    """Tell whether a sidecar asks for anything that its crops do not show yet."""
    record = decision.record
    assert record is not None
    return any(
        shot.file is not None
        and (is_moved(shot.box, shot.box_norm, record.source) or not (job.folder / shot.file).is_file())
        for shot in record.shots
    )


def _source(path: Path, mirrored: PurePath, record: Sidecar, photo_roots: Sequence[Path]) -> Source:
    """Find the photo: where the sidecar says, or at its mirrored place below one of the folders."""
    roots = [root.resolve() for root in photo_roots]
    candidates = [Path(record.source.path), *(root / mirrored / path.name.removesuffix(_ENDING) for root in roots)]
    allowed = [photo for photo in candidates if any(photo.resolve().is_relative_to(root) for root in roots)]
    for photo in allowed:
        if format_of(photo) is None:
            continue
        try:
            status = photo.stat()
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode):
            return Source(Folder(photo.parent, mirrored), photo.name, status.st_size, status.st_mtime_ns)
    if not allowed:
        raise PhotoError(
            f"{path}: its photo {record.source.path} lies in no folder that may be read",
            hint="name the folder of the photos with --photos",
        )
    raise PhotoError(
        f"{path}: its photo {record.source.path} is gone", hint="name the folder it was moved to with --photos"
    )


def _check_files(path: Path, job: Job, record: Sidecar, root: Path) -> None:
    suffix = written_as(format_of(job.source.path) or JPEG, record.settings.format).suffix
    names = [shot.file for shot in record.shots if shot.file is not None]
    for name in names:
        if not is_inside(name) or not (job.folder / name).parent.resolve().is_relative_to(root):
            raise ShotcropError(f"{path}: its crop {name!r} leaves the output folder", hint="mend `file`")
        if not name.endswith(suffix) or PurePath(name).name.startswith("."):
            raise ShotcropError(f"{path}: its crop {name!r} is not called like one", hint=f"let it end with {suffix}")
    if len(set(names)) < len(names):
        raise ShotcropError(f"{path}: two of its shots share one file", hint="mend `file`")
