"""`shotcrop train check-data` and `import-data`."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option
from shotcrop_cli.cli.streams import result
from shotcrop_cli.commands.train_options import FILE, FOLDER, offline_option, training_packages
from shotcrop_cli.errors import ShotcropError


@click.command("check-data", cls=Command, example=("check a training set", "shotcrop train check-data DATA/train"))
@click.argument("dataset")
@offline_option
def check_data_command(dataset: str, offline: bool) -> None:
    """List what is wrong with a dataset.

    DATASET is a folder of photos with a metadata.jsonl, DATA/train for shards such as DATA/train-0.tar, or
    ORG/NAME[/DATASET][@REVISION] of the Hugging Face hub.
    """
    with training_packages():
        from shotcrop_cli.evaluation.data_source import find_dataset
        from shotcrop_train.data.check_data import check
    findings = check(find_dataset(dataset, offline=offline).folder)
    for finding in findings:
        result(str(finding), folded=True)
    if any(finding.severity == "error" for finding in findings):
        raise ShotcropError(f"{dataset} has errors", hint="correct the lines above")


SOURCES = ("coco", "label-studio", "cvat", "via", "labelme", "csv", "answers")
_SPACES = {"answers": ("permille", "absolute", "location"), "csv": ("pixels", "shares", "permille", "percent")}


@click.command(
    "import-data",
    cls=Command,
    example=(
        "import boxes from a table",
        "shotcrop train import-data --csv boxes.csv \\\n      --photos photos -o DATA/train",
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
    type=click.Choice(["permille", "absolute", "location", "pixels", "shares", "percent"]),
    metavar="SPACE",
    help="How answers give boxes: permille (0 to 1000, the default), absolute (pixels) or location tokens. How a CSV "
    "file does: pixels (the default), shares (0 to 1), permille or percent.",
)
def import_data_command(
    shots: tuple[Path, ...],
    photos: Path | None,
    reviewed: bool,
    output: Path,
    coord_space: str | None,
    **sources: Path | None,
) -> None:
    """Write a dataset from boxes of an annotation tool, answers of a model, or boxes that you corrected.

    Give one source. The first error in a file ends the import before anything is written.
    """
    given = {name.replace("_", "-"): path for name, path in sources.items() if path is not None}
    if len(given) + bool(shots) != 1:
        raise click.UsageError(f"Give one of {', '.join(f'--{name}' for name in SOURCES)} and --from-shots.")
    if photos is None and not shots:
        raise click.UsageError("Files of annotation tools and answers need --photos.")
    if reviewed and not shots:
        raise click.UsageError("--reviewed needs --from-shots.")
    kind, source = next(iter(given.items()), ("from-shots", None))
    if coord_space is not None and coord_space not in _SPACES.get(kind, ()):
        told = f"is one of {', '.join(_SPACES[kind])}" if kind in _SPACES else "is not needed: the file says it"
        raise click.UsageError(f"With --{kind}, --coord-space {told}.")
    with training_packages():
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_train.data.drawn_boxes import Unit
        from shotcrop_train.data.from_shots import import_shots
        from shotcrop_train.data.importer import import_answers, import_labels

        if source is None or photos is None:
            console = Console()
            imported = import_shots(shots, output, () if photos is None else (photos,), reviewed=reviewed)
            for problem in imported.problems:
                console.warn(problem)
            console.info(f"{imported.photos} photos, {imported.boxes} boxes that you set or kept")
            made = imported.folder
        elif kind == "answers":
            made = import_answers(source, photos, output, CoordSpace(coord_space or "permille"))
        else:
            made = import_labels(kind, source, photos, output, Unit(coord_space) if coord_space else None)
    result(str(made))
