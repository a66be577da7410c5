"""Delete the crops of photos that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.follow import remove_empty_folders
from shotcrop_cli.library.orphans import Orphan, find_orphans
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.output_folder import read_roots
from shotcrop_cli.library.recrop import output_root


@dataclass(frozen=True, slots=True)
class Pruned:
    """The files of a photo that is gone.

    Args:
        photo: Where the photo was.
        files: Its crops, XMP files, backups and sidecar, the sidecar last.
        edits: What people did to them: a file, and what is edited in it.
        is_doubtful: Whether the disk of the photo may not be mounted.
        is_deleted: Whether the files were deleted.
    """

    photo: Path
    files: tuple[Path, ...]
    edits: tuple[tuple[Path, str], ...] = ()
    is_doubtful: bool = False
    is_deleted: bool = False


def photo_folders(root: Path, photos: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Return the folders of the photos of an output folder of this machine.

    Args:
        root: The output folder.
        photos: The folders that the user named; empty for those that `crop_photos` recorded.

    Raises:
        ShotcropError: No folders are recorded, or the folder is no output folder.
    """
    if (outer := output_root(root)) != root.resolve():
        raise ShotcropError(f"{root}: a folder inside the output folder {outer}", hint=f"name {outer}")
    return check_photo_folders(root, tuple(folder.absolute() for folder in photos) or read_roots(root))


def check_photo_folders(root: Path, folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return folders of photos.

    Raises:
        ShotcropError: There are none.
    """
    if not folders:
        raise ShotcropError(f"{root}: nothing says where its photos came from", hint="name their folder with --photos")
    return folders


def prune(
    files: OutputFiles,
    photos: Sequence[Path],
    *,
    delete: bool = False,
    edited: bool = False,
    unmounted: bool = False,
) -> Iterator[Pruned]:
    """Find the crops of photos that are gone, and delete them if that is asked for.

    The sidecar of a photo goes last: if the process is killed, the next one finds the rest.

    Args:
        files: The output, which is held if `delete` is true.
        photos: The folders of the photos, as `photo_folders` returns them.
        delete: Whether to delete the files.
        edited: Whether to delete them even if somebody edited them.
        unmounted: Whether to delete them even if the disk of the photo may not be mounted.

    Raises:
        OutputError: A file cannot be deleted.
    """
    root = files.root
    files.load_orphans()
    for orphan in tuple(find_orphans(root, photos, files=files, recorded_roots=read_roots(root))):
        for path in orphan.files[:-1]:
            files.bring(path)
        edits, found = orphan.edits, orphan.files
        is_deleted = delete and (edited or not edits) and (unmounted or not orphan.is_doubtful)
        if is_deleted:
            _delete(orphan, found, files)
        shown = tuple((files.show(path), what) for path, what in edits)
        yield Pruned(files.show(orphan.photo), tuple(map(files.show, found)), shown, orphan.is_doubtful, is_deleted)


def _delete(orphan: Orphan, found: Sequence[Path], files: OutputFiles) -> None:
    try:
        for path in found:
            files.delete(path)
    except OSError as error:
        raise OutputError(
            f"{error.filename}: cannot be deleted: {error.strerror}", hint="fix the permissions of the output folder"
        ) from error
    remove_empty_folders({path.parent for path in (orphan.sidecar, *found)}, files.root)
