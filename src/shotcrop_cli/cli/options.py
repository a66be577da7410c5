"""Flags that several commands share, so that they are named, typed and explained once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli.cli.log import LOG_FORMATS

Command = TypeVar("Command", bound=Callable[..., Any])

VERBOSE_KEY = "shotcrop.verbose"
"""Where the context remembers `--verbose`, for errors that end a command."""


def name_or_path(value: str) -> str:
    """Return the value of a flag that names something or is a path; `means_path` tells which."""
    return value


def means_path(value: str) -> bool:
    """Tell whether a value of `name_or_path` can only be a path."""
    return value.startswith((".", "~", "/"))


def model_options(command: Command) -> Command:
    """Add `-m/--model`, `--offline` and `--providers`.

    The command gets `model: str | None`, `offline: bool` and `providers: tuple[str, ...]`.
    """
    command = click.option(
        "--providers",
        type=_names,
        default="",
        metavar="NAME,...",
        help="Execution providers of ONNX Runtime, by preference. Default: as --device says.",
    )(command)
    command = click.option(
        "--offline", is_flag=True, help="Never ask the model hub, only use what is on this machine."
    )(command)
    return model_option(command)


def model_option(command: Command) -> Command:
    """Add `-m/--model`; the command gets `model: str | None`."""
    return click.option(
        "-m",
        "--model",
        type=name_or_path,
        metavar="NAME|PATH|ORG/REPO",
        help="Model to use. Default: the one shipped within.",
    )(command)


def device_option(command: Command) -> Command:
    """Add `--device`; the command gets `device: str`."""
    return click.option(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda[:N]",
        show_default=True,
        help="Where the model runs. A device that is named and cannot be had is an error.",
    )(command)


def devices_option(command: Command) -> Command:
    """Add `--device` for commands that can use several GPUs; the command gets `device: str`."""
    return click.option(
        "--device",
        type=_devices,
        default="auto",
        metavar="auto|cpu|cuda[:N],...",
        show_default=True,
        help="Where the model runs: cuda:0,cuda:1 on both, cuda:all on every GPU. A device that is named and cannot be "
        "had is an error.",
    )(command)


def batch_size_option(command: Command) -> Command:
    """Add `-b/--batch-size`; the command gets `batch_size: int | None`, None for auto."""
    return click.option(
        "-b",
        "--batch-size",
        type=_batch_size,
        default="auto",
        metavar="auto|N",
        show_default=True,
        help="Photos that each device is given at once. auto: on a GPU, as many as make it faster.",
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`; the command gets `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print results as JSON on stdout.")(command)


def verbosity_options(command: Command) -> Command:
    """Add `-q/--quiet` and `-v/--verbose`; the command gets `quiet: bool` and `verbose: bool`."""
    command = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        is_eager=True,
        callback=_remember_verbose,
        help="Say more, and show where unforeseen errors come from.",
    )(command)
    return click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")(command)


def log_options(command: Command) -> Command:
    """Add `--log-file` and `--log-format`; the command gets `log_file: Path | None` and `log_format: str`."""
    command = click.option(
        "--log-format",
        type=click.Choice(LOG_FORMATS),
        default=LOG_FORMATS[0],
        show_default=True,
        help="Format of the log file; without one, of what is said on stderr.",
    )(command)
    return click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Append to FILE what is said and what becomes of every photo, however quiet the run.",
    )(command)


def _device(value: str) -> str:
    """Check the spelling; whether the device can be had is the model's to say."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not auto, cpu, cuda or cuda:N.")
    return value


def _devices(value: str) -> str:
    """Check the spelling, as `_device` does."""
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
