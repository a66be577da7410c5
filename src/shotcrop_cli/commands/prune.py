"""`shotcrop prune`: list and delete the crops of photos that are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.options import json_option
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.streams import result
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.output_folder import recorded_roots
from shotcrop_cli.library.prune import Pruned, check_photo_folders, photo_folders, prune
from shotcrop_cli.storage.location import is_url


@click.command("prune", cls=Command, example=("see what is left of deleted photos", "shotcrop prune ~/shots"))
@click.argument("shots_dir", type=PlacePath(exists=True, file_okay=False, path_type=Path))
@option("--delete", is_flag=True, help="Delete the files. Default: only list them.")
@option("--edited", is_flag=True, help="Also delete crops, captions, boxes and XMP files that somebody edited.")
@option(
    "--unmounted",
    is_flag=True,
    help="Also delete crops of photos whose folder is empty or missing. Default: its disk may not be mounted.",
)
@option(
    "--photos",
    multiple=True,
    metavar="DIR|URL",
    type=PlacePath(exists=True, file_okay=False, path_type=Path),
    help="Look for photos in this folder; repeatable. Default: where crop found them.",
)
@crop_options.wait_option
@json_option
def prune_command(shots_dir: Path, **values: Any) -> None:
    """List the crops of photos that are gone, and delete them if you ask for it.

    SHOTS_DIR is the output folder of shotcrop crop, or its URL. Crops of photos that you only renamed or moved follow
    them in the next run of shotcrop crop, so run that first.
    """
    console = Console()
    delete, waiting = values["delete"], f"waiting for another run on {shots_dir} to end"
    found: list[Pruned] = []
    with (
        _opened(shots_dir, values["photos"]) as (files, photos),
        files.hold(values["wait"], lambda: console.info(waiting)) if delete else nullcontext(),
    ):
        for photo in prune(files, photos, delete=delete, edited=values["edited"], unmounted=values["unmounted"]):
            found.append(photo)
            result(_json_line(photo) if values["as_json"] else _line(photo, delete=delete))
    console.info(_summary(found, delete=delete))


@contextmanager
def _opened(shots_dir: Path, photos: tuple[Path, ...]) -> Iterator[tuple[OutputFiles, tuple[Path, ...]]]:
    """Yield the files of an output, and the folders of its photos.

    Raises:
        ShotcropError: It is not a whole output, or nothing says where its photos came from.
    """
    if not is_url(shots_dir):
        names = [str(path) for path in photos] or recorded_roots(shots_dir)
        if not any(map(is_url, names)):
            yield OutputFiles(shots_dir), photo_folders(shots_dir, photos)
            return
    from shotcrop_cli.remote.mirror import mirrored

    with mirrored(shots_dir, photos) as files:
        yield files, check_photo_folders(shots_dir, files.photos)


def _line(photo: Pruned, *, delete: bool) -> str:
    """Say what is there, what happened to it, and what somebody edited in it."""
    kept = _why_kept(photo)
    state = "deleted" if photo.is_deleted else f"kept: {kept}" if delete or kept else "would be deleted"
    edits = "".join(f"\n  {path}: {what}" for path, what in photo.edits)
    return f"{photo.photo} is gone; {len(photo.files)} files, {state}: {photo.files[-1]}{edits}"


def _why_kept(photo: Pruned) -> str:
    if photo.is_deleted:
        return ""
    if photo.edits:
        return "edited by hand (--edited deletes them)"
    return "its disk may not be mounted (--unmounted deletes them)" if photo.is_doubtful else ""


def _summary(found: list[Pruned], *, delete: bool) -> str:
    files = sum(len(photo.files) for photo in found)
    if not delete:
        one = len(found) == 1
        left = f", {files} files are left of {'it' if one else 'them'}" if found else ""
        advice = " To delete them, add --delete." if found else ""
        return f"{_photos(len(found))} {'is' if one else 'are'} gone{left}; nothing was deleted.{advice}"
    deleted = [photo for photo in found if photo.is_deleted]
    kept = len(found) - len(deleted)
    number = sum(len(photo.files) for photo in deleted)
    return f"deleted {number} files of {_photos(len(deleted))}, kept those of {_photos(kept)}"


def _photos(number: int) -> str:
    return f"{number} photo{'' if number == 1 else 's'}"


def _json_line(photo: Pruned) -> str:
    return json.dumps(
        {
            "photo": str(photo.photo),
            "files": [str(path) for path in photo.files],
            "edits": [{"file": str(path), "what": what} for path, what in photo.edits],
            "doubtful": photo.is_doubtful,
            "deleted": photo.is_deleted,
        },
        ensure_ascii=False,
    )
