"""`shotcrop crop`: crop photos of people into three shots."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.reporter import FirstFailure, Reporter, ReportOptions, tell_planned
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.library.discover import Discovery, discover
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.library.output_folder import add_roots, open_output
from shotcrop_cli.library.output_state import Ledger
from shotcrop_cli.library.plan import Decision, Job, Wanted, plan
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Tally
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.library.up_to_date import Index
from shotcrop_cli.model.lazy import LazyComposer
from shotcrop_cli.resources import usable_memory, usable_processors
from shotcrop_cli.shots import SHOT_TYPES, ShotType

if TYPE_CHECKING:
    from shotcrop_cli.model.multi_device import MultiDeviceComposer

_SHARE_FOR_PHOTOS = 4
"""Decoded photos may take a quarter of the memory, and do for the large batches that a GPU wants [O]."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, and where it runs.

    Args:
        name: Name, folder or hub id; None for the default.
        offline: Whether the hub is never asked.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, several of these GPUs with commas between, or `cuda:all`.
        providers: Execution providers to try in order, empty to choose by device.
        batch_size: Photos that each device is given at once, None to choose by device.
    """

    name: str | None = None
    offline: bool = False
    device: str = "auto"
    providers: tuple[str, ...] = ()
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class CropOptions:
    """What the user asked for.

    Args:
        selection: Which photos.
        output: Where the crops go.
        shots: The shots to cut.
        settings: What decides the look of the crops.
        template: What the crops are called.
        model: Which model, and where it runs.
        workers: Threads that decode, and as many that write.
        overwrite: Whether finished photos are done again.
        dry_run: Whether only to say what would be done.
        limit: How many photos to do at most, None for all.
        reproducible: Whether sidecars leave out when they were made and how long it took.
        wait: Seconds to wait for another run on the same output.
        report: What the user wants to be told.
    """

    selection: Selection
    output: Path
    shots: tuple[ShotType, ...]
    settings: CropSettings
    template: NameTemplate
    model: ModelOptions
    workers: int
    overwrite: bool
    dry_run: bool
    limit: int | None
    reproducible: bool
    wait: float
    report: ReportOptions


@click.command(
    "crop",
    cls=Command,
    example=("crop 20 photos to see how it looks", "shotcrop crop ~/photos -o ~/shots --limit 20"),
)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=click.Path(path_type=Path))
@option_group(
    "Output",
    option(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Folder for the crops. It gets the same subfolders as each PATH.",
    ),
    crop_options.dry_run_option,
    option("--overwrite", is_flag=True, help="Crop finished photos again, including crops you edited by hand."),
    crop_options.wait_option,
    crop_options.reproducible_option,
)
@crop_options.selection_options
@crop_options.look_options
@crop_options.review_options
@crop_options.model_group
@crop_options.report_options
@crop_options.message_options
@click.pass_context
def crop_command(ctx: click.Context, /, **values: Any) -> None:
    """Crop photos of people into an establishing, a medium and a close-up shot.

    PATH is a photo, a folder of photos or a quoted pattern such as '~/photos/**/*.jpg'. shotcrop never changes your
    photos.

    Run the same command again to continue an interrupted run. shotcrop skips finished photos unless the photo, the
    model or the options have changed.
    """
    options = CropOptions(
        selection=crop_options.to_selection(values),
        output=values["output"],
        shots=values["shots"] or SHOT_TYPES,
        settings=crop_options.to_settings(values),
        template=NameTemplate.parse(values["name_template"]),
        model=ModelOptions(
            name=values["model"],
            offline=values["offline"],
            device=values["device"],
            providers=values["providers"],
            batch_size=values["batch_size"],
        ),
        workers=values["jobs"] or usable_processors(),
        overwrite=values["overwrite"],
        dry_run=values["dry_run"],
        limit=values["limit"],
        reproducible=values["reproducible"],
        wait=values["wait"],
        report=crop_options.to_report_options(values),
    )
    with crop_options.to_console(values) as console:
        tally = crop(options, console)
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
    found = discover(options.selection, options.output)
    jobs = plan(found.sources, options.output, options.template, options.settings.format)
    gc.freeze()  # the jobs of a large library are no garbage, and looking for some among them takes long
    if not jobs:
        console.warn("no photos found")
    composer, model_sha256 = _find_model(options.model, console)
    wanted = Wanted(model_sha256, options.settings, options.shots)
    index = Index(options.output, wanted, options.template.text)
    if options.dry_run:
        ledger = Ledger(options.output, wanted, overwrite=options.overwrite, read_only=True, index=index)
        _print_plan(((job, ledger.decide(job)) for job in jobs), options, console)
        return Tally()
    with open_output(
        options.output, options.wait, lambda: console.info(f"waiting for another run on {options.output} to end")
    ):
        add_roots(options.output, found.roots)
        reporter = Reporter(options.report, console)
        ledger = Ledger(options.output, wanted, overwrite=options.overwrite, index=index)
        try:
            with suppress(FirstFailure):
                _work(jobs, found, ledger, composer, options, console, reporter)
        finally:  # an interrupted run says how far it got, too
            provider = composer.identity.provider if composer.loaded else "no model needed"
            reporter.close(time.monotonic() - start, provider)
    return reporter.tally


def _find_model(options: ModelOptions, console: Console) -> tuple[LazyComposer[MultiDeviceComposer], str]:
    """Return the model, not yet loaded, and its hash."""
    from shotcrop_cli.model.load import find_model
    from shotcrop_cli.model.multi_device import load_on_devices

    bundle = find_model(options.name, offline=options.offline)

    def load() -> MultiDeviceComposer:
        model = load_on_devices(bundle, options.device, options.providers, console)
        console.info(f"model {model}")
        return model

    return LazyComposer(load), bundle.sha256


def _work(
    jobs: Iterable[Job],
    found: Discovery,
    ledger: Ledger,
    composer: LazyComposer[MultiDeviceComposer],
    options: CropOptions,
    console: Console,
    reporter: Reporter,
) -> None:
    for passed in found.skipped:
        reporter.add(PhotoResult(passed.path, PhotoStatus.SKIPPED, reason=passed.reason))
    for passed in found.unreadable:
        reporter.add(PhotoResult(passed.path, PhotoStatus.FAILED, reason=passed.reason))
    due: list[Job] = []
    composes = False
    for job in jobs:
        decision = ledger.decide(job)
        if not decision.due:
            reporter.add_unchanged(job, decision)
        else:
            due.append(job)
            if options.limit is None or len(due) <= options.limit:
                composes |= decision.work.composes
                console.detail(f"{job.source.path}: to do, {decision.reason}")
    ledger.save()
    if due:
        _run(due, ledger, composer, options, console, reporter, composes=composes)


def _run(
    due: Sequence[Job],
    ledger: Ledger,
    composer: LazyComposer[MultiDeviceComposer],
    options: CropOptions,
    console: Console,
    reporter: Reporter,
    *,
    composes: bool,
) -> None:
    # With all that reads and writes pictures, which a run may not need.
    from shotcrop_cli.imaging.lossless import MISSING, is_installed
    from shotcrop_cli.pipeline.batch_size import Pace, pace_for
    from shotcrop_cli.pipeline.malloc import keep_freed_memory
    from shotcrop_cli.pipeline.runner import BYTES_PER_WORKER, run
    from shotcrop_cli.pipeline.task import RunContext, Task

    if options.settings.lossless and not is_installed():
        console.warn(MISSING)
    keep_freed_memory()  # before the model starts threads
    model = composer.composer if composes else None
    wanted = options.model.batch_size
    if wanted is None and model is not None:
        wanted = model.recall_batch_size()
    # Sums of floats depend in their last digits on what else is in a batch.
    pace = Pace(1) if options.reproducible else pace_for(model, wanted)
    byte_budget = usable_memory() // _SHARE_FOR_PHOTOS
    if model is None or model.on_cpu:
        byte_budget = min(byte_budget, options.workers * BYTES_PER_WORKER)
    waiting, share = iter(due), len(due) if options.limit is None else options.limit
    with console.progress(min(share, len(due))) as progress:

        def report(photo: PhotoResult) -> None:
            nonlocal share
            if photo.status is PhotoStatus.FAILED and options.limit is not None:
                share += 1
            else:
                progress.advance()
            reporter.add(photo)

        # As many again as have failed: or those that fail every night would be all that a limit ever lets through.
        while jobs := tuple(islice(waiting, share)):
            share = 0
            run(
                # Decided once more when their turn comes: records of 100,000 photos need not wait in memory.
                (Task(job, ledger.decide(job), options.settings) for job in jobs),
                composer,
                RunContext(options.output, reproducible=options.reproducible, min_score=options.report.min_score),
                workers=options.workers,
                batch_size=pace,
                report=report,
                byte_budget=byte_budget,
            )
    if model is not None and pace.learns and pace.settled:
        model.remember_batch_size(pace.size // len(model.devices))


def _print_plan(decisions: Iterable[tuple[Job, Decision]], options: CropOptions, console: Console) -> None:
    due = unchanged = 0
    for job, decision in decisions:
        if not decision.due:
            unchanged += 1
        elif options.limit is None or due < options.limit:
            due += 1
            tell_planned(job, decision, as_json=options.report.as_json)
    console.info(f"dry run: {due} to do, {unchanged} unchanged; nothing was written")
