"""`shotcrop eval`: score a model, its sidecars or a baseline on an annotated dataset."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shotcrop_cli import install_hint
from shotcrop_cli.cli.console import Console, result
from shotcrop_cli.cli.options import device_option, json_option
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.baselines import MEAN_BOXES, Baseline, mean_boxes, triple

if TYPE_CHECKING:
    from shotcrop_cli.evaluation.dataset import Record
    from shotcrop_cli.evaluation.scoring import Evaluation
    from shotcrop_cli.shots import Answer, Composer, Composition

SHOWN_FAILURES = 5
"""Failures named on stderr; the others are counted."""

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("eval")
@click.argument("dataset", type=_FOLDER)
@click.option("-m", "--model", metavar="NAME|PATH", help="Model to score; by default the built-in one.")
@click.option("--checkpoint", type=_FOLDER, help="Checkpoint of `shotcrop train` to score; needs the extra 'train'.")
@click.option("--predictions", type=_FOLDER, help="Score the sidecars in this folder instead of a model.")
@click.option(
    "--baseline",
    type=click.Choice([str(baseline) for baseline in Baseline]),
    help="Print the gain over this baseline; without a model or --predictions score the baseline itself.",
)
@click.option("--mean-from", type=_FOLDER, help="Dataset to take the boxes of `--baseline mean` from.")
@click.option(
    "--captions-from",
    type=_FOLDER,
    help="Dataset of expert triples to learn from which words go with which boxes, to measure `caption_retrieval`.",
)
@device_option
@click.option(
    "-b", "--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Photos per model call."
)
@click.option("--limit", type=click.IntRange(1), help="Score the first N annotated photos only.")
@json_option
def eval_command(
    dataset: Path,
    model: str | None,
    checkpoint: Path | None,
    predictions: Path | None,
    baseline: str | None,
    mean_from: Path | None,
    captions_from: Path | None,
    device: str,
    batch_size: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Score boxes on DATASET, a folder of photos with a metadata.jsonl.

    Prints localisation, set and craft metrics with bootstrap 95 % intervals. A photo without a readable
    answer counts as IoU 0.
    """
    from shotcrop_cli.evaluation.dataset import read_dataset
    from shotcrop_cli.evaluation.scoring import caption_matcher, is_judged, score

    if sum(source is not None for source in (model, checkpoint, predictions)) > 1:
        raise click.UsageError("--model, --checkpoint and --predictions exclude each other")
    if mean_from is not None and baseline != Baseline.MEAN.value:
        raise click.UsageError("--mean-from needs --baseline mean")
    rows = read_dataset(dataset)
    records = [record for record in rows if is_judged(record)]
    if not records:
        raise ShotcropError(f"{dataset} has no annotated photo", hint="evaluate on a dataset with expert triples")
    skipped, records = len(rows) - len(records), records[:limit]
    if skipped:
        click.echo(f"{skipped} photos without annotation are skipped", err=True)

    rival = _baseline(Baseline(baseline), mean_from) if baseline else None
    matcher = caption_matcher(read_dataset(captions_from)) if captions_from else None
    answers: Sequence[Answer]
    if predictions is not None:
        from shotcrop_cli.evaluation.scoring import sidecar_answers

        source, answers = str(predictions), sidecar_answers(records, dataset, predictions)
    elif model is None and checkpoint is None and rival is not None:
        source, answers, rival = f"baseline {baseline}", [rival] * len(records), None
    else:
        composer = _trained(checkpoint, batch_size) if checkpoint else _exported(model, device)
        source = f"{composer.identity.id} on {composer.identity.provider}"
        answers = _ask(records, composer, batch_size)
    evaluation = score(records, answers, baseline=rival, matcher=matcher, skipped=skipped)
    _warn(evaluation)
    _print(evaluation, dataset, source, baseline if rival else None, as_json)


def _baseline(baseline: Baseline, mean_from: Path | None) -> Composition:
    from shotcrop_cli.evaluation.dataset import read_dataset

    if mean_from is None:
        return triple(baseline, MEAN_BOXES)
    compositions = [record.composition for record in read_dataset(mean_from) if record.composition]
    if not compositions:
        raise ShotcropError(f"{mean_from} has no annotated photo", hint="name a training set with expert triples")
    return triple(baseline, mean_boxes(compositions))


def _exported(model: str | None, device: str) -> Composer:
    from shotcrop_cli.model.load import find_model, load_composer

    return load_composer(find_model(model), device, notices=Console())


def _trained(checkpoint: Path, batch_size: int) -> Composer:
    try:
        from shotcrop_train.checkpoints import load_base
        from shotcrop_train.recipe import ModelRecipe
        from shotcrop_train.torch_composer import TorchComposer
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"checkpoints need the package '{error.name}'", hint=install_hint.add_extras("train")
        ) from error
    composer: Composer = TorchComposer(load_base(checkpoint, ModelRecipe(), offline=True), batch_size=batch_size)
    return composer


def _ask(records: Sequence[Record], composer: Composer, batch_size: int) -> list[Answer]:
    from tqdm import tqdm

    from shotcrop_cli.evaluation.scoring import model_answers

    with tqdm(total=len(records), unit="photo", file=sys.stderr, disable=None) as bar:
        return model_answers(records, composer, batch_size, bar.update)


def _warn(evaluation: Evaluation) -> None:
    """Name photos without a readable answer on stderr: results alone go to stdout."""
    for failure in evaluation.failures[:SHOWN_FAILURES]:
        click.echo(f"no answer for {failure.path.name}: {failure.reason}", err=True)
    more = len(evaluation.failures) - SHOWN_FAILURES
    if more > 0:
        click.echo(f"no answer for {more} more", err=True)


def _print(evaluation: Evaluation, dataset: Path, source: str, baseline: str | None, as_json: bool) -> None:
    from shotcrop_cli.evaluation.table import score_json, score_table

    if as_json:
        result(score_json(evaluation, dataset=str(dataset), answers=source, baseline=baseline))
        return
    from rich.console import Console

    title = f"{source} on {dataset}" + (f", gain over baseline {baseline}" if baseline else "")
    console = Console(file=sys.stdout, highlight=False, markup=False)
    # A pipe has no width of its own: let no figure be cut off there.
    console.width = max(console.width, 100)
    with console.capture() as table:
        console.print(score_table(evaluation, title))
    result(table.get().removesuffix("\n"))
