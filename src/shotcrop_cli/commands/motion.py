"""`shotcrop motion`: make a video clip of each photo, in which a camera goes from shot to shot."""

from __future__ import annotations

import math
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.photo_filter import choose_photos, photo_filter_options
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ExitCode, OutputError, PhotoError, ShotcropError
from shotcrop_cli.framing import Aspect
from shotcrop_cli.library.atomic_write import check_can_write, free_name, written_whole
from shotcrop_cli.library.hand_work import BACKUP_SUFFIX
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.ratio_sets import Ratio

if TYPE_CHECKING:
    from shotcrop_cli.report.clip import ClipFormat
    from shotcrop_cli.report.entry import Entry


class _AspectType(click.ParamType):  # type: ignore[type-arg]
    """A ratio such as `16:9`."""

    name = "ratio"

    def convert(self, value: str | Aspect, param: click.Parameter | None, ctx: click.Context | None) -> Aspect:
        """Read a ratio.

        Raises:
            click.BadParameter: It is none, or is narrower or wider than videos are.
        """
        if isinstance(value, Aspect):
            return value
        try:
            aspect = Ratio.parse(value).aspect
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 1 / _WIDEST <= aspect.width / aspect.height <= _WIDEST:
            self.fail(f"{value!r} is outside 1:{_WIDEST} to {_WIDEST}:1.", param, ctx)
        return aspect


_WIDEST = 3
"""Width of the widest clip in heights, and height of the narrowest one in widths (our choice)."""


class _Status(Enum):
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    KEPT = "kept, because somebody changed them"
    FAILED = "failed"


@click.command(
    "motion", cls=Command, example=("make upright clips", "shotcrop motion ~/shots -o ~/clips --aspect 9:16")
)
@click.argument("shots_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@option_group(
    "Clips",
    option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        required=True,
        metavar="FOLDER",
        help="Folder for the clips. IMG_1.jpg becomes IMG_1.jpg.16x9.mp4.",
    ),
    option(
        "--aspect",
        type=_AspectType(),
        multiple=True,
        metavar="W:H",
        help="Aspect ratio, such as 16:9, 9:16 or square; repeatable. Default: 16:9.",
    ),
    option(
        "--size",
        type=click.IntRange(240, 2160),
        default=1080,
        show_default=True,
        metavar="PX",
        help="Pixels of the shorter side, an even number.",
    ),
    option(
        "--seconds",
        type=click.FloatRange(1, 60),
        default=8.0,
        show_default=True,
        metavar="N",
        help="Length of a clip.",
    ),
    option(
        "--fps",
        type=click.IntRange(10, 60),
        default=30,
        show_default=True,
        metavar="N",
        help="Frames per second.",
    ),
    option(
        "--overwrite",
        is_flag=True,
        help="Make clips again. One that somebody changed stays as NAME.bak.",
    ),
)
@photo_filter_options
@click.pass_context
def motion_command(ctx: click.Context, /, shots_dir: Path, output: Path, **values: Any) -> None:
    """Make a video clip of each photo, in which a camera goes from shot to shot.

    SHOTS_DIR is the output folder of shotcrop crop. The camera rests on the establishing shot, moves to the medium shot
    and then to the close-up. It follows the boxes in the sidecar, leaves out shots that you rejected, and stays inside
    the photo. This needs the photos and ffmpeg. Clips that are up to date are not made again.
    """
    from shotcrop_cli.report.clip import ClipFormat, check_encoder, find_ffmpeg

    if values["size"] % 2:
        raise click.UsageError("--size must be an even number of pixels.")
    program = find_ffmpeg()
    check_encoder(program)
    check_can_write(output / "clip.mp4")
    frames = max(2, math.floor(values["seconds"] * values["fps"] + 0.5))
    aspects = dict.fromkeys(values["aspect"] or (Aspect(16, 9),))
    forms = [ClipFormat(aspect, values["size"], frames, values["fps"]) for aspect in aspects]
    studio = _Studio(program, output, forms, Console(), overwrite=values["overwrite"])
    studio.run(shots_dir, values)
    ctx.exit(ExitCode.SOME_FAILED if studio.counts[_Status.FAILED] else ExitCode.OK)


class _Studio:
    """Makes the clips of photos, and counts how they ended."""

    def __init__(
        self, program: str, output: Path, forms: list[ClipFormat], console: Console, *, overwrite: bool
    ) -> None:
        self._program, self._output, self._forms = program, output, forms
        self._console, self._overwrite = console, overwrite
        self.counts: Counter[_Status] = Counter()
        self._without_shots = 0

    def run(self, shots_dir: Path, values: dict[str, Any]) -> None:
        """Make the clips of the photos that the options choose, and print what became of them."""
        from shotcrop_cli.report.entry import read_entry

        files = OutputFiles(shots_dir)
        chosen = choose_photos(files, values, self._console)
        with self._console.progress(len(chosen.sidecars)) as progress:
            for path in chosen.sidecars:
                try:
                    self._photo(read_entry(files, path, chosen.choice))
                except OutputError:
                    raise
                except (ShotcropError, OSError) as error:
                    self.counts[_Status.FAILED] += 1
                    self._console.error(str(error))
                progress.advance()
        counts = [f"{self.counts[_Status.WRITTEN]} clip{'' if self.counts[_Status.WRITTEN] == 1 else 's'} written"]
        counts += [f"{self.counts[status]} {status.value}" for status in list(_Status)[1:] if self.counts[status]]
        if self._without_shots:
            counts.append(
                f"{self._without_shots} photo{'' if self._without_shots == 1 else 's'} without shots left out"
            )
        self._console.info(", ".join(counts))

    def _photo(self, entry: Entry) -> None:
        from shotcrop_cli.report.camera import views
        from shotcrop_cli.report.clip import encode, frames_of, key_of, open_canvas

        canvas = None
        for form in self._forms:
            stops = views(entry.record, form.aspect)
            if not stops:
                self._without_shots += 1
                return
            path, key = self._output / f"{entry.title}{form.suffix}", key_of(entry.record, stops, form)
            if not self._is_due(path, key):
                continue
            canvas = canvas or open_canvas(entry.record)
            try:
                content = encode(self._program, frames_of(canvas, stops, form), form, key)
            except PhotoError as error:
                raise PhotoError(f"{entry.record.source.path}: {error}") from error
            self._write(path, content)
            self.counts[_Status.WRITTEN] += 1
            result(str(path))

    def _is_due(self, path: Path, key: str) -> bool:
        from shotcrop_cli.report.clip import recorded_key

        found = recorded_key(path)
        if found is None or self._overwrite or found not in ("", key):
            return True
        self.counts[_Status.UNCHANGED if found else _Status.KEPT] += 1
        if not found:
            self._console.warn(f"{path}: somebody changed this file, so it stays. To replace it, add --overwrite")
        return False

    def _write(self, path: Path, content: bytes) -> None:
        from shotcrop_cli.report.clip import recorded_key

        if recorded_key(path) == "":
            backup = free_name(path, BACKUP_SUFFIX)
            path.replace(backup)
            self._console.info(f"{backup}: the file that was replaced is kept under this name")
        with written_whole(path) as file:
            file.write(content)
