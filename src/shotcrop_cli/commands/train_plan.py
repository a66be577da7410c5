"""`shotcrop train plan` and `accelerate-config`: what comes before a run."""

from __future__ import annotations

from importlib.resources import files

import click

from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.commands.train_options import (
    offline_option,
    recipe_option,
    set_option,
    steps_option,
    training_packages,
)

LAUNCHES = ("one-gpu", "eight-gpus", "fsdp2", "zero3")


@click.command(
    "accelerate-config",
    cls=Command,
    example=("shard a model over GPUs", "shotcrop train accelerate-config fsdp2 > fsdp2.yaml"),
)
@click.argument("name", metavar="NAME", type=click.Choice(LAUNCHES))
def accelerate_config_command(name: str) -> None:
    """Print a configuration for accelerate launch.

    NAME is one-gpu, eight-gpus, fsdp2 or zero3.
    """
    result((files("shotcrop_train") / "launch" / f"{name}.yaml").read_text(encoding="utf-8").rstrip())


@click.command(
    "plan",
    cls=Command,
    example=(
        "see whether stage 1 fits one H100",
        "shotcrop train plan --config qwen3-vl-sft \\\n      --from Qwen/Qwen3-VL-4B-Instruct --gpu h100",
    ),
)
@recipe_option
@option(
    "--from",
    "start",
    required=True,
    metavar="MODEL",
    help="The large model: a folder with a config.json, or ORG/REPO of a model hub.",
)
@option("--gpu", required=True, metavar="NAME|GB", help="A GPU such as a100-80, h100 or l40s, or its memory in GB.")
@option("--gpus", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Number of GPUs.")
@option(
    "--shards",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="GPUs that share the weights, gradients and optimiser, as with FSDP or ZeRO-3.",
)
@steps_option
@set_option
@offline_option
def plan_command(
    recipe_name: str,
    start: str,
    gpu: str,
    gpus: int,
    shards: int,
    steps: int | None,
    changes: tuple[str, ...],
    offline: bool,
) -> None:
    """Estimate the memory and time of a run.

    The command reads only the recipe and the model's configuration. It loads no weights.
    """
    with training_packages():
        from shotcrop_train import stages
        from shotcrop_train.estimates.plan_run import table

        made = stages.plan(
            recipe_name, start, gpu, gpus=gpus, shards=shards, steps=steps, offline=offline, changes=changes
        )
    result(table(made))
