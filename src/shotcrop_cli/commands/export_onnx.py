"""`shotcrop export-onnx`: from a training checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from shotcrop_cli.console import result
from shotcrop_cli.errors import ShotcropError


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
@click.option("--name", default="shotcrop-nano", show_default=True, help="The model's name in sidecars.")
@click.option(
    "--captions",
    type=click.Choice(["grounded", "free"]),
    default="grounded",
    show_default=True,
    help="Captions put into words from what the model sees, or as the model writes them.",
)
def export_onnx_command(checkpoint: Path, out: Path, photos: Path, limit: int, name: str, captions: str) -> None:
    """Export CHECKPOINT to the model folder OUT and verify it."""
    try:
        from shotcrop_export.onnx import export
    except ModuleNotFoundError as error:
        raise ShotcropError(
            f"exporting needs the package '{error.name}'", hint="pip install 'shotcrop-cli[train,export,cpu]'"
        ) from error

    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    chosen = sorted(path for path in photos.iterdir() if path.suffix.lower() in suffixes)[:limit]
    bundle, difference = export(checkpoint, out, chosen, name, captions)
    megabytes = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1e6
    result(
        f"{bundle.folder}: {megabytes:.1f} MB, {difference.equal_tokens}/{difference.tokens} tokens equal over "
        f"{difference.answers} answers, logits apart by {difference.largest_logit_difference:.1e} at most"
    )
