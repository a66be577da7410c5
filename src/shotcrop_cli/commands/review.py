"""`shotcrop review`: look at crops in the browser, correct, keep and reject them."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.install_hint import add_extras
from shotcrop_cli.library.recrop import output_root
from shotcrop_cli.remote.open_output import opened
from shotcrop_cli.storage.location import is_url


@click.command("review", cls=Command, example=("look at the crops of a run", "shotcrop review ~/shots"))
@click.argument("shots_dir", type=PlacePath(exists=True, file_okay=False, path_type=Path))
@option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port of the page on this machine. Default: one that belongs to the folder.",
)
@option("--no-browser", is_flag=True, help="Only print the address of the page, and open no browser.")
@option("--read-only", is_flag=True, help="Show everything, and save nothing.")
@option(
    "--static",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the page as files to send to somebody, and start no server.",
)
@option(
    "--photos",
    multiple=True,
    metavar="DIR|URL",
    type=PlacePath(exists=True, file_okay=False, path_type=Path),
    help="Read photos only from this folder; repeatable. Default: where crop found them.",
)
def review_command(
    shots_dir: Path,
    port: int | None,
    no_browser: bool,
    read_only: bool,
    static: Path | None,
    photos: tuple[Path, ...],
) -> None:
    """Review crops in the browser: correct boxes and captions, keep and reject crops.

    SHOTS_DIR is the output folder of shotcrop crop, or its URL. The page is only for you on this machine, and it loads
    nothing from elsewhere. shotcrop saves each change in the sidecar and makes the crop again at once. Ctrl+C ends the
    command.
    """
    root = shots_dir if is_url(shots_dir) else output_root(shots_dir)
    if not is_url(shots_dir) and root != shots_dir.resolve():
        raise ShotcropError(f"{shots_dir}: a folder inside the output folder {root}", hint=f"name {root}")
    console = Console()
    try:
        if static is not None:
            from shotcrop_cli.review.static_export import write_static

            with opened(root, photos) as files:
                number = write_static(files, static)
            console.info(f"{number} photo{'' if number == 1 else 's'}. Open {static / 'index.html'}")
            return
        from shotcrop_cli.review.server import ServerOptions, serve
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "starlette", "uvicorn"):
            raise
        raise ShotcropError(
            f"the review page needs the extra `review`: {error.name} is not installed", hint=add_extras("review")
        ) from error
    options = ServerOptions(root, photos, port, read_only, opens_browser=not no_browser)
    serve(options, lambda line: result(line) if line.startswith("http") else console.info(line))
    console.info("The review has ended. Everything you changed is saved.")
