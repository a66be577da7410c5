"""`shotcrop export-onnx`: from a training checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from shotcrop_cli.console import result
from shotcrop_cli.errors import ShotcropError

_COMPACT_ALONE = ("captions", "mirror")
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
    precision: str,
    coord_space: str,
    think: bool | None,
    answer_tokens: int,
) -> None:
    """Export CHECKPOINT to the model folder OUT and verify it.

    The compact model, and large ones of the classes Qwen3-VL and Qwen2.5-VL; an adapter (LoRA) is merged first.
    """
    try:
        from shotcrop_cli.model.answer import CoordSpace
        from shotcrop_cli.model.large.manifest import Precision
        from shotcrop_export.large.checkpoint import is_large
        from shotcrop_export.large.onnx import LargeOptions, export_large
        from shotcrop_export.large.verify import LargeDifference
        from shotcrop_export.onnx import export
        from shotcrop_export.verify import Difference
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"exporting needs the package '{error.name}'", hint="pip install 'shotcrop-cli[train,export,cpu]'"
        ) from error

    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    chosen = sorted(path for path in photos.iterdir() if path.suffix.lower() in suffixes)[:limit]
    difference: LargeDifference | Difference
    if is_large(checkpoint):
        _refuse(ctx, _COMPACT_ALONE, "the compact model")
        space = None if coord_space == "auto" else CoordSpace(coord_space)
        options = LargeOptions(name or out.resolve().name, Precision(precision), space, think, answer_tokens)
        bundle, difference = export_large(checkpoint, out, chosen, options)
        tied = f" and {difference.tied_tokens} tied" if difference.tied_tokens else ""
    else:
        _refuse(ctx, _LARGE_ALONE, "large models")
        bundle, difference = export(checkpoint, out, chosen, name or "shotcrop-nano", captions, mirror)
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
