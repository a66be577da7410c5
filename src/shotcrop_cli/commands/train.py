"""`shotcrop train`: the training stages; each one is imported when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli import install_hint
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Group, option
from shotcrop_cli.cli.options import name_or_path
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError

Command = TypeVar("Command", bound=Callable[..., Any])

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

recipe_option = option(
    "--config",
    "recipe_name",
    required=True,
    type=name_or_path,
    metavar="RECIPE",
    help="Name of a recipe that comes with shotcrop, or a .toml file.",
)
data_option = option(
    "--data", required=True, type=_FOLDER, metavar="DIR", help="Folder that contains the datasets of the recipe."
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
weights_option = option(
    "--start",
    type=_FILE,
    metavar="FILE",
    help="Weights that the detector starts from. Default: ImageNet's, for the tower.",
)
offline_option = option("--offline", is_flag=True, help="Use only models on this machine; do not ask the model hub.")


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
@template_option
@offline_option
def sft_command(
    recipe_name: str,
    data: Path,
    output: Path,
    start: str | None,
    crossfit: tuple[str, ...],
    steps: int | None,
    chat_template: str | None,
    offline: bool,
) -> None:
    """Train a model on expert shots (stage 1).

    The compact model starts from a trained detector, a large model from a checkpoint.
    """
    with _training(output) as finish:
        from shotcrop_train import stages

        finish(
            stages.sft(
                recipe_name,
                data,
                output,
                start,
                crossfit=crossfit,
                steps=steps,
                offline=offline,
                chat_template=chat_template,
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
@offline_option
def pseudo_label_command(
    recipe_name: str, data: Path, output: Path, proposers: tuple[str, ...], limit: int | None, offline: bool
) -> None:
    """Label photos with the shots that all criteria accept (stage 2)."""
    with _training(output) as finish:
        from shotcrop_train import stages

        finish(stages.pseudo_label(recipe_name, data, output, proposers, limit=limit, offline=offline))


@train_command.command(
    "ssft",
    example=(
        "continue from stage 1",
        "shotcrop train ssft --config nano --data DATA \\\n      --pseudo runs/labels -o ssft --from runs/sft/final",
    ),
)
@recipe_option
@data_option
@option("--pseudo", required=True, type=_FOLDER, metavar="DIR", help="Dataset that shotcrop train pseudo-label wrote.")
@output_option
@start_option
@steps_option
@template_option
@offline_option
def ssft_command(
    recipe_name: str,
    data: Path,
    pseudo: Path,
    output: Path,
    start: str | None,
    steps: int | None,
    chat_template: str | None,
    offline: bool,
) -> None:
    """Fine-tune a model on expert and pseudo-labelled shots (stage 2)."""
    with _training(output) as finish:
        from shotcrop_train import stages

        finish(
            stages.ssft(
                recipe_name, data, pseudo, output, start, steps=steps, offline=offline, chat_template=chat_template
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
@option("--hard", type=_FILE, metavar="FILE", help="Hard cases: the hard.jsonl that shotcrop train pseudo-label wrote.")
@steps_option
@template_option
@offline_option
def grpo_command(
    recipe_name: str,
    data: Path,
    output: Path,
    start: str | None,
    hard: Path | None,
    steps: int | None,
    chat_template: str | None,
    offline: bool,
) -> None:
    """Train a model by reinforcement learning with GRPO-S (stage 3)."""
    with _training(output) as finish:
        from shotcrop_train import stages

        finish(
            stages.grpo(
                recipe_name, data, output, start, hard=hard, steps=steps, offline=offline, chat_template=chat_template
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
def detector_command(
    recipe_name: str, data: Path, output: Path, start: Path | None, fold: int | None, steps: int | None
) -> None:
    """Train the compact model's detector on machine detections."""
    with _training(output) as finish:
        from shotcrop_train import stages

        finish(stages.detector(recipe_name, data, output, start, steps=steps, fold=fold))


@train_command.command(
    "run", example=("train the default model", "shotcrop train run --config nano --data DATA -o runs/nano")
)
@recipe_option
@data_option
@output_option
@weights_option
@offline_option
def run_command(recipe_name: str, data: Path, output: Path, start: Path | None, offline: bool) -> None:
    """Run all stages of a pipeline, from data to an exported model.

    Stages that are complete are not run again.
    """
    with _install_hint():
        from shotcrop_cli.commands.train_stages import stages
        from shotcrop_train.pipeline import load_pipeline, run

        results = run(load_pipeline(recipe_name), data, output, stages(offline, start), Console().info)
    for name, made in results.items():
        result(f"{name}: {made}")


@train_command.command("check-data", example=("check a training set", "shotcrop train check-data DATA/train"))
@click.argument("dataset", type=_FOLDER)
def check_data_command(dataset: Path) -> None:
    """List what is wrong with a dataset.

    DATASET is a folder of photos with a metadata.jsonl.
    """
    with _install_hint():
        from shotcrop_train.data.check_data import check
    findings = check(dataset)
    for finding in findings:
        result(str(finding), folded=True)
    if any(finding.severity == "error" for finding in findings):
        raise ShotcropError(f"{dataset} has errors", hint="correct the lines above")


@train_command.command(
    "import-data",
    example=(
        "import COCO annotations",
        "shotcrop train import-data --coco boxes.json \\\n      --photos photos -o DATA/train",
    ),
)
@option(
    "--coco", type=_FILE, metavar="FILE", help="COCO-style JSON with the categories establishing, medium and close_up."
)
@option(
    "--answers",
    type=_FILE,
    metavar="FILE",
    help='Answers of a model: JSON Lines of {"file_name": ..., "answer": ...}.',
)
@option("--photos", required=True, type=_FOLDER, metavar="DIR", help="Folder of the photos that the file names.")
@option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Dataset folder to write.",
)
@option(
    "--coord-space",
    type=click.Choice(["permille", "absolute", "location"]),
    default="permille",
    show_default=True,
    help="How the answers give boxes: from 0 to 1000, in pixels, or as location tokens.",
)
def import_data_command(coco: Path | None, answers: Path | None, photos: Path, output: Path, coord_space: str) -> None:
    """Write a dataset from COCO annotations or from answers of a model.

    Give one of --coco and --answers.
    """
    if (coco is None) == (answers is None):
        raise click.UsageError("Give one of --coco and --answers.")
    with _install_hint():
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_train.data.importer import import_answers, import_coco

        if coco is not None:
            made = import_coco(coco, photos, output)
        elif answers is not None:
            made = import_answers(answers, photos, output, CoordSpace(coord_space))
    result(str(made))


@contextmanager
def _install_hint() -> Iterator[None]:
    """Turn a missing training package into an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"training needs the package '{error.name}'", hint=install_hint.add_extras("train")
        ) from error


@contextmanager
def _training(output: Path) -> Iterator[Callable[[Path], None]]:
    """Run a stage: record and print its result, or print the recorded result of a complete stage."""
    with _install_hint():
        from shotcrop_train.runs import provenance

        def finish(made: Path) -> None:
            provenance.finish(output, made)
            result(str(made))

        try:
            yield finish
        except provenance.Complete as complete:
            Console().info(f"{output} is complete")
            result(str(complete.result))
