"""`shotcrop train check-data` and `import-data`."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.commands.train_options import FILE, FOLDER, training_packages
from shotcrop_cli.errors import ShotcropError


@click.command("check-data", cls=Command, example=("check a training set", "shotcrop train check-data DATA/train"))
@click.argument("dataset", type=FOLDER)
def check_data_command(dataset: Path) -> None:
    """List what is wrong with a dataset.

    DATASET is a folder of photos with a metadata.jsonl.
    """
    with training_packages():
        from shotcrop_train.data.check_data import check
    findings = check(dataset)
    for finding in findings:
        result(str(finding), folded=True)
    if any(finding.severity == "error" for finding in findings):
        raise ShotcropError(f"{dataset} has errors", hint="correct the lines above")


@click.command(
    "import-data",
    cls=Command,
    example=(
        "import COCO annotations",
        "shotcrop train import-data --coco boxes.json \\\n      --photos photos -o DATA/train",
    ),
)
@option(
    "--coco", type=FILE, metavar="FILE", help="COCO-style JSON with the categories establishing, medium and close_up."
)
@option(
    "--answers",
    type=FILE,
    metavar="FILE",
    help='Answers of a model: JSON Lines of {"file_name": ..., "answer": ...}.',
)
@option("--photos", required=True, type=FOLDER, metavar="DIR", help="Folder of the photos that the file names.")
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
    with training_packages():
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_train.data.importer import import_answers, import_coco

        if coco is not None:
            made = import_coco(coco, photos, output)
        elif answers is not None:
            made = import_answers(answers, photos, output, CoordSpace(coord_space))
    result(str(made))
