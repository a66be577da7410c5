"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli.cli.help import option

Command = TypeVar("Command", bound=Callable[..., Any])

LOG_FORMATS = ("text", "json")

VERBOSE_KEY = "shotcrop.verbose"
"""Key of `Context.meta` that keeps `--verbose` for the error that ends a command."""


def name_or_path(value: str) -> str:
    """Return the value of an option that takes a name or a path; see `means_path`."""
    return value


def means_path(value: str) -> bool:
    """Return whether a value of `name_or_path` can only be a path."""
    return value.startswith((".", "~", "/"))


def model_options(command: Command) -> Command:
    """Add `-m/--model`, `--offline` and `--providers`.

    The command gets `model: str | None`, `offline: bool` and `providers: tuple[str, ...]`.
    """
    command = option(
        "--providers",
        type=_names,
        default="",
        metavar="NAME,...",
        help="Execution providers of ONNX Runtime, the preferred one first. Default: those of --device.",
    )(command)
    command = option("--offline", is_flag=True, help="Use only models on this machine; do not ask the model hub.")(
        command
    )
    return model_option(command)


def model_option(command: Command) -> Command:
    """Add `-m/--model`; the command gets `model: str | None`."""
    return option(
        "-m",
        "--model",
        type=name_or_path,
        metavar="NAME|PATH|ORG/REPO",
        help="Model to use. Default: the one that comes with shotcrop.",
    )(command)


def device_option(command: Command) -> Command:
    """Add `--device`; the command gets `device: str`."""
    return option(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda[:N]",
        show_default=True,
        help="Where the model runs. If a device that you name is not available, that is an error.",
    )(command)


def devices_option(command: Command) -> Command:
    """Add `--device` for commands that can use several GPUs; the command gets `device: str`."""
    return option(
        "--device",
        type=_devices,
        default="auto",
        metavar="auto|cpu|cuda[:N],...",
        show_default=True,
        help="Where the model runs: cuda:0,cuda:1 uses both GPUs, cuda:all every GPU. If a device that you name is not "
        "available, that is an error.",
    )(command)


def batch_size_option(command: Command) -> Command:
    """Add `-b/--batch-size`; the command gets `batch_size: int | None`, None for auto."""
    return option(
        "-b",
        "--batch-size",
        type=_batch_size,
        default="auto",
        metavar="auto|N",
        show_default=True,
        help="Photos that each device gets at once. auto finds the fastest number for a GPU.",
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`; the command gets `as_json: bool`."""
    return option("--json", "as_json", is_flag=True, help="Print results as JSON on stdout.")(command)


def verbosity_options(command: Command) -> Command:
    """Add `-q/--quiet` and `-v/--verbose`; the command gets `quiet: bool` and `verbose: bool`."""
    command = option(
        "-v",
        "--verbose",
        is_flag=True,
        is_eager=True,
        callback=_remember_verbose,
        help="Also print the result of every photo, the model, its device, and the traceback of a bug.",
    )(command)
    return option("-q", "--quiet", is_flag=True, help="Print only warnings and errors.")(command)


def log_options(command: Command) -> Command:
    """Add `--log-file` and `--log-format`; the command gets `log_file: Path | None` and `log_format: str`."""
    command = option(
        "--log-format",
        type=click.Choice(LOG_FORMATS),
        default=LOG_FORMATS[0],
        show_default=True,
        help="Format of the log file; without one, of the messages on stderr.",
    )(command)
    return option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Append all messages and the result of every photo to FILE, even with --quiet.",
    )(command)


def _device(value: str) -> str:
    """Check the spelling; loading the model finds out whether the device is available."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not auto, cpu, cuda or cuda:N.")
    return value


def _devices(value: str) -> str:
    """Check the spelling of one or several devices."""
    if not re.fullmatch(r"auto|cpu|cuda:all|cuda(:\d+)?(,cuda(:\d+)?)*", value):
        raise click.BadParameter(f"{value!r} is not auto, cpu, cuda, cuda:N, several of these GPUs, or cuda:all.")
    return value


def _batch_size(value: str) -> int | None:
    if value == "auto":
        return None
    if not re.fullmatch(r"0*[1-9]\d*", value):
        raise click.BadParameter(f"{value!r} is neither auto nor a number above 0.")
    return int(value)


def _names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",")) if value else ()
    if not all(names):
        raise click.BadParameter(f"{value!r} is not NAME or NAME,NAME.")
    return names


def _remember_verbose(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.meta[VERBOSE_KEY] = value
    return value
