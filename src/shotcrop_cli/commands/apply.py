"""`shotcrop apply`: write crops again after their sidecars were edited."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from shotcrop_cli.cli import crop_options
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.reporter import FirstFailure, Reporter, ReportOptions, tell_planned
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.lossless import MISSING, is_installed
from shotcrop_cli.library.output_folder import open_output, read_roots
from shotcrop_cli.library.recut import is_pending, output_root, recut, sidecars_in
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Tally
from shotcrop_cli.model.lazy import LazyComposer
from shotcrop_cli.pipeline.malloc import keep_freed_memory
from shotcrop_cli.pipeline.runner import run
from shotcrop_cli.pipeline.task import RunContext, Task
from shotcrop_cli.resources import usable_processors

_IN_FLIGHT = 8
"""Photos that wait to be written while others are decoded [O]."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """What the user asked for.

    Args:
        paths: Sidecars, and folders of them.
        photos: Folders that photos are read from; empty for those that `crop` has recorded.
        workers: Threads that decode, and as many that write.
        dry_run: Whether only to say what would be done.
        reproducible: Whether sidecars leave out when they were made and how long it took.
        wait: Seconds to wait for another run on the same output.
        report: What the user wants to be told.
    """

    paths: tuple[Path, ...]
    photos: tuple[Path, ...]
    workers: int
    dry_run: bool
    reproducible: bool
    wait: float
    report: ReportOptions


@click.command("apply", cls=Command, example=("crop again where you edited a box", "shotcrop apply ~/shots"))
@click.argument("paths", nargs=-1, required=True, metavar="SIDECAR...", type=click.Path(exists=True, path_type=Path))
@option_group(
    "Photos and output",
    option(
        "--photos",
        multiple=True,
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Read photos only from this folder; repeatable. Default: where crop found them.",
    ),
    crop_options.dry_run_option,
    crop_options.wait_option,
    crop_options.reproducible_option,
    crop_options.jobs_option,
)
@crop_options.report_options
@crop_options.message_options
@click.pass_context
def apply_command(ctx: click.Context, /, **values: Any) -> None:
    """Write crops again after you edited their sidecars.

    To move a crop, edit the box of a shot in a sidecar, in whole pixels of the upright photo, and apply it. This needs
    no model.

    SIDECAR is such a file, or an output folder. Of a folder, shotcrop applies the sidecars with edited boxes or missing
    crops. Later runs of shotcrop crop keep your boxes unless you give --overwrite.
    """
    options = ApplyOptions(
        paths=values["paths"],
        photos=values["photos"],
        workers=values["jobs"] or usable_processors(),
        dry_run=values["dry_run"],
        reproducible=values["reproducible"],
        wait=values["wait"],
        report=crop_options.to_report_options(values),
    )
    with crop_options.to_console(values) as console:
        tally = apply(options, console)
    ctx.exit(tally.exit_code)


def apply(options: ApplyOptions, console: Console) -> Tally:
    """Cut what the sidecars say.

    Returns:
        How the photos ended; a dry run counts those that cannot be cut alone.

    Raises:
        ShotcropError: The run as a whole cannot go on.
    """
    start = time.monotonic()
    warnings.filterwarnings("ignore", module=r"PIL\..*")  # as in `crop`
    roots: dict[Path, list[Path]] = {}
    for path in options.paths:
        roots.setdefault(output_root(path), []).append(path)
    reporter = Reporter(options.report, console)
    try:
        with suppress(FirstFailure):
            for root, paths in roots.items():
                if options.dry_run:
                    _print_plan(root, paths, options, reporter)
                else:
                    _apply_below(root, paths, options, console, reporter)
    finally:
        reporter.close(time.monotonic() - start, "no model needed")
    return reporter.tally


def _apply_below(
    root: Path, paths: Iterable[Path], options: ApplyOptions, console: Console, reporter: Reporter
) -> None:
    def tasks() -> Iterator[Task]:
        told = is_installed()
        for planned in _plan(root, paths, options):
            if isinstance(planned, Task):
                if planned.settings.lossless and not told:
                    console.warn(MISSING)
                    told = True
                yield planned
            else:
                reporter.add(planned)

    keep_freed_memory()
    with open_output(root, options.wait, lambda: console.info(f"waiting for another run on {root} to end")):
        run(
            tasks(),
            LazyComposer(_no_model),
            RunContext(root, reproducible=options.reproducible),
            workers=options.workers,
            batch_size=_IN_FLIGHT,
            report=reporter.add,
        )


def _print_plan(root: Path, paths: Iterable[Path], options: ApplyOptions, reporter: Reporter) -> None:
    for planned in _plan(root, paths, options):
        if isinstance(planned, Task):
            tell_planned(planned.job, planned.decision, as_json=options.report.as_json)
        else:
            reporter.add(planned)


def _plan(root: Path, paths: Iterable[Path], options: ApplyOptions) -> Iterator[Task | PhotoResult]:
    """Yield what is to be cut, and what cannot be, each sidecar once."""
    photo_roots = options.photos or read_roots(root)
    done: set[Path] = set()
    for named in paths:
        for path in sidecars_in(named) if named.is_dir() else (named,):
            if (real := path.resolve()) in done:
                continue
            done.add(real)
            try:
                job, decision = recut(path, root, photo_roots)
            except (ShotcropError, FileNotFoundError) as error:
                yield PhotoResult(path, PhotoStatus.FAILED, reason=str(error).removeprefix(f"{path}: "))
                continue
            record = decision.record
            if record is not None and (not named.is_dir() or is_pending(job, decision)):
                yield Task(job, decision, record.settings)


def _no_model() -> NoReturn:
    raise AssertionError("what is on record needs no model")
