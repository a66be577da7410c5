"""The `shotcrop` command: sub-commands that load only when they run, and errors that become one line.

No command is imported to print `shotcrop --help`, so that it answers at once.
"""

from __future__ import annotations

import signal
import tempfile
import traceback
from dataclasses import dataclass
from importlib import import_module
from types import FrameType

import click

from shotcrop_cli import __version__
from shotcrop_cli.console import Console
from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.options import VERBOSE_KEY


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a sub-command lives, and its line in `shotcrop --help`."""

    module: str
    attribute: str
    short_help: str


COMMANDS: dict[str, LazyCommand] = {
    "crop": LazyCommand("crop", "crop_command", "Cut photos into establishing, medium and close-up shots."),
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
        if (lazy := COMMANDS.get(cmd_name)) is None:
            return None
        command = getattr(import_module(f"shotcrop_cli.commands.{lazy.module}"), lazy.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's table of sub-commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.short_help) for name, lazy in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the sub-command that was named."""
        try:
            return super().invoke(ctx)
        except ShotcropError as error:
            Console().error(str(error))
            _show_traceback_if_verbose(ctx)
            code = error.exit_code
        except KeyboardInterrupt:
            Console().error("interrupted")
            code = ExitCode.INTERRUPTED
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do with these
        except Exception as error:
            Console().error(f"unforeseen {type(error).__name__}: {error} ({_keep_traceback()})")
            _show_traceback_if_verbose(ctx)
            code = ExitCode.BUG
        raise click.exceptions.Exit(code)


@click.group(
    cls=ShotcropGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SHOTCROP"},
)
@click.version_option(__version__, prog_name="shotcrop")
def cli() -> None:
    """Turn photos of people into an establishing, a medium and a close-up shot each."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    cli(prog_name="shotcrop")


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # Like SIGINT's KeyboardInterrupt, this lets photos in flight be finished on the way out.
    raise SystemExit(ExitCode.TERMINATED)


def _show_traceback_if_verbose(ctx: click.Context) -> None:
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
