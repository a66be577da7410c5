"""Checks of processors, memory, GPUs and the folders that shotcrop uses."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.checkup.finding import Finding, Scope, gigabytes, note, ok, problem
from shotcrop_cli.errors import OutputError
from shotcrop_cli.resources import memory_limit, physical_memory, processor_quota, usable_processors


def processors(_scope: Scope) -> Iterator[Finding]:
    """Count the processors that a run may use; a container or `taskset` may limit them."""
    usable = usable_processors()
    yield ok("processors", f"{usable} of {os.cpu_count()} available")
    quota = processor_quota()
    if quota is not None and quota < usable:
        found = f"the control group limits them to the time of {quota:g}"
        yield note("processors", found, f"use --jobs {max(1, round(quota))}")


def memory(_scope: Scope) -> Iterator[Finding]:
    """Measure the memory that a run may use."""
    limit, physical = memory_limit(), physical_memory()
    if limit is not None and limit < physical:
        yield ok("memory", f"{gigabytes(limit)} of {gigabytes(physical)} available, as the control group allows")
    else:
        yield ok("memory", gigabytes(physical))


def gpus(_scope: Scope) -> Iterator[Finding]:
    """List the NVIDIA GPUs with the numbers that `--device` uses."""
    from shotcrop_cli.model.gpu import gpu_names

    if names := gpu_names():
        yield ok("GPUs", ", ".join(f"cuda:{index} {name}" for index, name in enumerate(names)))


def temporary_files(_scope: Scope) -> Iterator[Finding]:
    """Check the folder for temporary files."""
    with temporary_folder() as folder:
        yield ok("temporary files", f"{folder.parent}, {gigabytes(shutil.disk_usage(folder).free)} free")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder and remove it afterwards.

    Raises:
        OutputError: No folder for temporary files is writable.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="shotcrop-doctor-")
    except OSError as error:
        raise OutputError("no folder for temporary files is writable", hint="set TMPDIR to a folder that is") from error
    with folder as name:
        yield Path(name)


def configuration(scope: Scope) -> Iterator[Finding]:
    """List the configuration files, and say what is wrong with them."""
    from shotcrop_cli.cli.config import CONFIG_VARIABLE, LOCAL_FILE, user_file

    paths = [user_file(), _absolute(LOCAL_FILE)]
    if named := os.environ.get(CONFIG_VARIABLE):
        paths.append(_absolute(Path(os.path.expanduser(named))))  # noqa: PTH111 - this function never fails
    yield ok("configuration", ", ".join(f"{path} ({_access(path)})" for path in paths if path is not None))
    if (error := scope.bad_configuration) is not None:
        fix = error.hint or "correct this line, or delete it"
        yield problem("configuration", error.message, fix, error.exit_code)


def _absolute(path: Path) -> Path | None:
    """Return an absolute path; None in a folder that does not exist any more."""
    try:
        return path.absolute()
    except FileNotFoundError:
        return None


def _access(path: Path) -> str:
    try:
        with path.open("rb"):
            return "found"
    except (FileNotFoundError, NotADirectoryError):
        return "not found"
    except OSError as error:
        return f"not used: {error.strerror}"


def model_cache(_scope: Scope) -> Iterator[Finding]:
    """Name the folder of models from the hub."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    offline = ", HF_HUB_OFFLINE forbids downloads" if constants.HF_HUB_OFFLINE else ""
    yield ok("model cache", f"{folder}{_existence(folder)}{offline}")


def device_cache(_scope: Scope) -> Iterator[Finding]:
    """Name the folder of engines and batch sizes."""
    from shotcrop_cli.model.cache import NO_FOLDER, cache_root

    folder = cache_root()
    yield ok("device cache", f"{folder}{_existence(folder)}" if folder != NO_FOLDER else "none, without a home folder")


def _existence(folder: Path) -> str:
    # Path.is_dir raises an error if a parent folder is not accessible.
    return "" if os.path.isdir(folder) else " (does not exist yet)"  # noqa: PTH112
