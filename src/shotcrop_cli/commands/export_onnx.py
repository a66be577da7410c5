"""`shotcrop export-onnx`: export a training checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from shotcrop_cli import install_hint
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError

_COMPACT_ONLY = ("captions", "flip", "int8", "calibrate_on", "tags_from")
_LARGE_ONLY = ("precision", "coord_space", "think", "answer_tokens")
"""Parameters for only one kind of model."""
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "export-onnx",
    cls=Command,
    example=("export with int8 graphs", "shotcrop export-onnx sft/final model --photos p --int8"),
)
@click.argument("checkpoint", type=_FOLDER)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@option_group(
    "Verification",
    option(
        "--photos",
        required=True,
        type=_FOLDER,
        metavar="DIR",
        help="Folder of real photos for which torch and ONNX Runtime must give the same answers.",
    ),
    option(
        "--limit", default=12, show_default=True, type=click.IntRange(min=1), metavar="N", help="Use at most N of them."
    ),
)
@option_group(
    "All models",
    option(
        "--name",
        metavar="NAME",
        help="The model's name in sidecars. Default: shotcrop-nano; for a large model the name of the folder OUT.",
    ),
    option(
        "--decoder",
        type=click.Choice(["auto", "gqa", "concat"]),
        default="auto",
        show_default=True,
        help="How the decoder keeps its cache. gqa keeps it in place with GroupQueryAttention of ONNX Runtime; concat "
        "concatenates it with standard operators, as TensorRT needs. auto is gqa for large models and for compact "
        "ones that write captions, otherwise concat.",
    ),
)
@option_group(
    "Compact model",
    option(
        "--captions",
        type=click.Choice(["grounded", "free"]),
        default="grounded",
        show_default=True,
        help="grounded builds captions from what the model detects; free lets the model write them.",
    ),
    option(
        "--flip/--no-flip",
        default=True,
        show_default=True,
        help="Average the answers for each photo and its mirror image (test-time flip augmentation). Boxes get better "
        "at twice the cost.",
    ),
    option(
        "--int8/--no-int8",
        default=False,
        show_default=True,
        help="Run the vision graph in 8-bit integers. On CPUs it takes two thirds of the time, and boxes move a "
        "little. The ranges come from the photos, so use 64 or more.",
    ),
    option(
        "--calibrate-on",
        metavar="DATASET",
        type=_FOLDER,
        help="Training set whose held-back tenth calibrates scores as probabilities.",
    ),
    option(
        "--tags-from",
        metavar="DATASET",
        multiple=True,
        type=_FOLDER,
        help="Dataset whose human captions train the predicted tags; repeatable.",
    ),
)
@option_group(
    "Large models",
    option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "bf16"]),
        default="fp32",
        show_default=True,
        help="Numbers to store and compute with: fp32 for CPUs, bf16 for GPUs, fp16 for both.",
    ),
    option(
        "--coord-space",
        type=click.Choice(["auto", "permille", "absolute", "location"]),
        default="auto",
        show_default=True,
        help="How the model writes boxes. auto takes what it was trained on, or else the default of its family.",
    ),
    option(
        "--think/--no-think",
        default=None,
        help="Ask for reasoning before the answer. Default: as in training.",
    ),
    option(
        "--answer-tokens",
        type=click.IntRange(min=16),
        default=512,
        show_default=True,
        metavar="N",
        help="Longest answer in tokens.",
    ),
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
    flip: bool,
    int8: bool,
    calibrate_on: Path | None,
    tags_from: tuple[Path, ...],
    decoder: str,
    precision: str,
    coord_space: str,
    think: bool | None,
    answer_tokens: int,
) -> None:
    """Export a checkpoint to a model folder and verify it.

    CHECKPOINT is a compact model, or a large one of the classes Qwen3-VL and Qwen2.5-VL. An adapter (LoRA) is merged
    first. OUT is a new folder that shotcrop crop --model takes.
    """
    from shotcrop_cli.evaluation.dataset import read_dataset

    try:
        from shotcrop_cli.model.kv_cache import Caching
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_cli.model.large.manifest import Precision
        from shotcrop_export.large.checkpoint import is_large
        from shotcrop_export.large.export import LargeExportOptions, export_large
        from shotcrop_export.large.verify import LargeDifference
        from shotcrop_export.nano.export import NanoExportOptions, export_nano
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
        _refuse(ctx, _COMPACT_ONLY, "the compact model")
        space = None if coord_space == "auto" else CoordSpace(coord_space)
        options = LargeExportOptions(
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
        _refuse(ctx, _LARGE_ONLY, "large models")
        if calibrate_on is not None and not flip:
            raise ShotcropError(
                "--calibrate-on needs the flip augmentation", hint="leave out --no-flip or --calibrate-on"
            )
        held = read_dataset(calibrate_on) if calibrate_on else ()
        captioned = [record for folder in tags_from for record in read_dataset(folder)]
        bundle, difference = export_nano(
            checkpoint,
            out,
            chosen,
            NanoExportOptions(name or "shotcrop-nano", captions, flip, held, caching, int8, captioned),
        )
        tied = ""
    megabytes = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1e6
    result(
        f"{bundle.folder}: {megabytes:.1f} MB, {difference.equal_tokens}/{difference.tokens} tokens equal{tied} over "
        f"{difference.answers} answers, logits differ by at most {difference.largest_logit_difference:.1e}",
        folded=True,
    )


def _refuse(ctx: click.Context, names: tuple[str, ...], kind: str) -> None:
    """Refuse options for another kind of model.

    Raises:
        ShotcropError: One of them was given.
    """
    for name in names:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise ShotcropError(f"--{name.replace('_', '-')} is only for {kind}", hint="leave it out")
