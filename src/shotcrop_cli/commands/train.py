"""`shotcrop train`: the training stages; each one is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.crop_options import ray_options, to_ray
from shotcrop_cli.cli.help import Group, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.commands.train_data import check_data_command, import_data_command
from shotcrop_cli.commands.train_model import merge_command, push_command
from shotcrop_cli.commands.train_options import (
    FILE,
    FOLDER,
    data_option,
    large_model_options,
    offline_option,
    output_option,
    recipe_option,
    set_option,
    start_option,
    steps_option,
    training,
    training_packages,
    weights_option,
)
from shotcrop_cli.commands.train_plan import accelerate_config_command, plan_command


@click.group(
    "train",
    cls=Group,
    example=("run all stages", "shotcrop train run --config nano --data DATA -o runs/nano"),
)
def train_command() -> None:
    """Train a model, stage by stage or in one run."""


@train_command.command(
    "sft",
    example=(
        "train the compact model's composer",
        "shotcrop train sft --config nano --data DATA \\\n      -o runs/sft --from runs/detector/final",
    ),
)
@recipe_option
@data_option
@output_option
@start_option
@option(
    "--crossfit",
    multiple=True,
    metavar="DETECTOR",
    help="Compact model: a further detector, for photos that the one of --from has learned from; repeatable.",
)
@steps_option
@large_model_options
@offline_option
def sft_command(
    recipe_name: str,
    data: str,
    output: Path,
    start: str | None,
    crossfit: tuple[str, ...],
    steps: int | None,
    changes: tuple[str, ...],
    offline: bool,
) -> None:
    """Train a model on expert shots (stage 1).

    The compact model starts from a trained detector, a large model from a checkpoint.
    """
    with training(output) as finish:
        from shotcrop_cli.evaluation.data_source import find_data
        from shotcrop_train import stages

        finish(
            stages.sft(
                recipe_name,
                find_data(data, offline=offline),
                output,
                start,
                crossfit=crossfit,
                steps=steps,
                offline=offline,
                changes=changes,
            )
        )


@train_command.command(
    "pseudo-label",
    example=(
        "label photos for the compact model",
        "shotcrop train pseudo-label --config nano \\\n      --data DATA -o runs/labels",
    ),
)
@recipe_option
@data_option
@output_option
@option(
    "--proposer",
    "proposers",
    multiple=True,
    metavar="CHECKPOINT",
    help="Model that proposes boxes, or rule-based for the rules; repeatable. The compact model trains its own.",
)
@option("--limit", type=click.IntRange(min=1), metavar="N", help="Label only the first N photos.")
@set_option
@ray_options
@offline_option
def pseudo_label_command(
    recipe_name: str,
    data: str,
    output: Path,
    proposers: tuple[str, ...],
    limit: int | None,
    changes: tuple[str, ...],
    offline: bool,
    **ray: Any,
) -> None:
    """Label photos with the shots that all criteria accept (stage 2)."""
    with training(output) as finish:
        from shotcrop_cli.evaluation.data_source import find_data
        from shotcrop_train import stages

        finish(
            stages.pseudo_label(
                recipe_name,
                find_data(data, offline=offline),
                output,
                proposers,
                limit=limit,
                offline=offline,
                changes=changes,
                ray=to_ray(ray),
            )
        )


@train_command.command(
    "ssft",
    example=(
        "continue from stage 1",
        "shotcrop train ssft --config nano --data DATA \\\n      --pseudo runs/labels -o ssft --from runs/sft/final",
    ),
)
@recipe_option
@data_option
@option("--pseudo", required=True, type=FOLDER, metavar="DIR", help="Dataset that shotcrop train pseudo-label wrote.")
@output_option
@start_option
@steps_option
@large_model_options
@offline_option
def ssft_command(
    recipe_name: str,
    data: str,
    pseudo: Path,
    output: Path,
    start: str | None,
    steps: int | None,
    changes: tuple[str, ...],
    offline: bool,
) -> None:
    """Fine-tune a model on expert and pseudo-labelled shots (stage 2)."""
    with training(output) as finish:
        from shotcrop_cli.evaluation.data_source import find_data
        from shotcrop_train import stages

        finish(
            stages.ssft(
                recipe_name,
                find_data(data, offline=offline),
                pseudo,
                output,
                start,
                steps=steps,
                offline=offline,
                changes=changes,
            )
        )


@train_command.command(
    "grpo",
    example=(
        "continue from stage 2",
        "shotcrop train grpo --config nano --data DATA \\\n      -o runs/grpo --from runs/ssft/final",
    ),
)
@recipe_option
@data_option
@output_option
@start_option
@option("--hard", type=FILE, metavar="FILE", help="Hard cases: the hard.jsonl that shotcrop train pseudo-label wrote.")
@steps_option
@large_model_options
@offline_option
def grpo_command(
    recipe_name: str,
    data: str,
    output: Path,
    start: str | None,
    hard: Path | None,
    steps: int | None,
    changes: tuple[str, ...],
    offline: bool,
) -> None:
    """Train a model by reinforcement learning with GRPO-S (stage 3)."""
    with training(output) as finish:
        from shotcrop_cli.evaluation.data_source import find_data
        from shotcrop_train import stages

        finish(
            stages.grpo(
                recipe_name,
                find_data(data, offline=offline),
                output,
                start,
                hard=hard,
                steps=steps,
                offline=offline,
                changes=changes,
            )
        )


@train_command.command(
    "detector",
    example=("train a detector", "shotcrop train detector --config nano --data DATA -o DIR"),
)
@recipe_option
@data_option
@output_option
@weights_option
@option("--fold", type=click.IntRange(min=0), metavar="N", help="Fold not to learn from. Default: the recipe's.")
@steps_option
@set_option
@offline_option
def detector_command(
    recipe_name: str,
    data: str,
    output: Path,
    start: Path | None,
    fold: int | None,
    steps: int | None,
    changes: tuple[str, ...],
    offline: bool,
) -> None:
    """Train the compact model's detector on machine detections."""
    with training(output) as finish:
        from shotcrop_cli.evaluation.data_source import find_data
        from shotcrop_train import stages

        folder = find_data(data, offline=offline)
        finish(stages.detector(recipe_name, folder, output, start, steps=steps, fold=fold, changes=changes))


@train_command.command(
    "run", example=("train the default model", "shotcrop train run --config nano --data DATA -o runs/nano")
)
@recipe_option
@data_option
@output_option
@weights_option
@option(
    "--set",
    "changes",
    multiple=True,
    metavar="[STAGE:]KEY=VALUE",
    help="Value in place of the recipes' own, for all stages or for one; repeatable.",
)
@offline_option
def run_command(
    recipe_name: str, data: str, output: Path, start: Path | None, changes: tuple[str, ...], offline: bool
) -> None:
    """Run all stages of a pipeline, from data to an exported model.

    Stages that are complete are not run again.
    """
    with training_packages():
        from shotcrop_cli.commands.train_stages import stages
        from shotcrop_cli.evaluation.data_source import find_data
        from shotcrop_train.pipeline import load_pipeline, run, with_changes

        pipeline = with_changes(load_pipeline(recipe_name), changes)
        results = run(pipeline, find_data(data, offline=offline), output, stages(offline, start), Console().info)
    for name, made in results.items():
        result(f"{name}: {made}")


train_command.add_command(plan_command)
train_command.add_command(merge_command)
train_command.add_command(push_command)
train_command.add_command(accelerate_config_command)
train_command.add_command(check_data_command)
train_command.add_command(import_data_command)
