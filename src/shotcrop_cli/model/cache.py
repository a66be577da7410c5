"""Files that are kept between runs because they take long to make: TensorRT engines and the best batch size of a GPU.

The user may delete all of them at any time. Each model, version of ONNX Runtime and device has its own folder, because
files for one are wrong or slow for another.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from shotcrop_cli.errors import OutputError

_BATCH_SIZE = "batch-size"


NO_FOLDER = Path(os.devnull, "shotcrop")
"""Stands for the folder of a user without a home folder: nothing can be read from it or written to it."""


def cache_root() -> Path:
    """Return the folder of all kept files; it need not exist. `NO_FOLDER` for a user without a home folder."""
    from platformdirs import user_cache_path

    try:
        folder = user_cache_path("shotcrop")
    except RuntimeError:
        return NO_FOLDER
    return folder if folder.is_absolute() else NO_FOLDER  # older versions of platformdirs return a `~` as it is


def cache_folder(model: str, runtime: str, device_name: str) -> Path:
    """Return the folder of one model on one device; it need not exist.

    Args:
        model: The model's hash.
        runtime: The version of ONNX Runtime.
        device_name: The name of the device.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
    return cache_root() / f"{model[:16]}-onnxruntime-{runtime}-{readable}"


def make_engine_folder(folder: Path) -> None:
    """Create the folder for TensorRT engines. Failure is an error, because engines would be built again in every run.

    Raises:
        OutputError: The folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: TensorRT engines cannot be stored: {error.strerror}",
            hint="set XDG_CACHE_HOME to a writable folder",
        ) from error


def recall_batch_size(folder: Path) -> int | None:
    """Return the batch size that an earlier run found best; None if there is none."""
    try:
        text = (folder / _BATCH_SIZE).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if re.fullmatch(r"[1-9]\d{0,5}", text) else None


def remember_batch_size(folder: Path, size: int) -> None:
    """Keep a batch size for later runs. If it cannot be written, they find it out again."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        # Another run may read the file at this moment.
        temporary = folder / f"{_BATCH_SIZE}.{os.getpid()}"
        temporary.write_text(f"{size}\n", "ascii")
        temporary.replace(folder / _BATCH_SIZE)
