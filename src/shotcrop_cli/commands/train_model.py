"""`shotcrop train merge`: make a whole model of a trained one."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.commands.train_options import FOLDER, offline_option, training_packages


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
