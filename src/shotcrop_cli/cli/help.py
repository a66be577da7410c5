"""Help pages: options in groups, an example at the end, and lines that break only at spaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_OTHER_OPTIONS = "Other options"
"""Title of the options without a group, which come last."""
_WIDEST_TERM, _WIDEST_TERM_IF_NARROW, _NARROW = 26, 20, 70
"""Longer names of options stand on a line of their own. A page below 70 columns is narrow."""
_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class HelpFormatter(click.HelpFormatter):
    """Keeps words with hyphens, such as `--batch-size`, on one line."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line."""
        super().write_usage(prog, args.replace("-", _HYPHEN), prefix)

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a table of terms and their meanings."""
        super().write_dl([(term, text.replace("-", _HYPHEN)) for term, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        """Return the page."""
        return super().getvalue().replace(_HYPHEN, "-")


class Context(click.Context):
    """Formats the help pages of shotcrop."""

    formatter_class = HelpFormatter


class Option(click.Option):
    """An option that belongs to a group of the help page.

    Args:
        group: Title of the group; empty for the last one.
    """

    def __init__(self, *args: Any, group: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class Command(click.Command):
    """A command whose help page shows its options in groups, and an example.

    Args:
        example: What the example is for, and its command line. It stays below 60 columns.
        reports_bad_configuration: Whether the command reports a configuration that is wrong, instead of failing.
    """

    context_class = Context

    def __init__(
        self,
        *args: Any,
        example: tuple[str, str] | None = None,
        reports_bad_configuration: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.example, self.reports_bad_configuration = example, reports_bad_configuration

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line. Some options may stand without a value, even before an argument."""
        for param in self.params:
            bare, takes = getattr(param.type, "bare", None), getattr(param.type, "takes", None)
            if bare is not None and takes is not None:
                args = _with_value(args, param.opts, bare, takes)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table of options for each group."""
        widest = _WIDEST_TERM if formatter.width >= _NARROW else _WIDEST_TERM_IF_NARROW
        records = {title: _help_records(ctx, options) for title, options in option_groups(ctx).items()}
        # Equally long terms align the tables of all groups.
        width = max((len(term) for rows in records.values() for term, _ in rows if len(term) <= widest), default=0)
        for title, rows in records.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(f"{term:{width}}", text) for term, text in rows], col_max=widest)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        if self.example is not None:
            purpose, line = self.example
            formatter.write(f"\nExample: {purpose}\n  {line}\n")


def _with_value(args: Sequence[str], names: Sequence[str], bare: str, takes: Callable[[str], bool]) -> list[str]:
    """Return a command line in which an option without a value has one."""
    found: list[str] = []
    for number, arg in enumerate(args):
        if arg == "--":
            return [*found, *args[number:]]
        is_bare = arg in names and not takes(args[number + 1] if number + 1 < len(args) else "")
        found.append(f"{arg}={bare}" if is_bare else arg)
    return found


class Group(Command, click.Group):
    """A command with commands below it."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options and the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of their definition."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table of the commands, with the first sentence of each."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit=1000)) for name, each in commands if each])


def _help_records(context: click.Context, options: Sequence[click.Parameter]) -> list[tuple[str, str]]:
    return [record for option in options if (record := option.get_help_record(context)) is not None]


def option(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """Add an option that may join a group; see `click.option`."""
    return click.option(*names, cls=Option, **attributes)


def option_group(title: str, *options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Add several options under one title.

    Args:
        title: What the help page calls them.
        options: What `option` returns, in the order of the help page.
    """

    def add(function: Function) -> Function:
        before = len(getattr(function, "__click_params__", ()))
        for decorate in reversed(options):
            function = decorate(function)
        for param in getattr(function, "__click_params__", ())[before:]:
            if isinstance(param, Option):
                param.group = title
        return function

    return add


def option_groups(context: click.Context) -> dict[str, list[click.Parameter]]:
    """Return the options of a command by the titles of their groups, in the order of its help page."""
    groups: dict[str, list[click.Parameter]] = {}
    others: list[click.Parameter] = []
    for param in context.command.get_params(context):
        if isinstance(param, click.Option):
            title = param.group if isinstance(param, Option) else ""
            (groups.setdefault(title, []) if title else others).append(param)
    others.sort(key=lambda param: not param.expose_value)  # --config and --help come last
    return {**groups, _OTHER_OPTIONS if groups else "Options": others} if others else groups
