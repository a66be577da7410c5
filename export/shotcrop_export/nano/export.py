"""From a checkpoint of the compact model to a model folder: two graphs, the manifest and the export record."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.model.bundle import DETECTOR_FILES, MANIFEST, Bundle, file_sha256, read_bundle
from shotcrop_cli.model.nano.manifest import COMPOSER, DETECTOR
from shotcrop_export.nano.graphs import export_composer, export_detector
from shotcrop_export.nano.verify import Difference, verify
from shotcrop_export.record import OPSET, put_in_place, versions, write_record
from shotcrop_train.composer.composer_run import figures_of
from shotcrop_train.composer.nano_checkpoint import find_checkpoint, load_members, networks_of, read_manifest
from shotcrop_train.train_detector import load_detector


def export_nano(run: Path, target: Path, photos: Sequence[Path], name: str = "") -> tuple[Bundle, Difference]:
    """Write a model folder and verify it against torch before it gets its name.

    Args:
        run: Run folder of a stage of the composer, or its checkpoint.
        target: Folder to write; it must not exist, or be an older model folder.
        photos: Real photos to verify with.
        name: The model's name in sidecars; empty for that of the checkpoint.

    Returns:
        The model folder, and the measured difference between torch and ONNX Runtime.

    Raises:
        ShotcropError: The checkpoint cannot be read, the target is something else, or the two differ.
    """
    if target.exists() and not (target / MANIFEST).is_file():
        raise OutputError(f"{target} exists and is not a model folder", hint="give a folder that does not exist yet")
    checkpoint = find_checkpoint(run)
    if checkpoint is None:
        raise ShotcropError(f"{run} holds no compact model", hint="name the folder of a run of `shotcrop train sft`")
    manifest = read_manifest(checkpoint)
    detector, networks = load_detector(checkpoint), networks_of(load_members(checkpoint))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir(mode=0o755)
        manifest = replace(manifest, name=name or manifest.name)
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        export_detector(detector, folder / DETECTOR, manifest.image_size)
        export_composer(networks, folder / COMPOSER)
        record: dict[str, object] = {"sha256": {file: file_sha256(folder / file) for file in DETECTOR_FILES}}
        write_record(folder, record)
        difference = verify(detector, networks, read_bundle(folder), photos)
        record |= {
            "versions": versions(),
            "opset": OPSET,
            "networks": len(networks),
            "figures": figures_of(checkpoint.parent),
            "torch_onnx_difference": difference.to_dict(),
        }
        write_record(folder, record)
        put_in_place(folder, target)
    return read_bundle(target), difference
