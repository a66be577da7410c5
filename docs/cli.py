"""Print the reference of the command line from the commands themselves: `python docs/cli.py > docs/cli.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from shotcrop_cli.cli.config import CONFIG_VARIABLE, ConfigOption, key_of
from shotcrop_cli.main import cli

_HEAD = """# Command line

<!-- Written by `python docs/cli.py > docs/cli.md`; a test keeps it equal to the commands. -->

Every flag can also be set by an environment variable or by a key of a [configuration file](configuration.md), in the
table that has the command's name. The [exit codes](exit-codes.md) are those of every command.
"""


def main() -> None:
    """Print the page."""
    print(_HEAD)
    root = click.Context(cli, info_name="shotcrop")
    print("\n\n".join("\n\n".join(_section(context)) for context in _commands(root)))


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and those below it."""
    yield context
    if isinstance(command := context.command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(click.Context(below, info_name=name, parent=context))


def _section(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f"## {context.command_path}"
    yield f"```\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    yield inspect.cleandoc(command.help or "")
    if rows := [_argument(param) for param in command.params if isinstance(param, click.Argument)]:
        yield _table(("argument", "environment", "key"), rows)
    if rows := [_option(context, param) for param in command.params if isinstance(param, click.Option)]:
        yield _table(("flag", "meaning", "default", "environment", "key"), rows)


def _argument(param: click.Argument) -> tuple[str, ...]:
    name = str(param.name).upper()
    return _code(f"{name}..." if param.nargs != 1 else name), _code(str(param.envvar)), _code(key_of(param))


def _option(context: click.Context, param: click.Option) -> tuple[str, ...]:
    flags = ", ".join(param.opts) + "".join(f" / {opt}" for opt in param.secondary_opts)
    # A group's flags, such as --version, are no defaults that anyone keeps.
    settable = param.expose_value and not isinstance(param, ConfigOption)
    variable = CONFIG_VARIABLE if isinstance(param, ConfigOption) else param.envvar
    return (
        _code(flags if param.is_flag else f"{flags} {_metavar(param)}"),
        param.help or "",
        _default(context, param),
        _code(str(variable)) if variable else "",
        _code(key_of(param)) if settable else "",
    )


def _metavar(param: click.Option) -> str:
    kind = param.type
    if param.metavar:
        return param.metavar
    if isinstance(kind, click.Choice):
        return "|".join(kind.choices)
    if isinstance(kind, click.IntRange):
        return f"{kind.min}..{'' if kind.max is None else kind.max}"
    return kind.name.upper()


def _default(context: click.Context, param: click.Option) -> str:
    if param.required:
        return "required"
    if isinstance(param, ConfigOption) or not param.expose_value:
        return ""
    value = param.get_default(context)
    if param.is_flag:
        return "on" if value is True else "off"
    return _code(str(value)) if param.show_default else ""


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
