"""The `shotcrop` command: imports a subcommand when it runs, and prints every error as one line.

`shotcrop --help` imports no subcommand, so it is fast.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from shotcrop_cli import __version__
from shotcrop_cli.cli.config import ENVIRONMENT_PREFIX, config_option, make_configurable, variable
from shotcrop_cli.cli.help import Group
from shotcrop_cli.cli.options import VERBOSE_KEY
from shotcrop_cli.cli.streams import hang_up, keep_stdout_for_results
from shotcrop_cli.errors import NO_CURRENT_FOLDER, ExitCode, ShotcropError, with_fix


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """The module of a subcommand, and its line in `shotcrop --help`.

    Args:
        section: Title above it in the help page.
        short_help: First sentence of its own help page.
    """

    section: str
    module: str
    attribute: str
    short_help: str


_EVERYDAY, _SETUP, _TRAINING = "Everyday commands", "Setup", "Training"
COMMANDS: dict[str, LazyCommand] = {
    "crop": LazyCommand(
        _EVERYDAY,
        "crop",
        "crop_command",
        "Crop photos of people into an establishing, a medium and a close-up shot.",
    ),
    "apply": LazyCommand(_EVERYDAY, "apply", "apply_command", "Write crops again after you edited their sidecars."),
    "caption": LazyCommand(_EVERYDAY, "caption", "caption_command", "Write the captions of finished crops again."),
    "review": LazyCommand(
        _EVERYDAY,
        "review",
        "review_command",
        "Review crops in the browser: correct boxes and captions, keep and reject crops.",
    ),
    "learn": LazyCommand(_EVERYDAY, "learn", "learn_command", "Learn your style from the boxes that you corrected."),
    "sheet": LazyCommand(
        _EVERYDAY, "sheet", "sheet_command", "Draw photos and their crops on pages, as pictures or as a PDF."
    ),
    "motion": LazyCommand(
        _EVERYDAY,
        "motion",
        "motion_command",
        "Make a video clip of each photo, in which a camera goes from shot to shot.",
    ),
    "export": LazyCommand(
        _EVERYDAY, "export", "export_command", "Write boxes, captions and scores for other programs."
    ),
    "prune": LazyCommand(
        _EVERYDAY,
        "prune",
        "prune_command",
        "List the crops of photos that are gone, and delete them if you ask for it.",
    ),
    "doctor": LazyCommand(_SETUP, "doctor", "doctor_command", "Check this machine and name a fix for each problem."),
    "warmup": LazyCommand(
        _SETUP, "warmup", "warmup_command", "Prepare a GPU: build its engines and find its batch size."
    ),
    "completion": LazyCommand(
        _SETUP,
        "completion",
        "completion_command",
        "Print the script that completes commands and options in your shell.",
    ),
    "train": LazyCommand(_TRAINING, "train", "train_command", "Train a model, stage by stage or in one run."),
    "eval": LazyCommand(_TRAINING, "eval", "eval_command", "Score a model on photos that experts cropped."),
    "export-onnx": LazyCommand(
        _TRAINING, "export_onnx", "export_onnx_command", "Export a checkpoint to a model folder and verify it."
    ),
}


class ShotcropGroup(Group):
    """Imports a subcommand when it runs, and turns every error into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the subcommands in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table of subcommands for each section, without importing any."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, lazy in COMMANDS.items():
            sections.setdefault(lazy.section, []).append((f"{name:{_NAME_WIDTH}}", lazy.short_help))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the subcommand."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _exit_for_usage(ctx, error)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; for an unknown one, ask for a similar name."""
        from difflib import get_close_matches

        if args[0] in COMMANDS or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = get_close_matches(args[0], COMMANDS, n=1)
        ctx.fail(f"there is no command '{args[0]}'" + (f"; did you mean '{close[0]}'?" if close else ""))

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand."""
        code: int
        try:
            return super().invoke(ctx)
        except ShotcropError as error:
            _report(ctx, str(error))
            code = error.exit_code
        except KeyboardInterrupt:
            _report(ctx, "interrupted; to continue, run the same command again")
            code = ExitCode.INTERRUPTED
        except BrokenPipeError:
            code = ExitCode.BROKEN_PIPE  # `| head` stops the run, which is no error
        except click.UsageError as error:
            _exit_for_usage(ctx, error)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click handles these
        except Exception as error:
            if isinstance(error, FileNotFoundError) and _is_current_folder_gone():
                _report(ctx, with_fix(NO_CURRENT_FOLDER, "change to a folder that exists"))
                raise click.exceptions.Exit(ExitCode.USAGE) from None
            _report(ctx, f"unexpected {type(error).__name__}: {error}. {_keep_traceback()}")
            if ctx.meta.get(VERBOSE_KEY):
                click.echo(traceback.format_exc(), err=True)
            code = ExitCode.BUG
        raise click.exceptions.Exit(code)


_NAME_WIDTH = max(map(len, COMMANDS))
"""Pads the names, so that the tables of all sections align."""


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
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    example=("crop a folder of photos", "shotcrop crop ~/photos -o ~/shots"),
)
@click.version_option(__version__, prog_name="shotcrop", help="Print the version.")
def cli() -> None:
    """Crop photos of people into an establishing, a medium and a close-up shot."""


def main() -> None:
    """Run the command line and exit with its exit code."""
    keep_stdout_for_results()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a shell ignores SIGINT for background jobs
            signal.signal(number, _stop)
    try:
        cli(prog_name="shotcrop")
    finally:
        _flush()


def _stop(number: int, _frame: FrameType | None) -> None:
    """End the run after the photos in flight; a second signal ends it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(ExitCode.TERMINATED)


def _flush() -> None:
    """Flush the streams here, since the interpreter would report an error with a traceback and exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            hang_up(stream)
        except OSError as error:
            hang_up(stream)
            from shotcrop_cli.cli.console import Console

            Console().error(f"{stream.name}: cannot be written: {error.strerror}")
            raise SystemExit(ExitCode.OUTPUT) from error


def _exit_for_usage(ctx: click.Context, error: click.UsageError) -> NoReturn:
    """Report a usage error in one line, unless it only asks for the help page."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        raise error
    path = error.ctx.command_path if error.ctx else "shotcrop"
    _report(ctx, with_fix(error.format_message(), f"see {path} --help"))
    raise click.exceptions.Exit(ExitCode.USAGE)


def _report(ctx: click.Context, error: str) -> None:
    from shotcrop_cli.cli.console import console_of

    with console_of(ctx) as console:
        console.error(error)


def _is_current_folder_gone() -> bool:
    try:
        os.stat(".")  # noqa: PTH116 - Path.stat is the same
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _keep_traceback() -> str:
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="shotcrop-traceback-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(traceback.format_exc())
    except OSError:
        return "Fix: run the command again with -v and report the traceback"
    return f"Fix: report it with the traceback in {file.name}"


if __name__ == "__main__":
    main()
