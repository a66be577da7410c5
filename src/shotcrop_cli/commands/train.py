"""`shotcrop train`: the training stages, each imported only when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli import install_hint
from shotcrop_cli.cli.console import result
from shotcrop_cli.cli.options import name_or_path
from shotcrop_cli.errors import ShotcropError

Command = TypeVar("Command", bound=Callable[..., Any])

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

recipe_option = click.option(
    "--config",
    "recipe_name",
    required=True,
    type=name_or_path,
    metavar="RECIPE",
    help="Name of a shipped recipe, or a .toml file.",
)
data_option = click.option("--data", required=True, type=_FOLDER, help="Folder that holds the recipe's datasets.")
output_option = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Run folder; a cut run in it goes on.",
)
start_option = click.option(
    "--from", "start", metavar="CHECKPOINT", help="Checkpoint folder, or ORG/REPO of a hub, to start from."
)
steps_option = click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps, in place of the recipe's.")
offline_option = click.option("--offline", is_flag=True, help="Use only models that are on this machine.")


@click.group("train")
def train_command() -> None:
    """Train a ShotCrop model, stage by stage or as one pipeline."""


@train_command.command("sft")
@recipe_option
@data_option
@output_option
@start_option
@steps_option
@offline_option
def sft_command(
    recipe_name: str, data: Path, output: Path, start: str | None, steps: int | None, offline: bool
) -> None:
    """Stage 1: supervised fine-tuning with a chain of thought.

    Without --from a new compact model is built.
    """
    with _training(output) as finish:
        from shotcrop_train import sft
        from shotcrop_train.recipe import SftRecipe, load_recipe

        recipe = _shortened(load_recipe(recipe_name, SftRecipe), steps)
        finish(sft.train(recipe, data, output, start, offline=offline))


@train_command.command("pseudo-label")
@recipe_option
@data_option
@output_option
@click.option(
    "--proposer",
    "proposers",
    multiple=True,
    required=True,
    metavar="CHECKPOINT",
    help="Model that proposes boxes, or `cinematographer` for the rules; give it several times.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Label the first N photos only.")
@offline_option
def pseudo_label_command(
    recipe_name: str, data: Path, output: Path, proposers: tuple[str, ...], limit: int | None, offline: bool
) -> None:
    """Stage 2: label photos, keeping the shots that every criterion agrees upon."""
    with _training(output) as finish:
        from shotcrop_train import pseudo_label
        from shotcrop_train.recipe import load_recipe

        recipe = load_recipe(recipe_name, pseudo_label.PseudoLabelRecipe)
        finish(pseudo_label.label(recipe, data, output, proposers, offline=offline, limit=limit))


@train_command.command("ssft")
@recipe_option
@data_option
@click.option("--pseudo", required=True, type=_FOLDER, help="Dataset that `train pseudo-label` wrote.")
@output_option
@start_option
@steps_option
@offline_option
def ssft_command(
    recipe_name: str, data: Path, pseudo: Path, output: Path, start: str | None, steps: int | None, offline: bool
) -> None:
    """Stage 2, second half: fine-tune on expert and pseudo-labelled shots."""
    with _training(output) as finish:
        from shotcrop_train import ssft
        from shotcrop_train.recipe import load_recipe

        recipe = _shortened(load_recipe(recipe_name, ssft.SsftRecipe), steps)
        finish(ssft.train(recipe, data, pseudo, output, start, offline=offline))


@train_command.command("grpo")
@recipe_option
@data_option
@output_option
@start_option
@click.option("--hard", type=_FILE, help="Hard cases, the hard.jsonl that `train pseudo-label` wrote.")
@steps_option
@offline_option
def grpo_command(
    recipe_name: str,
    data: Path,
    output: Path,
    start: str | None,
    hard: Path | None,
    steps: int | None,
    offline: bool,
) -> None:
    """Stage 3: GRPO-S, reinforcement learning with a reward made for the task."""
    with _training(output) as finish:
        from shotcrop_train import grpo
        from shotcrop_train.recipe import load_recipe

        recipe = _shortened(load_recipe(recipe_name, grpo.GrpoRecipe), steps)
        finish(grpo.train(recipe, data, output, start, hard=hard, offline=offline))


@train_command.command("run")
@recipe_option
@data_option
@output_option
@offline_option
def run_command(recipe_name: str, data: Path, output: Path, offline: bool) -> None:
    """All stages of a pipeline, from data to an exported model; complete ones are kept."""
    with _named_remedy():
        from shotcrop_cli.commands.train_stages import stages
        from shotcrop_train.pipeline import load_pipeline, run

        results = run(
            load_pipeline(recipe_name), data, output, stages(offline), lambda line: click.echo(line, err=True)
        )
    for name, made in results.items():
        result(f"{name}: {made}")


@train_command.command("check-data")
@click.argument("dataset", type=_FOLDER)
def check_data_command(dataset: Path) -> None:
    """Say what is wrong with DATASET, a folder of photos with a metadata.jsonl."""
    with _named_remedy():
        from shotcrop_train.data.check_data import check
    findings = check(dataset)
    for finding in findings:
        result(str(finding))
    if any(finding.severity == "error" for finding in findings):
        raise ShotcropError(f"{dataset} has errors", hint="mend the lines named above")


@train_command.command("import-data")
@click.option("--coco", type=_FILE, help="COCO-style JSON with the categories establishing, medium and close_up.")
@click.option("--answers", type=_FILE, help='JSON Lines of {"file_name": ..., "answer": ...}, as models write them.')
@click.option("--photos", required=True, type=_FOLDER, help="Folder of the photos that the file names.")
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Dataset folder to write."
)
@click.option(
    "--coord-space",
    type=click.Choice(["permille", "absolute", "location"]),
    default="permille",
    show_default=True,
    help="How the answers' boxes are written: 0..1000, pixels, or location tokens.",
)
def import_data_command(coco: Path | None, answers: Path | None, photos: Path, output: Path, coord_space: str) -> None:
    """Write a dataset from COCO-style annotations or from models' answers."""
    if (coco is None) == (answers is None):
        raise click.UsageError("give one of --coco and --answers")
    with _named_remedy():
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_train.data.importer import import_answers, import_coco

        if coco is not None:
            made = import_coco(coco, photos, output)
        elif answers is not None:
            made = import_answers(answers, photos, output, CoordSpace(coord_space))
    result(str(made))


@contextmanager
def _named_remedy() -> Iterator[None]:
    """Turn a missing training package into one line that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"training needs the package '{error.name}'", hint=install_hint.add_extras("train")
        ) from error


@contextmanager
def _training(output: Path) -> Iterator[Callable[[Path], None]]:
    """Run a stage: mark it finished with what it made, print that, and print it alike when it was complete before."""
    with _named_remedy():
        from shotcrop_train.runs import provenance

        def finish(made: Path) -> None:
            provenance.finish(output, made)
            result(str(made))

        try:
            yield finish
        except provenance.Complete as complete:
            click.echo(f"{output} is complete", err=True)
            result(str(complete.result))


def _shortened(recipe: Any, steps: int | None) -> Any:
    """Return a recipe with another number of optimiser steps."""
    from dataclasses import replace

    return recipe if steps is None else replace(recipe, optimisation=replace(recipe.optimisation, steps=steps))
