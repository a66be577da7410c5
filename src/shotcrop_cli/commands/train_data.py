"""`shotcrop train check-data` and `import-data`."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.cli.console import Console
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
@option(
    "--from-shots",
    "shots",
    multiple=True,
    type=FOLDER,
    metavar="OUT",
    help="Output folder of shotcrop crop whose boxes you corrected; repeatable.",
)
@option(
    "--photos",
    type=FOLDER,
    metavar="DIR",
    help="Folder of the photos that the file names. With --from-shots by default where crop found them.",
)
@option(
    "--reviewed", is_flag=True, help="With --from-shots: you looked at all photos; learn from boxes you left alone."
)
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
def import_data_command(
    coco: Path | None,
    answers: Path | None,
    shots: tuple[Path, ...],
    photos: Path | None,
    reviewed: bool,
    output: Path,
    coord_space: str,
) -> None:
    """Write a dataset from COCO annotations, answers of a model, or boxes that you corrected.

    Give one of --coco, --answers and --from-shots.
    """
    if [coco is not None, answers is not None, bool(shots)].count(True) != 1:
        raise click.UsageError("Give one of --coco, --answers and --from-shots.")
    if photos is None and not shots:
        raise click.UsageError("--coco and --answers need --photos.")
    if reviewed and not shots:
        raise click.UsageError("--reviewed needs --from-shots.")
    with training_packages():
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_train.data.from_shots import import_shots
        from shotcrop_train.data.importer import import_answers, import_coco

        if coco is not None and photos is not None:
            made = import_coco(coco, photos, output)
        elif answers is not None and photos is not None:
            made = import_answers(answers, photos, output, CoordSpace(coord_space))
        else:
            console = Console()
            imported = import_shots(shots, output, () if photos is None else (photos,), reviewed=reviewed)
            for problem in imported.problems:
                console.warn(problem)
            console.info(f"{imported.photos} photos, {imported.boxes} boxes that you set or kept")
            made = imported.folder
    result(str(made))
