"""Flags that several commands share, so that they are named, typed and explained once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

VERBOSE_KEY = "shotcrop.verbose"
"""Where the context remembers `--verbose`, for errors that end a command."""


def model_option(command: Command) -> Command:
    """Add `-m/--model`; the command gets `model: str | None`."""
    return click.option(
        "-m", "--model", metavar="NAME|PATH|ORG/REPO", help="Model to use. Default: the one shipped within."
    )(command)


def device_option(command: Command) -> Command:
    """Add `--device`; the command gets `device: str`."""
    return click.option(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda[:N]",
        callback=_device,
        show_default=True,
        help="Where the model runs. A device that is named and cannot be had is an error.",
    )(command)


def batch_size_option(command: Command) -> Command:
    """Add `-b/--batch-size`; the command gets `batch_size: int | None`, None for auto."""
    return click.option(
        "-b",
        "--batch-size",
        default="auto",
        metavar="auto|N",
        callback=_batch_size,
        show_default=True,
        help="Photos per call of the model.",
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


def _device(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Check the spelling; whether the device can be had is the model's to say."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not auto, cpu, cuda or cuda:N.")
    return value


def _batch_size(_ctx: click.Context, _param: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not re.fullmatch(r"0*[1-9]\d*", value):
        raise click.BadParameter(f"{value!r} is neither auto nor a number above 0.")
    return int(value)


def _remember_verbose(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.meta[VERBOSE_KEY] = value
    return value
