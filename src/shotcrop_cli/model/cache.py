"""What is kept between runs because it takes long to find out: TensorRT's engines, and how many photos suit a GPU.

All of it may be deleted at any time. Each model, version of ONNX Runtime and device has a folder of its own, since what
was made for one is wrong or slow for another.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from shotcrop_cli.errors import OutputError

_BATCH_SIZE = "batch-size"


def cache_root() -> Path:
    """Return the folder of everything that is kept; it need not exist."""
    from platformdirs import user_cache_path

    return user_cache_path("shotcrop")


def cache_folder(model: str, runtime: str, place: str) -> Path:
    """Return the folder of one model on one device; it need not exist.

    Args:
        model: The model's hash.
        runtime: Version of ONNX Runtime.
        place: What the device is called.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", place.lower()).strip("-")
    return cache_root() / f"{model[:16]}-onnxruntime-{runtime}-{readable}"


def make_folder(folder: Path) -> None:
    """Make a folder that engines are kept in: nobody should build them anew in every run without knowing.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: TensorRT's engines cannot be kept: {error.strerror}",
            hint="let XDG_CACHE_HOME name a folder that can be written to",
        ) from error


def recall_batch_size(folder: Path) -> int | None:
    """Return the batch size that an earlier run settled on, None when none did."""
    try:
        text = (folder / _BATCH_SIZE).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if re.fullmatch(r"[1-9]\d{0,5}", text) else None


def remember_batch_size(folder: Path, size: int) -> None:
    """Keep a batch size for later runs; where nothing can be written, they find it out anew."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        # Another run may read it at this moment.
        temporary = folder / f"{_BATCH_SIZE}.{os.getpid()}"
        temporary.write_text(f"{size}\n", "ascii")
        temporary.replace(folder / _BATCH_SIZE)
