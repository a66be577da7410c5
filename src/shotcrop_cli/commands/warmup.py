"""`shotcrop warmup`: build engines and find the batch size before the first run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import Command
from shotcrop_cli.cli.options import batch_size_option, devices_option, model_options, verbosity_options
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import AnswerError

if TYPE_CHECKING:
    from PIL import Image

    from shotcrop_cli.model.multi_device import MultiDeviceComposer
    from shotcrop_cli.pipeline.batch_size import BatchSize


@click.command("warmup", cls=Command, example=("prepare two GPUs", "shotcrop warmup --device cuda:0,cuda:1"))
@model_options
@devices_option
@batch_size_option
@verbosity_options
def warmup_command(
    model: str | None,
    offline: bool,
    providers: tuple[str, ...],
    device: str,
    batch_size: int | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Prepare a GPU: build its engines and find its batch size.

    This loads the model and runs the batches that shotcrop crop will run. TensorRT builds its engines, and shotcrop
    finds the batch size that is fastest on the GPU. Later runs use both.

    Give the same --model, --device and --providers as in those runs.
    """
    from shotcrop_cli.model.cache import NO_FOLDER, cache_root
    from shotcrop_cli.model.load import find_model
    from shotcrop_cli.model.multi_device import load_on_devices
    from shotcrop_cli.pipeline.batch_size import choose_batch_size

    with Console(quiet=quiet, verbose=verbose) as console:
        bundle = find_model(model, offline=offline)
        kept, start = _times(cache_root()), time.perf_counter()
        composer = load_on_devices(bundle, device, providers, console)
        result(f"model {composer}, loaded in {time.perf_counter() - start:.1f} s", folded=True)
        tuned = choose_batch_size(composer, batch_size)
        _run_batches(composer, tuned, console)
        if tuned.is_automatic:
            composer.remember_batch_size(tuned.size // len(composer.devices))
    built = [path for path, changed in sorted(_times(cache_root()).items()) if kept.get(path) != changed]
    for path in built:
        result(f"built {path}", folded=True)
    if not built:
        folder = cache_root()
        result(
            "nothing is kept: this account has no home folder" if folder == NO_FOLDER else f"nothing new in {folder}"
        )


def _run_batches(composer: MultiDeviceComposer, tuned: BatchSize, console: Console) -> None:
    """Run batches until their size is final, then time that size and batches of one photo."""
    thumbnail, aspect = _portrait(composer)

    def seconds(size: int) -> float:
        start = time.perf_counter()
        answers = composer.compose([thumbnail] * size, [aspect] * size)
        taken = time.perf_counter() - start
        for error in {str(answer) for answer in answers if isinstance(answer, AnswerError)}:
            console.warn(f"no answer to a portrait: {error}")
        return taken

    while not tuned.is_final:
        tuned.observe(tuned.size, seconds(tuned.size))
    for size in dict.fromkeys((tuned.size, 1)):
        # The first batch of a size allocates memory, so the second one is what a run will see.
        rate = size / min(seconds(size), seconds(size))
        result(f"{size} photo{'' if size == 1 else 's'} at once: {rate:.1f} photos/s")


def _portrait(composer: MultiDeviceComposer) -> tuple[Image.Image, float]:
    """Return a portrait as the model sees it, and its aspect ratio."""
    from shotcrop_cli.checkup.inference import PORTRAIT
    from shotcrop_cli.imaging.decode import decode, read_source
    from shotcrop_cli.imaging.thumbnail import thumbnail

    photo = decode(read_source(PORTRAIT))
    return thumbnail(photo, composer.thumbnail_size), photo.width / photo.height


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; none if it does not exist or may not be read."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _times(folder: Path) -> dict[Path, int]:
    """Return the modification time of each file below a folder, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in _files(folder)}
