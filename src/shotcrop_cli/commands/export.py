"""`shotcrop export`: write the results in an output folder for other programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.interchange.annotations import LOCAL_FILES, check_annotations, write_coco, write_label_studio
from shotcrop_cli.interchange.crop_rows import rows_of
from shotcrop_cli.interchange.manifest_table import SUFFIXES, check_manifest, write_manifest
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto, recorded_photos
from shotcrop_cli.library.recrop import output_root
from shotcrop_cli.storage.location import is_url


@click.command(
    "export",
    cls=Command,
    example=("list all crops in a spreadsheet", "shotcrop export ~/shots --manifest crops.csv"),
)
@click.argument(
    "shots_dirs",
    nargs=-1,
    required=True,
    metavar="SHOTS_DIR...",
    type=PlacePath(exists=True, file_okay=False, path_type=Path),
)
@option(
    "--manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Write a table with a row for each crop, to FILE with the suffix {SUFFIXES}.",
)
@option("--coco", type=click.Path(path_type=Path), metavar="FILE", help="Write the boxes as a COCO file, .json.")
@option(
    "--label-studio",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the boxes and captions as tasks for Label Studio, .json.",
)
@option(
    "--image-url",
    default=LOCAL_FILES,
    show_default=True,
    metavar="URL",
    help="What Label Studio finds the photos under: the paths below your photo folder follow.",
)
@click.pass_context
def export_command(
    ctx: click.Context,
    /,
    shots_dirs: tuple[Path, ...],
    manifest: Path | None,
    coco: Path | None,
    label_studio: Path | None,
    image_url: str,
) -> None:
    """Write boxes, captions and scores for other programs.

    SHOTS_DIR is the output folder of shotcrop crop, or its URL. With several of them, the results of all are written
    into one file. They come from the sidecars. A sidecar that cannot be read is named and left out, and the exit code
    is then 1.
    """
    if manifest is None and coco is None and label_studio is None:
        raise click.UsageError("Name a file to write, such as --manifest crops.csv.")
    if manifest is not None:
        check_manifest(manifest)
    for path in (coco, label_studio):
        if path is not None:
            check_annotations(path)
    export = _Export(shots_dirs, Console())
    if manifest is not None:
        rows = write_manifest(manifest, (row for photo in export.photos() for row in rows_of(photo)))
        export.tell(manifest, f"{rows} row{'' if rows == 1 else 's'}")
    if coco is not None:
        boxes = write_coco(coco, export.photos())
        export.tell(coco, f"{boxes} box{'' if boxes == 1 else 'es'}")
    if label_studio is not None:
        boxes = write_label_studio(label_studio, export.photos(), image_url)
        export.tell(label_studio, f"{boxes} box{'' if boxes == 1 else 'es'}")
    ctx.exit(ExitCode.SOME_FAILED if export.unreadable else ExitCode.OK)


def _photos_in(root: Path) -> Iterator[RecordedPhoto | ShotcropError]:
    """Yield the photos of an output folder.

    Raises:
        ShotcropError: It has none, and is not an output folder.
    """
    photos = recorded_photos(root)
    if (first := next(photos, None)) is not None:
        yield first
        yield from photos
    elif not is_url(root):
        output_root(root)


class _Export:
    """Reads the photos of output folders, and names each sidecar that cannot be read once."""

    def __init__(self, roots: Sequence[Path], console: Console) -> None:
        self._roots, self._console = roots, console
        self._photos = 0
        self.unreadable: set[str] = set()

    def photos(self) -> Iterator[RecordedPhoto]:
        """Yield the photos of the folders, one folder after the other.

        Raises:
            ShotcropError: There are no sidecars.
        """
        self._photos = 0
        for photo in chain.from_iterable(map(_photos_in, self._roots)):
            if isinstance(photo, RecordedPhoto):
                self._photos += 1
                yield photo
            elif (message := str(photo)) not in self.unreadable:
                self.unreadable.add(message)
                self._console.warn(message)
        if not self._photos and not self.unreadable:
            raise ShotcropError(
                f"{', '.join(map(str, self._roots))}: there is no sidecar in this folder",
                hint=f"shotcrop crop PHOTOS -o {shlex.quote(str(self._roots[0]))}",
            )

    def tell(self, path: Path, content: str) -> None:
        """Say what was written."""
        result(str(path))
        self._console.info(f"{content} of {self._photos} photo{'' if self._photos == 1 else 's'} in {path}")
