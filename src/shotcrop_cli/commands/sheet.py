"""`shotcrop sheet`: contact sheets of an output folder."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.cli.console import result
from shotcrop_cli.errors import OutputError, ShotcropError

PICTURES = (".jpg", ".jpeg", ".png")


@click.command("sheet")
@click.argument("shots_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True,
    help="Picture to write, .jpg or .png; several pages become NAME-001.jpg, NAME-002.jpg ...",
)  # fmt: skip
@click.option("--columns", type=click.IntRange(1, 4), default=1, show_default=True, help="Photos side by side.")
@click.option("--page", type=click.IntRange(1, 20), default=8, show_default=True, help="Photos on one page.")
@click.option(
    "--width",
    type=click.IntRange(600, 4000),
    default=1600,
    show_default=True,
    help="Width of a page in pixels.",
)
@click.option("--limit", type=click.IntRange(1), help="Show the first N photos only.")
def sheet_command(shots_dir: Path, output: Path, columns: int, page: int, width: int, limit: int | None) -> None:
    """Draw contact sheets of SHOTS_DIR, the output folder of `shotcrop crop`.

    Each photo is shown with its three boxes, the three crops and their captions.
    """
    from shotcrop_cli.report.entry import gather
    from shotcrop_cli.report.sheet import SheetLayout, draw_pages

    if output.suffix.lower() not in PICTURES:
        raise ShotcropError(f"{output}: cannot write this kind of picture", hint=f"use {', '.join(PICTURES)}")
    entries, errors = gather(shots_dir, limit)
    for error in errors:
        click.echo(error, err=True)
    if not entries:
        raise ShotcropError(
            f"{shots_dir}: no sidecar of shotcrop in it",
            hint=f"run `shotcrop crop PHOTOS -o {shots_dir}` first",
        )
    layout = SheetLayout(width=width, columns=columns, photos=page)
    paths = page_paths(output, layout.pages(len(entries)))
    heading = f"{shots_dir.resolve().name} · {len(entries)} photo{'s' if len(entries) > 1 else ''}"
    for path, picture in zip(paths, draw_pages(entries, layout, heading), strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=90)
        except OSError as failure:
            raise OutputError(f"{path}: {failure.strerror or failure}", hint="choose another --output") from failure
        result(str(path))


def page_paths(output: Path, pages: int) -> list[Path]:
    """Name the pages: the output itself, or numbered files beside it when there are several."""
    if pages == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{number:03d}{output.suffix}") for number in range(1, pages + 1)]
