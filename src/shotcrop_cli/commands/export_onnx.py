"""`shotcrop export-onnx`: from a training checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from shotcrop_cli import install_hint
from shotcrop_cli.cli.console import result
from shotcrop_cli.errors import ShotcropError

_COMPACT_ALONE = ("captions", "mirror", "int8", "calibrate_on", "words_from")
_LARGE_ALONE = ("precision", "coord_space", "think", "answer_tokens")
"""Flags that only one kind of model has, by the names that the command knows them by."""


@click.command("export-onnx")
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--photos",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of real photos on which torch and ONNX Runtime must agree.",
)
@click.option(
    "--limit",
    default=12,
    show_default=True,
    type=click.IntRange(min=1),
    help="Verify on at most so many photos.",
)
@click.option("--name", help="The model's name in sidecars. Default: shotcrop-nano, or OUT's name for a large model.")
@click.option(
    "--captions",
    type=click.Choice(["grounded", "free"]),
    default="grounded",
    show_default=True,
    help="Compact model: captions put into words from what it sees, or as it writes them.",
)
@click.option(
    "--mirror/--no-mirror",
    default=True,
    show_default=True,
    help="Compact model: ask it about each photo's mirror image, too: for better boxes, at twice the cost.",
)
@click.option(
    "--int8/--no-int8",
    default=False,
    show_default=True,
    help="Compact model: look at photos in 8-bit integers, for CPUs: in two thirds of the time, with boxes that move a "
    "little. Their range is taken from the photos: let there be 64 or more.",
)
@click.option(
    "--calibrate-on",
    metavar="DATASET",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Compact model: training set on whose held-back tenth scores are turned into probabilities.",
)
@click.option(
    "--words-from",
    metavar="DATASET",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Compact model: dataset from whose human captions it learns a few words for its own; may be given repeatedly.",
)
@click.option(
    "--decoder",
    type=click.Choice(["auto", "gqa", "concat"]),
    default="auto",
    show_default=True,
    help="How the decoder keeps its cache: in place, by ONNX Runtime's GroupQueryAttention, or concatenated, by "
    "standard operators, which TensorRT needs. auto is concat for the compact model, unless it writes captions, and "
    "gqa for large ones.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="Large models: numbers to store and compute with. fp32 is for CPUs, bf16 for GPUs, fp16 runs on both.",
)
@click.option(
    "--coord-space",
    type=click.Choice(["auto", "permille", "absolute", "location"]),
    default="auto",
    show_default=True,
    help="Large models: how boxes are written; auto is as the model was taught, or its family's habit.",
)
@click.option(
    "--think/--no-think",
    default=None,
    help="Large models: ask for reasoning before the answer, or not. Default: as the model was taught.",
)
@click.option(
    "--answer-tokens",
    type=click.IntRange(min=16),
    default=512,
    show_default=True,
    help="Large models: cut answers off that are longer.",
)
@click.pass_context
def export_onnx_command(
    ctx: click.Context,
    /,
    checkpoint: Path,
    out: Path,
    photos: Path,
    limit: int,
    name: str | None,
    captions: str,
    mirror: bool,
    int8: bool,
    calibrate_on: Path | None,
    words_from: tuple[Path, ...],
    decoder: str,
    precision: str,
    coord_space: str,
    think: bool | None,
    answer_tokens: int,
) -> None:
    """Export CHECKPOINT to the model folder OUT and verify it.

    The compact model, and large ones of the classes Qwen3-VL and Qwen2.5-VL; an adapter (LoRA) is merged first.
    """
    from shotcrop_cli.evaluation.dataset import read_dataset

    try:
        from shotcrop_cli.model.kv_cache import Caching
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_cli.model.large.manifest import Precision
        from shotcrop_export.large.checkpoint import is_large
        from shotcrop_export.large.export import LargeOptions, export_large
        from shotcrop_export.large.verify import LargeDifference
        from shotcrop_export.nano.export import export_nano
        from shotcrop_export.nano.verify import Difference
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"exporting needs the package '{error.name}'", hint=install_hint.add_extras("train", "export")
        ) from error

    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    chosen = sorted(path for path in photos.iterdir() if path.suffix.lower() in suffixes)[:limit]
    difference: LargeDifference | Difference
    caching = None if decoder == "auto" else Caching(decoder)
    if is_large(checkpoint):
        _refuse(ctx, _COMPACT_ALONE, "the compact model")
        space = None if coord_space == "auto" else CoordSpace(coord_space)
        options = LargeOptions(
            name or out.resolve().name,
            Precision(precision),
            space,
            think,
            answer_tokens,
            caching or Caching.IN_PLACE,
        )
        bundle, difference = export_large(checkpoint, out, chosen, options)
        tied = f" and {difference.tied_tokens} tied" if difference.tied_tokens else ""
    else:
        _refuse(ctx, _LARGE_ALONE, "large models")
        if calibrate_on is not None and not mirror:
            raise ShotcropError("scores are calibrated by two looks", hint="leave --no-mirror or --calibrate-on out")
        held = read_dataset(calibrate_on) if calibrate_on else ()
        told = [record for folder in words_from for record in read_dataset(folder)]
        bundle, difference = export_nano(
            checkpoint, out, chosen, name or "shotcrop-nano", captions, mirror, held, caching, int8, told
        )
        tied = ""
    megabytes = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1e6
    result(
        f"{bundle.folder}: {megabytes:.1f} MB, {difference.equal_tokens}/{difference.tokens} tokens equal{tied} over "
        f"{difference.answers} answers, logits apart by {difference.largest_logit_difference:.1e} at most"
    )


def _refuse(ctx: click.Context, names: tuple[str, ...], kind: str) -> None:
    """Refuse flags that the checkpoint's kind of model does not have.

    Raises:
        ShotcropError: One was given.
    """
    for name in names:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise ShotcropError(f"--{name.replace('_', '-')} is for {kind} alone", hint="leave it out")
