"""`shotcrop eval`: score a model, sidecars or a baseline on an annotated dataset."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shotcrop_cli import install_hint
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.options import device_option, json_option
from shotcrop_cli.cli.streams import fold, result, terminal_width
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.baselines import MEAN_BOXES, Baseline, mean_boxes, triple

if TYPE_CHECKING:
    from shotcrop_cli.evaluation.dataset import Record
    from shotcrop_cli.evaluation.scoring import Evaluation
    from shotcrop_cli.shots import Answer, Composer, Composition

_WIDE = 100
"""Columns of the table in a pipe, which has no width of its own."""
SHOWN_FAILURES = 5
"""How many failures stderr names; it counts the others."""

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "eval",
    cls=Command,
    example=("compare with boxes in the middle", "shotcrop eval DATA/dev --baseline centre"),
)
@click.argument("dataset")
@option_group(
    "What to score",
    option("-m", "--model", metavar="NAME|PATH", help="Model. Default: the one that comes with shotcrop."),
    option(
        "--checkpoint", type=_FOLDER, metavar="DIR", help="Checkpoint of shotcrop train. This needs the extra train."
    ),
    option("--predictions", type=_FOLDER, metavar="DIR", help="Folder of sidecars to score instead of a model."),
    option("--limit", type=click.IntRange(1), metavar="N", help="Score only the first N annotated photos."),
)
@option_group(
    "What to compare with",
    option(
        "--baseline",
        type=click.Choice([str(baseline) for baseline in Baseline]),
        help="Print the gain over this baseline. Without --model, --checkpoint and --predictions, score the baseline.",
    ),
    option("--mean-from", metavar="DATASET", help="Dataset whose mean boxes --baseline mean uses."),
    option(
        "--captions-from",
        metavar="DATASET",
        help="Dataset that shows which words go with which boxes; needed to measure caption_retrieval.",
    ),
)
@option_group(
    "Speed",
    device_option,
    option(
        "-b",
        "--batch-size",
        type=click.IntRange(1),
        default=16,
        show_default=True,
        metavar="N",
        help="Photos per model call.",
    ),
)
@json_option
def eval_command(
    dataset: str,
    model: str | None,
    checkpoint: Path | None,
    predictions: Path | None,
    baseline: str | None,
    mean_from: str | None,
    captions_from: str | None,
    device: str,
    batch_size: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Score a model on photos that experts cropped.

    DATASET is a folder of photos with a metadata.jsonl, DATA/dev for shards such as DATA/dev-0.tar, or
    ORG/NAME[/DATASET][@REVISION] of the Hugging Face hub. The table shows how well the boxes match, how well the three
    shots fit together, and composition rules, with bootstrap 95 % intervals.

    A photo for which the model gives no readable answer counts as IoU 0.
    """
    from shotcrop_cli.evaluation.data_source import find_dataset
    from shotcrop_cli.evaluation.dataset import read_dataset
    from shotcrop_cli.evaluation.scoring import caption_matcher, is_judged, score

    if sum(source is not None for source in (model, checkpoint, predictions)) > 1:
        raise click.UsageError("--model, --checkpoint and --predictions exclude each other.")
    if mean_from is not None and baseline != Baseline.MEAN.value:
        raise click.UsageError("--mean-from needs --baseline mean.")
    folder = find_dataset(dataset).folder
    rows = read_dataset(folder)
    records = [record for record in rows if is_judged(record)]
    if not records:
        raise ShotcropError(f"{dataset} has no annotated photo", hint="evaluate on a dataset with expert triples")
    skipped, records = len(rows) - len(records), records[:limit]
    if skipped:
        Console().info(f"{skipped} photos without annotation are skipped")

    rival = _baseline(Baseline(baseline), mean_from) if baseline else None
    matcher = caption_matcher(read_dataset(find_dataset(captions_from).folder)) if captions_from else None
    answers: Sequence[Answer]
    if predictions is not None:
        from shotcrop_cli.evaluation.scoring import sidecar_answers

        source, answers = str(predictions), sidecar_answers(records, folder, predictions)
    elif model is None and checkpoint is None and rival is not None:
        source, answers, rival = f"baseline {baseline}", [rival] * len(records), None
    else:
        composer = _trained(checkpoint, batch_size) if checkpoint else _exported(model, device)
        source = f"{composer.identity.id} on {composer.identity.provider}"
        answers = _ask(records, composer, batch_size)
    evaluation = score(records, answers, baseline=rival, matcher=matcher, skipped=skipped)
    _warn(evaluation)
    _print(evaluation, dataset, source, baseline if rival else None, as_json)


def _baseline(baseline: Baseline, mean_from: str | None) -> Composition:
    from shotcrop_cli.evaluation.data_source import find_dataset
    from shotcrop_cli.evaluation.dataset import read_dataset

    if mean_from is None:
        return triple(baseline, MEAN_BOXES)
    compositions = [record.composition for record in read_dataset(find_dataset(mean_from).folder) if record.composition]
    if not compositions:
        raise ShotcropError(f"{mean_from} has no annotated photo", hint="name a training set with expert triples")
    return triple(baseline, mean_boxes(compositions))


def _exported(model: str | None, device: str) -> Composer:
    from shotcrop_cli.model.load import find_model, load_composer

    return load_composer(find_model(model), device, notices=Console())


def _trained(checkpoint: Path, batch_size: int) -> Composer:
    try:
        from shotcrop_train.checkpoints import load_base
        from shotcrop_train.composer.nano_checkpoint import find_checkpoint
        from shotcrop_train.composer.torch_nano import load_checkpoint_composer
        from shotcrop_train.recipe import ModelRecipe
        from shotcrop_train.torch_composer import TorchComposer
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"checkpoints need the package '{error.name}'", hint=install_hint.add_extras("train")
        ) from error
    compact = find_checkpoint(checkpoint)
    if compact is not None:
        return load_checkpoint_composer(compact)
    composer: Composer = TorchComposer(load_base(checkpoint, ModelRecipe(), offline=True), batch_size=batch_size)
    return composer


def _ask(records: Sequence[Record], composer: Composer, batch_size: int) -> list[Answer]:
    from shotcrop_cli.evaluation.scoring import model_answers

    with Console().progress(len(records)) as progress:
        return model_answers(records, composer, batch_size, progress.advance)


def _warn(evaluation: Evaluation) -> None:
    """Name photos without a readable answer on stderr, since stdout is for results."""
    console = Console()
    for failure in evaluation.failures[:SHOWN_FAILURES]:
        console.warn(f"no answer for {failure.path.name}: {failure.reason}")
    more = len(evaluation.failures) - SHOWN_FAILURES
    if more > 0:
        console.warn(f"no answer for {more} more")


def _print(evaluation: Evaluation, dataset: str, source: str, baseline: str | None, as_json: bool) -> None:
    from shotcrop_cli.evaluation.table import score_json, score_table

    if as_json:
        result(score_json(evaluation, dataset=dataset, answers=source, baseline=baseline))
        return
    from rich.console import Console as RichConsole

    title = f"{source} on {dataset}" + (f", gain over baseline {baseline}" if baseline else "")
    width = terminal_width(sys.stdout)
    console = RichConsole(file=sys.stdout, highlight=False, markup=False, width=max(width, _WIDE))
    table = score_table(evaluation, title)
    if 0 < width < console.measure(table).minimum:
        console.width = width
        table = score_table(evaluation, title, by_shot=False)
        click.echo(fold("This terminal is too narrow for a column per shot; --json has them.", sys.stderr), err=True)
    with console.capture() as text:
        console.print(table)
    result(text.get().removesuffix("\n"))
