"""The `shotcrop` command: sub-commands that load only when they run, and errors that become one line.

No command is imported to print `shotcrop --help`, so that it answers at once.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import FrameType

import click

from shotcrop_cli import __version__
from shotcrop_cli.cli.config import ENVIRONMENT_PREFIX, config_option, make_configurable, variable
from shotcrop_cli.cli.console import Console, console_of, hang_up, keep_stdout_for_results
from shotcrop_cli.cli.options import VERBOSE_KEY
from shotcrop_cli.errors import ExitCode, ShotcropError


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a sub-command lives, and its line in `shotcrop --help`."""

    module: str
    attribute: str
    short_help: str


COMMANDS: dict[str, LazyCommand] = {
    "crop": LazyCommand("crop", "crop_command", "Cut photos into establishing, medium and close-up shots."),
    "apply": LazyCommand("apply", "apply_command", "Cut photos again as their edited sidecars say."),
    "doctor": LazyCommand("doctor", "doctor_command", "Say what works on this machine, and mend the rest."),
    "warmup": LazyCommand("warmup", "warmup_command", "Prepare a device: build engines, find the batch size."),
    "sheet": LazyCommand("sheet", "sheet_command", "Draw photos and their shots as a contact sheet."),
    "eval": LazyCommand("eval", "eval_command", "Measure a model against expert triples."),
    "train": LazyCommand("train", "train_command", "Train a model, stage by stage."),
    "export-onnx": LazyCommand("export_onnx", "export_onnx_command", "Turn a checkpoint into a model folder."),
}


class ShotcropGroup(click.Group):
    """Imports a sub-command when it is called, and turns every error into a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the sub-commands, the most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a sub-command."""
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's table of sub-commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.short_help) for name, lazy in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the sub-command that was named."""
        code: int
        try:
            return super().invoke(ctx)
        except ShotcropError as error:
            _tell(ctx, str(error))
            code = error.exit_code
        except KeyboardInterrupt:
            _tell(ctx, "interrupted")
            code = ExitCode.INTERRUPTED
        except BrokenPipeError:
            code = ExitCode.BROKEN_PIPE  # `| head` stops the run, and nothing has failed
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click knows what to do with these
        except Exception as error:
            _tell(ctx, f"unforeseen {type(error).__name__}: {error} ({_keep_traceback()})")
            code = ExitCode.BUG
        raise click.exceptions.Exit(code)


@cache
def _load(name: str) -> click.Command:
    lazy = COMMANDS[name]
    command = getattr(import_module(f"shotcrop_cli.commands.{lazy.module}"), lazy.attribute)
    assert isinstance(command, click.Command)
    make_configurable(command, variable(ENVIRONMENT_PREFIX, name))
    return command


@click.group(
    cls=ShotcropGroup,
    params=[config_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="shotcrop")
def cli() -> None:
    """Turn photos of people into an establishing, a medium and a close-up shot each."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    keep_stdout_for_results()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell has it for jobs in the background
            signal.signal(number, _stop)
    try:
        cli(prog_name="shotcrop")
    finally:
        _flush()


def _stop(number: int, _frame: FrameType | None) -> None:
    """Let photos in flight be finished on the way out; who asks again wants it to end at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(ExitCode.TERMINATED)


def _flush() -> None:
    """Do what the interpreter does at exit, which would report trouble by a traceback and an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            hang_up(stream)
        except OSError as error:
            hang_up(stream)
            Console().error(f"{stream.name}: cannot be written: {error.strerror}")
            raise SystemExit(ExitCode.OUTPUT) from error


def _tell(ctx: click.Context, error: str) -> None:
    with console_of(ctx) as console:
        console.error(error)
    if ctx.meta.get(VERBOSE_KEY):
        click.echo(traceback.format_exc(), err=True)


def _keep_traceback() -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="shotcrop-traceback-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(traceback.format_exc())
    except OSError:
        return "run again with -v to see the traceback"
    return f"traceback in {file.name}, or with -v"


if __name__ == "__main__":
    main()
