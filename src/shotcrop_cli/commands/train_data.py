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


SOURCES = ("coco", "label-studio", "cvat", "via", "labelme", "csv", "answers")


@click.command(
    "import-data",
    cls=Command,
    example=(
        "import boxes from Label Studio",
        "shotcrop train import-data --label-studio export.json \\\n      --photos photos -o DATA/train",
    ),
)
@option("--coco", type=FILE, metavar="FILE", help="COCO file with categories establishing, medium and close_up.")
@option("--label-studio", type=FILE, metavar="FILE", help="JSON export of Label Studio.")
@option("--cvat", type=FILE, metavar="FILE", help="XML file of the format CVAT for images 1.1.")
@option("--via", type=FILE, metavar="FILE", help="JSON file of the VGG Image Annotator 2.")
@option("--labelme", type=FOLDER, metavar="DIR", help="Folder of Labelme's JSON files.")
@option("--csv", type=FILE, metavar="FILE", help="Table with the columns file_name, shot, x0, y0, x1, y1 and caption.")
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
    type=click.Choice(["permille", "absolute", "location", "pixels", "shares", "percent"]),
    help="How answers give boxes: permille (0 to 1000, the default), absolute (pixels) or location tokens. How a CSV "
    "file does: pixels (the default), shares (0 to 1), permille or percent.",
)
def import_data_command(photos: Path, output: Path, coord_space: str | None, **sources: Path | None) -> None:
    """Write a dataset from boxes of an annotation tool, or from answers of a model.

    Give one file. The first error ends the import before anything is written.
    """
    given = {name.replace("_", "-"): path for name, path in sources.items() if path is not None}
    if len(given) != 1:
        raise click.UsageError(f"Give one of {', '.join(f'--{name}' for name in SOURCES)}.")
    ((kind, source),) = given.items()
    spaces = {"answers": ("permille", "absolute", "location"), "csv": ("pixels", "shares", "permille", "percent")}
    if coord_space is not None and coord_space not in spaces.get(kind, ()):
        told = f"is one of {', '.join(spaces[kind])}" if kind in spaces else "is not needed: the file says it"
        raise click.UsageError(f"With --{kind}, --coord-space {told}.")
    with training_packages():
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_train.data.drawn_boxes import Unit
        from shotcrop_train.data.importer import import_answers, import_labels

        if kind == "answers":
            made = import_answers(source, photos, output, CoordSpace(coord_space or "permille"))
        else:
            made = import_labels(kind, source, photos, output, Unit(coord_space) if coord_space else None)
    result(str(made))
