"""What the machine lends to a run, and where files lie on it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.checkup.finding import Finding, Patient, gigabytes, note, ok
from shotcrop_cli.errors import OutputError
from shotcrop_cli.resources import memory_limit, physical_memory, processor_quota, usable_processors


def processors(_patient: Patient) -> Iterator[Finding]:
    """Tell how many processors may be used, which a container or `taskset` makes fewer than there are."""
    usable = usable_processors()
    yield ok("processors", f"{usable} of {os.cpu_count()} may be used")
    quota = processor_quota()
    if quota is not None and quota < usable:
        found = f"their time is limited to that of {quota:g}, by the control group"
        yield note("processors", found, f"use --jobs {max(1, round(quota))}")


def memory(_patient: Patient) -> Iterator[Finding]:
    """Tell how much memory may be used."""
    limit, physical = memory_limit(), physical_memory()
    if limit is not None and limit < physical:
        yield ok("memory", f"{gigabytes(limit)} of {gigabytes(physical)} may be used, by the control group")
    else:
        yield ok("memory", gigabytes(physical))


def gpus(_patient: Patient) -> Iterator[Finding]:
    """Tell which NVIDIA GPUs there are, by the numbers that `--device` gives them."""
    from shotcrop_cli.model.gpu import gpu_names

    if names := gpu_names():
        yield ok("GPUs", ", ".join(f"cuda:{index} {name}" for index, name in enumerate(names)))


def temporary_files(_patient: Patient) -> Iterator[Finding]:
    """Look for room for temporary files."""
    with temporary_folder() as folder:
        yield ok("temporary files", f"{folder.parent}, {gigabytes(shutil.disk_usage(folder).free)} free")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards.

    Raises:
        OutputError: There is no place for one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="shotcrop-doctor-")
    except OSError as error:
        raise OutputError(
            "no folder for temporary files can be written to", hint="export TMPDIR=FOLDER, one that can"
        ) from error
    with folder as name:
        yield Path(name)


def configuration(_patient: Patient) -> Iterator[Finding]:
    """Tell where defaults of flags come from."""
    from shotcrop_cli.cli.config import CONFIG_VARIABLE, LOCAL_FILE, user_file

    paths = [user_file(), LOCAL_FILE.absolute()]
    if named := os.environ.get(CONFIG_VARIABLE):
        paths.append(Path(named).expanduser().absolute())
    yield ok("configuration", ", ".join(f"{path} ({'is read' if path.exists() else 'none'})" for path in paths))


def model_cache(_patient: Patient) -> Iterator[Finding]:
    """Tell where models from the hub lie."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    offline = ", HF_HUB_OFFLINE forbids to fetch any" if constants.HF_HUB_OFFLINE else ""
    yield ok("model cache", f"{folder}{'' if folder.is_dir() else ' (none yet)'}{offline}")


def device_cache(_patient: Patient) -> Iterator[Finding]:
    """Tell where engines and batch sizes are kept."""
    from shotcrop_cli.model.cache import cache_root

    folder = cache_root()
    yield ok("device cache", f"{folder}{'' if folder.is_dir() else ' (none yet)'}")
