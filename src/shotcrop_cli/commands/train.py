"""`shotcrop train`: the training stages, each imported only when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.console import result
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.options import name_or_path


@click.group("train")
def train_command() -> None:
    """Train a ShotCrop model, stage by stage."""


@train_command.command("sft")
@click.option(
    "--config",
    "recipe_name",
    required=True,
    type=name_or_path,
    metavar="RECIPE",
    help="Name of a shipped recipe, or a .toml file.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that holds the recipe's datasets.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Run folder; a cut run in it goes on.",
)
@click.option(
    "--from",
    "start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkpoint to start from; without it a new model is built.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, in place of the recipe's.")
def sft_command(recipe_name: str, data: Path, output: Path, start: Path | None, steps: int | None) -> None:
    """Stage 1: supervised fine-tuning with a grounded chain of thought."""
    from dataclasses import replace

    try:
        from shotcrop_train.recipe import load_recipe
        from shotcrop_train.sft import train
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"training needs the package '{error.name}'", hint="pip install 'shotcrop-cli[train]'"
        ) from error

    recipe = load_recipe(recipe_name)
    if steps is not None:
        recipe = replace(recipe, optimisation=replace(recipe.optimisation, steps=steps))
    result(str(train(recipe, data, output, start)))
