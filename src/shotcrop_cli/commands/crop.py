"""`shotcrop crop`: cut photos into three shots each."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from shotcrop_cli.console import Console, result
from shotcrop_cli.engine.local import run
from shotcrop_cli.engine.steps import RunContext
from shotcrop_cli.library.discover import Discovery, discover
from shotcrop_cli.library.ledger import Ledger
from shotcrop_cli.library.lock import output_lock
from shotcrop_cli.library.plan import Decision, Job, plan
from shotcrop_cli.library.tally import PhotoResult, PhotoStatus, Tally
from shotcrop_cli.options import (
    batch_size_option,
    device_option,
    json_option,
    model_option,
    verbosity_options,
)
from shotcrop_cli.settings import CropSettings
from shotcrop_cli.shots import SHOT_TYPES, Composer

_BATCH_SIZE_CPU, _BATCH_SIZE_GPU = 8, 32
"""`--batch-size auto`: a CPU gains nothing from more, a GPU needs them to be busy [O]."""


@dataclass(frozen=True, slots=True)
class CropOptions:
    """What the user asked for.

    Args:
        paths: Photos, and folders of photos.
        output: Where the crops go.
        model: Name, folder or hub id; None for the default.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch_size: Photos per call of the model, None to choose by device.
        workers: Threads that decode, and as many that write.
        overwrite: Whether finished photos are done again.
        dry_run: Whether only to say what would be done.
        limit: How many photos to do at most, None for all.
        as_json: Whether results are printed as JSON Lines.
        settings: What decides the look of the crops.
    """

    paths: tuple[Path, ...]
    output: Path
    model: str | None
    device: str
    batch_size: int | None
    workers: int
    overwrite: bool
    dry_run: bool
    limit: int | None
    as_json: bool
    settings: CropSettings


@click.command("crop")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the crops; the tree of each PATH is mirrored below it.",
)
@model_option
@device_option
@batch_size_option
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that read photos, and as many that write crops. Default: one per processor.",
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of lossy formats.")
@click.option("--overwrite", is_flag=True, help="Do photos again that are done already.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Do at most N photos in this run.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done and write nothing.")
@json_option
@verbosity_options
@click.pass_context
def crop_command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    output: Path,
    model: str | None,
    device: str,
    batch_size: int | None,
    jobs: int | None,
    quality: int,
    overwrite: bool,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Cut photos into an establishing, a medium and a close-up shot each.

    PATH is a photo or a folder of photos. Originals are never touched. A photo that is done already is left
    alone unless it, the model or the settings have changed, so an interrupted run just goes on when it is
    run again.
    """
    options = CropOptions(
        paths=paths,
        output=output,
        model=model,
        device=device,
        batch_size=batch_size,
        workers=jobs or _processors(),
        overwrite=overwrite,
        dry_run=dry_run,
        limit=limit,
        as_json=as_json,
        settings=CropSettings(quality=quality),
    )
    tally = crop(options, Console(quiet=quiet, verbose=verbose))
    ctx.exit(tally.exit_code)


def crop(options: CropOptions, console: Console) -> Tally:
    """Find, plan and cut.

    Returns:
        How the photos ended; nothing is counted in a dry run.

    Raises:
        ShotcropError: The run as a whole cannot go on.
    """
    start = time.monotonic()
    # Pillow warns of large pictures and odd metadata; what matters of it comes back as results.
    warnings.filterwarnings("ignore", module=r"PIL\..*")
    found = discover(options.paths, options.output)
    for passed in found.ignored:
        console.warn(f"{passed.path}: {passed.reason}")
    jobs = plan(found.sources, options.output)
    if not jobs:
        console.warn(f"no photos found in {', '.join(map(str, options.paths))}")
    composer = _load(options, console)
    tally = Tally()
    ledger = Ledger(
        options.output,
        composer.identity,
        options.settings,
        overwrite=options.overwrite,
        read_only=options.dry_run,
    )
    if options.dry_run:
        _print_plan([(job, ledger.decide(job)) for job in jobs], options, console)
        return tally
    with output_lock(options.output):
        try:
            _work(jobs, found, ledger, composer, options, console, tally)
        finally:  # an interrupted run says how far it got, too
            _print_summary(tally, time.monotonic() - start, composer, console)
    return tally


def _load(options: CropOptions, console: Console) -> Composer:
    from shotcrop_cli.model.composer import load_composer

    composer = load_composer(options.model, options.device)
    identity = composer.identity
    console.info(f"model {identity.id} ({identity.sha256[:12]}) runs on {identity.provider}")
    return composer


def _work(
    jobs: Sequence[Job],
    found: Discovery,
    ledger: Ledger,
    composer: Composer,
    options: CropOptions,
    console: Console,
    tally: Tally,
) -> None:
    report = _reporter(tally, options, console)
    for passed in found.unreadable:
        report(PhotoResult(passed.path, PhotoStatus.FAILED, reason=passed.reason))
    due: list[Job] = []
    for job in jobs:
        decision = ledger.decide(job)
        if decision.due:
            due.append(job)
            console.detail(f"{job.source.path}: to do, {decision.reason}")
        else:
            report(PhotoResult(job.source.path, PhotoStatus.UNCHANGED, job.sidecar, decision.crops))
    due = due[: options.limit]
    with console.progress(len(due)) as progress:

        def report_progress(photo: PhotoResult) -> None:
            report(photo)
            progress.advance()

        run(
            due,
            composer,
            RunContext(options.output, options.settings, composer.identity),
            workers=options.workers,
            batch_size=options.batch_size or _batch_size(composer),
            report=report_progress,
        )


def _reporter(tally: Tally, options: CropOptions, console: Console) -> Callable[[PhotoResult], None]:
    def report(photo: PhotoResult) -> None:
        tally.add(photo)
        if options.as_json:
            result(_json_line(photo))
        console.detail(f"{photo.source}: {photo.status}" + (f", {photo.reason}" if photo.reason else ""))

    return report


def _json_line(photo: PhotoResult) -> str:
    return json.dumps(
        {
            "source": str(photo.source),
            "status": str(photo.status),
            "sidecar": None if photo.sidecar is None else str(photo.sidecar),
            "crops": [str(crop) for crop in photo.crops],
            "reason": photo.reason or None,
        },
        ensure_ascii=False,
    )


def _print_plan(plan: Sequence[tuple[Job, Decision]], options: CropOptions, console: Console) -> None:
    due = [(job, decision) for job, decision in plan if decision.due][: options.limit]
    for job, decision in due:
        if options.as_json:
            crops = [str(crop) for crop in job.crops]
            planned = {"source": str(job.source.path), "status": "planned", "sidecar": str(job.sidecar)}
            result(json.dumps({**planned, "crops": crops, "reason": decision.reason}, ensure_ascii=False))
        else:
            shots = ",".join(map(str, SHOT_TYPES))
            target = job.folder / f"{job.source.path.name}.{{{shots}}}{job.suffix}"
            result(f"{job.source.path} -> {target} ({decision.reason})")
    unchanged = sum(not decision.due for _, decision in plan)
    console.info(f"dry run: {len(due)} to do, {unchanged} unchanged; nothing was written")


def _print_summary(tally: Tally, seconds: float, composer: Composer, console: Console) -> None:
    summary = tally.summary(seconds, composer.identity.provider)
    if not tally.failures:
        console.info(summary)
        return
    console.always(summary)
    for failure in tally.failures:
        console.always(f"failed: {failure.source}: {failure.reason}")


def _batch_size(composer: Composer) -> int:
    return _BATCH_SIZE_CPU if composer.identity.provider.lower().startswith("cpu") else _BATCH_SIZE_GPU


def _processors() -> int:
    # What this process may use, which a container or `taskset` makes fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
