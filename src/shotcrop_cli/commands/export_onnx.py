"""`shotcrop export-onnx`: export a training checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from shotcrop_cli import install_hint
from shotcrop_cli.cli.help import Command, option, option_group
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError

_LARGE_ONLY = ("decoder", "precision", "coord_space", "think", "answer_tokens")
"""Parameters for large models only."""
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "export-onnx",
    cls=Command,
    example=("export the compact model", "shotcrop export-onnx runs/grpo model --photos photos"),
)
@click.argument("checkpoint")
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
        "--limit",
        default=12,
        show_default=True,
        type=click.IntRange(min=1),
        metavar="N",
        help="Verify with at most N of them. The compact model's 8-bit detector is calibrated on up to 96.",
    ),
)
@option_group(
    "All models",
    option(
        "--name",
        metavar="NAME",
        help="The model's name in sidecars. Default: shotcrop-nano; for a large model the name of the folder OUT.",
    ),
)
@option_group(
    "Large models",
    option(
        "--decoder",
        type=click.Choice(["auto", "gqa", "concat"]),
        default="auto",
        show_default=True,
        help="How the decoder keeps its cache. gqa keeps it in place with GroupQueryAttention of ONNX Runtime; concat "
        "concatenates it with standard operators, as TensorRT needs. auto is gqa.",
    ),
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
    checkpoint: str,
    out: Path,
    photos: Path,
    limit: int,
    name: str | None,
    decoder: str,
    precision: str,
    coord_space: str,
    think: bool | None,
    answer_tokens: int,
) -> None:
    """Export a checkpoint to a model folder and verify it.

    CHECKPOINT is a run of a stage of the compact model, or a large model of the classes Qwen3-VL and Qwen2.5-VL: a
    folder, or ORG/REPO[@REVISION] on the model hub. An adapter (LoRA) is merged first. OUT is a new folder that
    shotcrop crop --model takes.
    """
    try:
        from shotcrop_cli.model.kv_cache import Caching
        from shotcrop_cli.model.large.answer import CoordSpace
        from shotcrop_cli.model.large.manifest import Precision
        from shotcrop_export.large.export import LargeExportOptions, export_large
        from shotcrop_export.nano.export import export_nano
        from shotcrop_train.checkpoints import find_checkpoint_folder
        from shotcrop_train.composer.nano_checkpoint import find_checkpoint
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"exporting needs the package '{error.name}'", hint=install_hint.add_extras("train", "export")
        ) from error

    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    chosen = sorted(path for path in photos.iterdir() if path.suffix.lower() in suffixes)
    folder = find_checkpoint_folder(checkpoint)
    if find_checkpoint(folder) is None:
        space = None if coord_space == "auto" else CoordSpace(coord_space)
        options = LargeExportOptions(
            name or out.resolve().name,
            Precision(precision),
            space,
            think,
            answer_tokens,
            Caching.IN_PLACE if decoder == "auto" else Caching(decoder),
        )
        bundle, large = export_large(folder, out, chosen[:limit], options)
        tied = f" and {large.tied_tokens} tied" if large.tied_tokens else ""
        agreement = (
            f"{large.equal_tokens}/{large.tokens} tokens equal{tied} over {large.answers} answers, "
            f"logits differ by at most {large.largest_logit_difference:.1e}"
        )
    else:
        _refuse(ctx, _LARGE_ONLY, "large models")
        bundle, small = export_nano(folder, out, chosen, name or "", verified=limit)
        agreement = (
            f"boxes of {small.photos} photos differ by at most {small.largest_box_difference:.1e}, "
            f"shots of the 8-bit detector agree by an IoU of {small.int8_agreement:.3f}"
        )
    megabytes = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1e6
    result(f"{bundle.folder}: {megabytes:.1f} MB, {agreement}", folded=True)


def _refuse(ctx: click.Context, names: tuple[str, ...], kind: str) -> None:
    """Refuse options for another kind of model.

    Raises:
        ShotcropError: One of them was given.
    """
    for name in names:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise ShotcropError(f"--{name.replace('_', '-')} is only for {kind}", hint="leave it out")
