"""Options that several commands of `shotcrop train` share, and what surrounds their work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli import install_hint
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import option
from shotcrop_cli.cli.options import name_or_path
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

recipe_option = option(
    "--config",
    "recipe_name",
    required=True,
    type=name_or_path,
    metavar="RECIPE",
    help="Name of a recipe that comes with shotcrop, or a .toml file.",
)
data_option = option(
    "--data",
    required=True,
    type=name_or_path,
    metavar="DIR|ORG/NAME",
    help="Data folder with the recipe's datasets: a folder, or ORG/NAME[@REVISION] of the Hugging Face hub.",
)
output_option = option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run folder. An interrupted run in it continues.",
)
start_option = option(
    "--from", "start", metavar="CHECKPOINT", help="Checkpoint to start from: a folder, or ORG/REPO of a model hub."
)
steps_option = option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Optimiser steps. Default: those of the recipe."
)
template_option = option(
    "--chat-template",
    metavar="FILE",
    help="Large model: chat template in Jinja, or chatml for the built-in one. Default: that of the recipe or model.",
)
merge_option = option(
    "--merge-adapter/--no-merge-adapter",
    "merge_adapter",
    default=None,
    help="Large model with LoRA: merge the trained adapter into its base, or keep it as it is. Default: merge.",
)
tracker_option = option(
    "--report-to",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Large model: experiment tracker, such as wandb, mlflow or trackio; repeatable. Default: none.",
)
run_name_option = option(
    "--run-name", metavar="TEXT", help="Large model: name of the run in trackers. Default: that of the run folder."
)
set_option = option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Value in place of the recipe's, such as optimisation.learning_rate=1e-5; repeatable.",
)
weights_option = option(
    "--start",
    type=FILE,
    metavar="FILE",
    help="Weights that the detector starts from. Default: ImageNet's, for the tower.",
)
offline_option = option(
    "--offline", is_flag=True, help="Use only models and datasets on this machine; do not ask the hub."
)


@contextmanager
def training_packages() -> Iterator[None]:
    """Turn a missing training package into an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"training needs the package '{error.name}'", hint=install_hint.add_extras("train")
        ) from error


def large_model_options(command: Command) -> Command:
    """Add the options for large models that are short for `--set`. They join `changes`, the values of `--set`."""

    @wraps(command)
    def run(
        *arguments: Any,
        changes: tuple[str, ...],
        chat_template: str | None,
        merge_adapter: bool | None,
        trackers: tuple[str, ...],
        run_name: str | None,
        **others: Any,
    ) -> Any:
        short = {
            "model.chat_template": chat_template,
            "model.keep_adapter": None if merge_adapter is None else not merge_adapter,
            "tracking.to": list(trackers) or None,
            "tracking.name": run_name,
        }
        added = (f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None)
        return command(*arguments, changes=(*changes, *added), **others)

    for decorate in (run_name_option, tracker_option, merge_option, template_option, set_option):
        run = decorate(run)
    return run  # type: ignore[return-value]


@contextmanager
def training(output: Path) -> Iterator[Callable[[Path], None]]:
    """Run a stage: record and print its result, or print the recorded result of a complete stage."""
    with training_packages():
        from shotcrop_train.runs import provenance

        def finish(made: Path) -> None:
            provenance.finish(output, made)
            result(str(made))

        try:
            yield finish
        except provenance.Complete as complete:
            Console().info(f"{output} is complete")
            result(str(complete.result))
