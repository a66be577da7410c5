"""From a checkpoint of the compact model to a model folder: two graphs, the manifest and the export record."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.model.bundle import DETECTOR_FILES, MANIFEST, Bundle, file_sha256, read_bundle
from shotcrop_cli.model.nano.manifest import COMPOSER, DETECTOR, DETECTOR_INT8, NanoManifest
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_export.nano.graphs import export_composer, export_detector
from shotcrop_export.nano.quantise import quantise_detector
from shotcrop_export.nano.verify import LEAST_AGREEMENT, Difference, agreement_of, verify
from shotcrop_export.record import OPSET, put_in_place, versions, write_record
from shotcrop_train.composer.composer_run import figures_of
from shotcrop_train.composer.nano_checkpoint import find_checkpoint, load_members, networks_of, read_manifest
from shotcrop_train.data.samples import load_photo
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.train_detector import load_detector

CALIBRATION_PHOTOS = 96
"""Most photos that the 8-bit detector is calibrated on. With 96 photos of the training set, it found 0.777 of the heads
in others, and the detector in single precision 0.784."""


def export_nano(
    run: Path, target: Path, photos: Sequence[Path], name: str = "", *, verified: int | None = None
) -> tuple[Bundle, Difference]:
    """Write a model folder and verify it against torch before it gets its name.

    The folder gets a detector in 8-bit integers, too, unless its shots differ too much; see `LEAST_AGREEMENT`.

    Args:
        run: Run folder of a stage of the composer, or its checkpoint.
        target: Folder to write; it must not exist, or be an older model folder.
        photos: Real photos to calibrate and verify with.
        name: The model's name in sidecars; empty for that of the checkpoint.
        verified: Number of photos to verify with; None for all.

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
        record: dict[str, Any] = {"sha256": {file: file_sha256(folder / file) for file in DETECTOR_FILES}}
        write_record(folder, record)
        chosen = photos[:verified]
        difference = verify(detector, networks, read_bundle(folder), chosen)
        difference = _add_int8(detector, folder, record, photos, difference)
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


def _add_int8(
    detector: DetectorNetwork, folder: Path, record: dict[str, Any], photos: Sequence[Path], difference: Difference
) -> Difference:
    """Add the detector in 8-bit integers to a folder unless its shots differ too much, and note how well they agree."""
    plain = read_bundle(folder)
    assert isinstance(plain.manifest, NanoManifest)
    side = plain.manifest.image_size
    chosen = photos[:: -(-len(photos) // CALIBRATION_PHOTOS)]
    squashed = np.stack([np.asarray(squash(load_photo(path), side)) for path in chosen])
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        single = Path(scratch) / DETECTOR
        export_detector(detector, single, side, halve=False)
        quantise_detector(single, folder / DETECTOR_INT8, squashed)
    hashes = record["sha256"]
    write_record(folder, {**record, "sha256": {**hashes, DETECTOR_INT8: file_sha256(folder / DETECTOR_INT8)}})
    agreement = agreement_of(plain, read_bundle(folder), chosen)
    if agreement >= LEAST_AGREEMENT:
        hashes[DETECTOR_INT8] = file_sha256(folder / DETECTOR_INT8)
    else:
        (folder / DETECTOR_INT8).unlink()
    write_record(folder, record)
    return replace(difference, int8_agreement=round(agreement, 4))
