"""`shotcrop learn`: learn a personal style from corrected boxes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.options import name_or_path
from shotcrop_cli.cli.reporter import ConsoleReporter, ReportOptions
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ExitCode, ShotcropError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "learn", cls=Command, example=("learn from the boxes that you corrected", "shotcrop learn ~/shots -o my-style")
)
@click.argument("shots", nargs=-1, required=True, metavar="OUT...", type=_FOLDER)
@option_group(
    "Corrections",
    option(
        "--photos",
        multiple=True,
        type=_FOLDER,
        metavar="DIR",
        help="Look for the photos in this folder; repeatable. Default: where crop found them.",
    ),
    option("--reviewed", is_flag=True, help="You looked at all photos: learn also that you left boxes alone."),
)
@option_group(
    "Model",
    option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for the model with your style. A style that is there is replaced by a better one.",
    ),
    option(
        "-m",
        "--model",
        type=name_or_path,
        metavar="NAME|DIR|ORG/REPO",
        help="Compact model to start from. Default: the one that comes with shotcrop.",
    ),
    option("--offline", is_flag=True, help="Use only models on this machine; do not ask the model hub."),
    option("-n", "--dry-run", is_flag=True, help="Say what a style would be worth; write nothing."),
    crop_options.max_pixels_option,
)
@crop_options.message_options
@click.pass_context
def learn_command(ctx: click.Context, /, **values: Any) -> None:
    """Learn your style from the boxes that you corrected.

    OUT is an output folder of shotcrop crop in which you moved, accepted or rejected boxes. shotcrop compares your
    boxes with the model's and learns how yours differ, on this machine and in about a minute. It writes a model with
    your style only if that is closer to your boxes on photos that it has not learned from.

    Then crop with it: shotcrop crop PHOTOS -o OUT --model my-style
    """
    from shotcrop_cli.learning.learn import LearnOptions, describe, learn_style

    options = LearnOptions(
        shots=values["shots"],
        output=values["output"],
        photos=values["photos"],
        model=values["model"],
        offline=values["offline"],
        reviewed=values["reviewed"],
        dry_run=values["dry_run"],
        max_pixels=values["max_pixels"],
    )
    with crop_options.to_console(values) as console:
        learned = learn_style(options, ConsoleReporter(ReportOptions(), console))
        for line in describe(learned):
            console.info(line)
        if not learned.is_better:
            raise ShotcropError(
                "the style is not surely better for you than the model; nothing was written",
                hint="correct more photos, and correct each in the same way",
                exit_code=ExitCode.NOT_BETTER,
            )
        if learned.folder is None:
            console.info("dry run: nothing was written")
            return
        name = shlex.quote(str(values["output"]))
        console.info(f"To crop with your style: shotcrop crop PHOTOS -o OUT --model {name}")
    result(str(learned.folder))
