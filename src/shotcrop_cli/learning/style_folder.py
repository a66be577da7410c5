"""The folder of a model with a style: the files of the model it was learned for, and a manifest with the style."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from shotcrop_cli.errors import ModelError, OutputError
from shotcrop_cli.model.bundle import EXPORT_RECORD, MANIFEST, Bundle, file_sha256, read_bundle
from shotcrop_cli.model.nano.manifest import NanoManifest, Style

RECORD_KEY = "style"
"""Key of the export record that says what a style was learned from."""


@dataclass(frozen=True)
class StyleRecord:
    """What a style was learned from, and what it is worth.

    Args:
        photos: Photos with boxes that a person set or kept.
        boxes: Such boxes.
        before: Mean IoU of the model without the style, in cross-validation.
        after: Mean IoU with it.
    """

    photos: int
    boxes: int
    before: float
    after: float


def read_style_record(folder: Path) -> StyleRecord | None:
    """Return what the style in a folder was learned from; None if the folder does not exist.

    Raises:
        OutputError: The folder is something else than a model with a style.
    """
    if not os.path.lexists(folder):
        return None
    try:
        bundle = read_bundle(folder)
        record = json.loads((folder / EXPORT_RECORD).read_bytes())
        if isinstance(bundle.manifest, NanoManifest) and bundle.manifest.style.shots:
            return StyleRecord(**record[RECORD_KEY])
    except (ModelError, ValueError, KeyError, TypeError, OSError):
        pass
    raise OutputError(f"{folder} exists and is no style of shotcrop", hint="choose another --output")


def write_style(base: Bundle, style: Style, record: StyleRecord, target: Path) -> Bundle:
    """Write the folder of a model with a style, whole or not at all. A style that is there gives way.

    Args:
        base: The model that the style was learned for.
        style: The style.
        record: What it was learned from.
        target: The folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    assert isinstance(base.manifest, NanoManifest)
    target = Path(os.path.abspath(target))  # noqa: PTH100 - a link to a folder stays one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".shotcrop-style-") as scratch:
            folder = Path(scratch) / "model"
            folder.mkdir(mode=0o755)
            for name in (*base.hashes, EXPORT_RECORD):
                if name != MANIFEST:
                    shutil.copyfile(base.path(name), folder / name)
            manifest = replace(base.manifest, name=target.name, style=replace(style, base=base.sha256))
            (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
            content = json.loads((folder / EXPORT_RECORD).read_bytes())
            content["sha256"] = {**content["sha256"], MANIFEST: file_sha256(folder / MANIFEST)}
            content[RECORD_KEY] = vars(record)
            (folder / EXPORT_RECORD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            if target.exists():
                target.rename(Path(scratch) / "old")
            folder.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}", hint="choose another --output") from error
    return read_bundle(target)
