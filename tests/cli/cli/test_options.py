from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from shotcrop_cli.cli.options import (
    batch_size_option,
    device_option,
    devices_option,
    json_option,
    log_options,
    model_options,
    verbosity_options,
)
from shotcrop_cli.errors import ExitCode


def _values(*arguments: str, code: ExitCode = ExitCode.OK) -> tuple[dict[str, Any], str]:
    """Return what a command with every shared option gets, and its output."""
    got: dict[str, Any] = {}

    @click.command()
    @model_options
    @device_option
    @batch_size_option
    @json_option
    @verbosity_options
    @log_options
    def command(**values: Any) -> None:
        got.update(values)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == code, result.output
    return got, result.output


def test_each_shared_option_has_its_default() -> None:
    assert _values()[0] == {
        "model": None,
        "offline": False,
        "providers": (),
        "device": "auto",
        "batch_size": None,
        "as_json": False,
        "quiet": False,
        "verbose": False,
        "log_file": None,
        "log_format": "text",
    }


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["-m", "./model"], "model", "./model"),
        (["--providers", "cuda, cpu"], "providers", ("cuda", "cpu")),
        (["--device", "cuda:1"], "device", "cuda:1"),
        (["-b", "08"], "batch_size", 8),
        (["-b", "auto"], "batch_size", None),
        (["--json"], "as_json", True),
        (["--log-file", "a.log"], "log_file", Path("a.log")),
        (["--log-format", "json"], "log_format", "json"),
    ],
)
def test_a_shared_option_arrives_typed(arguments: list[str], name: str, value: object) -> None:
    assert _values(*arguments)[0][name] == value


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--device", "gpu", "'gpu' is not auto, cpu, cuda or cuda:N"),
        ("--batch-size", "0", "'0' is neither auto nor a number above 0"),
        ("--batch-size", "some", "'some' is neither auto nor a number above 0"),
        ("--providers", "cuda,,cpu", "'cuda,,cpu' is not NAME or NAME,NAME"),
        ("--log-format", "xml", "'xml' is not one of"),
    ],
)
def test_a_wrong_value_is_a_usage_error_that_names_the_option(option: str, value: str, why: str) -> None:
    _, output = _values(option, value, code=ExitCode.USAGE)
    assert why in " ".join(output.split())
    assert option in output


def _devices(value: str) -> tuple[int, str, str]:
    """Return the exit code, what a command that takes several devices gets, and what is said."""
    got: list[str] = []

    @click.command()
    @devices_option
    def command(device: str) -> None:
        got.append(device)

    result = CliRunner().invoke(command, ["--device", value])
    return result.exit_code, "".join(got), result.output


@pytest.mark.parametrize("value", ["auto", "cpu", "cuda", "cuda:3", "cuda:0,cuda:1", "cuda,cuda:1", "cuda:all"])
def test_several_gpus_may_be_named(value: str) -> None:
    assert _devices(value)[:2] == (ExitCode.OK, value)


@pytest.mark.parametrize("value", ["gpu", "cpu,cuda", "cuda:0,cuda:all", "cuda:0,", "cpu:all", ""])
def test_devices_that_do_not_go_together_are_a_usage_error(value: str) -> None:
    code, got, output = _devices(value)
    assert (code, got) == (ExitCode.USAGE, "")
    assert "is not auto, cpu, cuda, cuda:N" in " ".join(output.split())
