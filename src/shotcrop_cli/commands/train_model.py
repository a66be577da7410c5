"""`shotcrop train merge` and `push`: what becomes of a trained model."""

from __future__ import annotations

import re
from pathlib import Path

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.commands.train_options import FOLDER, offline_option, training_packages

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


@click.command(
    "merge",
    cls=Command,
    example=("merge the best model of a run", "shotcrop train merge runs/sft models/mine --best"),
)
@click.argument("run", type=FOLDER)
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@option("--best", is_flag=True, help="Take the best model on the held-back photos instead of the last one.")
@option(
    "--dtype",
    type=click.Choice(["auto", "bfloat16", "float32"]),
    default="auto",
    show_default=True,
    help="Number format of the weights: auto for that of the base.",
)
@offline_option
def merge_command(run: Path, output: Path, best: bool, dtype: str, offline: bool) -> None:
    """Merge a LoRA adapter into its base.

    RUN is a run folder, or the folder of an adapter. OUTPUT is the new folder of the whole model.
    """
    with training_packages():
        from shotcrop_train.runs.final_model import merge

        made = merge(run, output, best=best, dtype=dtype, offline=offline)
    result(str(made))


@click.command(
    "push",
    cls=Command,
    example=("publish a model", "shotcrop train push runs/grpo ORG/NAME --licence mit"),
)
@click.argument("run", type=FOLDER)
@click.argument("name", metavar="ORG/NAME")
@option("--best", is_flag=True, help="Take the best model on the held-back photos instead of the last one.")
@option("--licence", default="", metavar="ID", help="Licence, such as apache-2.0. Default: that of the base, if known.")
@option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the repository on this machine. Default: NAME in the run folder.",
)
@option("--private", is_flag=True, help="Let only you see the repository, if it is new.")
@option("--no-upload", is_flag=True, help="Only write the repository on this machine.")
def push_command(
    run: Path, name: str, best: bool, licence: str, folder: Path | None, private: bool, no_upload: bool
) -> None:
    """Write a model repository and upload it to the hub.

    RUN is the run folder of a finished stage or export. The repository has the weights, a model card and the recipe.
    It is uploaded if you are logged in (hf auth login).
    """
    if not _HUB_NAME.fullmatch(name):
        raise click.UsageError(f"{name} is no name of a repository. Write ORG/NAME.")
    with training_packages():
        from shotcrop_train.runs.model_repository import push, write_repository

        made = write_repository(run, name, folder or run / name.partition("/")[2], licence=licence, best=best)
        address = None if no_upload else push(made, name, private=private)
    if address is None and not no_upload:
        Console().info(f"not uploaded: you are not logged in. Run: hf auth login, then: hf upload {name} {made}")
    result(address or str(made))
