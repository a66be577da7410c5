"""Crop whole photo libraries: `crop_photos` and `apply_sidecars`. The commands `crop` and `apply` call these functions.

    options -> discover -> plan -> decide what is due -> pipeline.runner -> RunResult

The runs themselves are in `shotcrop_cli.runs`. To crop single photos in memory, use `shotcrop_cli.Cropper`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shotcrop_cli.library.results import Reporter, RunResult
from shotcrop_cli.library.source import Source
from shotcrop_cli.run_options import ApplyOptions, CropOptions, RecaptionOptions
from shotcrop_cli.runs.apply_run import ApplyRun
from shotcrop_cli.runs.caption_run import CaptionRun
from shotcrop_cli.runs.crop_model import CropModel
from shotcrop_cli.runs.crop_run import CropRun


def crop_photos(
    options: CropOptions,
    reporter: Reporter | None = None,
    *,
    model: CropModel | None = None,
    is_ready: Callable[[Source], bool] | None = None,
) -> RunResult:
    """Crop the photos of a library that are not up to date.

    A photo that fails does not end the run; its result says why. While this runs, Pillow's warnings are off in the
    whole process.

    Args:
        options: What to do.
        reporter: Receives the result of every photo while the run works; None to report nothing.
        model: The model that the options name, if several runs share it; None to find it.
        is_ready: Says of a photo that is due whether it may be cropped now; the others are left out. None for all.

    Returns:
        How the photos ended. A dry run counts what it would do.

    Raises:
        ShotcropError: The run cannot begin or go on; subclasses say why.
    """
    with _process_settings():
        run = CropRun(options, reporter or Reporter(), model, is_ready)
        try:
            return run.run()
        finally:
            run.close()


def apply_sidecars(options: ApplyOptions, reporter: Reporter | None = None) -> RunResult:
    """Write crops again as their sidecars, perhaps edited by hand, say. This needs no model.

    Args:
        options: What to do.
        reporter: Receives the result of every photo while the run works; None to report nothing.

    Returns:
        How the photos ended. A dry run counts those it would crop and those that cannot be cropped.

    Raises:
        ShotcropError: The run cannot begin or go on; subclasses say why.
    """
    with _process_settings():
        return ApplyRun(options, reporter or Reporter()).run()


def caption_sidecars(options: RecaptionOptions, reporter: Reporter | None = None) -> RunResult:
    """Let a captioner write the captions of finished crops. This needs no model and makes no crops.

    Captions that a person edited stay.

    Args:
        options: What to do.
        reporter: Receives the result of every photo while the run works; None to report nothing.

    Returns:
        How the photos ended: `DONE` if they got captions. A dry run counts those that would.

    Raises:
        InputError: The options name no endpoint.
        ShotcropError: The run cannot begin or go on; subclasses say why.
    """
    with _process_settings():
        return CaptionRun(options, reporter or Reporter()).run()


@contextmanager
def _process_settings() -> Iterator[None]:
    with warnings.catch_warnings():
        # Pillow warns about large pictures and odd metadata. Results report what matters of it.
        warnings.filterwarnings("ignore", module=r"PIL\..*")
        yield
