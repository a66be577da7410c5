"""Defaults of options from TOML files and from the environment.

A file has a table for each command, such as `[crop]` or `[train.sft]`, with a key for each long option and argument.
The first of these that sets an option wins: the command line, its environment variable, the file of `--config`,
`shotcrop.toml` in the working folder, the user's own file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.types import FloatParamType, IntParamType, StringParamType

from shotcrop_cli.cli.options import means_path, name_or_path
from shotcrop_cli.cli.param_types import LocalPath, PlacePath, XmpType
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.remote import refuse_remote
from shotcrop_cli.storage.location import is_url

if TYPE_CHECKING:
    from shotcrop_cli.cli.console import Console

LOCAL_FILE = Path("shotcrop.toml")
ENVIRONMENT_PREFIX = "SHOTCROP"
CONFIG_VARIABLE = "SHOTCROP_CONFIG"
_OPTION = "--config"
_OPTION_FOR_RECIPES = "--config-file"
"""Name of the option in commands whose `--config` names a recipe."""
CAPTIONERS = "captioner"
"""The table with a table for each captioner; all commands share it."""
CAPTIONERS_KEY = "shotcrop.captioners"
"""Key of `Context.meta` that keeps these tables, with the file of each."""
SETS = "sets"
"""The table with the ratio sets that `--set NAME` takes."""
SETS_KEY = "shotcrop.sets"
"""Key of `Context.meta` that keeps it."""
ERROR_KEY = "shotcrop.config_error"
"""Key of `Context.meta` that keeps what is wrong with the files, for a command that reports it."""
_META_KEY = "shotcrop.config"
"""Key of `Context.meta` that keeps the file named before the command."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The content of a file.

    Args:
        path: The file. Relative paths in it start from its folder.
        tables: Its tables by name.
        trusted: Whether the user chose it, and not only the folder that the command runs in.
    """

    path: Path
    tables: Mapping[str, Any]
    trusted: bool = True


class ConfigOption(click.Option):
    """The option that names a file; a file cannot set it."""


def user_file() -> Path | None:
    """Return the path of the user's own file, which may not exist; None for a user without a home folder."""
    from platformdirs import user_config_path

    try:
        path = user_config_path("shotcrop") / "config.toml"
    except RuntimeError:
        return None
    return path if path.is_absolute() else None  # older versions of platformdirs return a `~` as it is


def config_option() -> ConfigOption:
    """Return the option that comes before the command."""
    return ConfigOption(
        [_OPTION],
        metavar="FILE",
        envvar=CONFIG_VARIABLE,
        expose_value=False,
        callback=_remember,
        help="Read defaults of options from this TOML file.",
    )


def make_configurable(command: click.Command, prefix: str) -> None:
    """Let a command, or each command of a group, take defaults from files and the environment.

    Args:
        command: It gets `--config` and a variable for each option and argument.
        prefix: Start of the names of the variables.
    """
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            make_configurable(below, variable(prefix, name))
        return
    taken = any(_OPTION in param.opts for param in command.params)
    for param in command.params:
        param.envvar = variable(prefix, key_of(param))
        if isinstance(param.type, click.Path) and not isinstance(param.type, PlacePath):
            param.type = LocalPath.like(param.type)
        if isinstance(param, click.Option):
            param.allow_from_autoenv = False  # it would use the name of the parameter, and users know the option
    option = ConfigOption(
        [_OPTION_FOR_RECIPES if taken else _OPTION],
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        allow_from_autoenv=False,
        callback=_configure,
        help="Read defaults of options from this TOML file.",
    )
    # First, since other eager options may take their value from the file.
    command.params.insert(0, option)


def variable(prefix: str, key: str) -> str:
    """Return the environment variable of an option or argument."""
    return f"{prefix}_{key.replace('-', '_').upper()}"


def key_of(param: click.Parameter) -> str:
    """Return the key of an option or argument in a file: the long option without its dashes."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len).removeprefix("--")
    return str(param.name).replace("_", "-")


def find_files(named: Path | None, notes: list[str]) -> list[ConfigFile]:
    """Read the files that exist; a later one wins over an earlier one.

    Args:
        named: The file of `--config`; None for none.
        notes: Receives a line for each file that is left out because it may not be read.

    Raises:
        ShotcropError: The file of `--config` cannot be read, or a file is not a valid configuration.
    """
    files = []
    for path in (user_file(), LOCAL_FILE):
        if path is None:
            notes.append("this account has no home folder, so there is no configuration of its own")
            continue
        try:
            if _exists(path):
                files.append(replace(read_file(path), trusted=path != LOCAL_FILE))
        except UnreadableError as error:
            notes.append(f"{error.message}; shotcrop runs without it")
    return files if named is None else [*files, read_file(named)]


class UnreadableError(ShotcropError):
    """A file cannot be read, whatever its content."""


def read_file(path: Path) -> ConfigFile:
    """Read a file.

    Raises:
        UnreadableError: The file cannot be read.
        ShotcropError: The file is not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = path.read_bytes().decode("utf-8")
        return ConfigFile(path, tomllib.loads(text))
    except OSError as error:
        raise UnreadableError(
            f"{path}: cannot read the configuration: {error.strerror}", hint="check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise ShotcropError(f"{path}: the configuration is not UTF-8", hint="save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ShotcropError(
            f"{path}: the configuration is not TOML: {error}",
            hint='check the syntax; texts need quotes, as in output = "~/shots"',
        ) from error


def defaults(files: Iterable[ConfigFile], context: click.Context) -> dict[str, Any]:
    """Return the defaults of a command from files, in the form of click's `default_map`.

    Args:
        files: The files; a later one wins.
        context: The context of the command.

    Raises:
        ShotcropError: A table, key or value is wrong.
    """
    params = {key_of(param): param for param in context.command.params if not isinstance(param, ConfigOption)}
    found: dict[str, Any] = {}
    for file in files:
        table = _table(file, context, params)
        where = f"{file.path}: [{'.'.join(_names(context))}]"
        _check_names(table, params, where, "key")
        for key, value in table.items():
            param = params[key]
            try:
                found[str(param.name)] = _value(param, value, file.path.parent)
                if not isinstance(param.type, click.Path):  # click checks that it exists when it is used
                    param.type_cast_value(context, found[str(param.name)])
            except click.BadParameter as error:
                raise ShotcropError(f"{where} {key}: {error.message.rstrip('.')}") from error
            except ShotcropError as error:
                raise ShotcropError(f"{where} {key}: {error.message}", hint=error.hint) from error
    return found


@dataclass(frozen=True, slots=True)
class CaptionerTable:
    """A table `[captioner.NAME]`.

    Args:
        where: Its file and name, for messages.
        table: Its keys and values.
        trusted: As in `ConfigFile`.
    """

    where: str
    table: Mapping[str, Any]
    trusted: bool


def captioners(files: Iterable[ConfigFile]) -> dict[str, CaptionerTable]:
    """Return the captioners of files by name; a later file wins, unless only the earlier one is trusted.

    Raises:
        ShotcropError: What should be a table is none.
    """
    found: dict[str, CaptionerTable] = {}
    for file in files:
        tables = file.tables.get(CAPTIONERS, {})
        for name, table in tables.items() if isinstance(tables, dict) else [("NAME", None)]:
            where = f"{file.path}: [{CAPTIONERS}.{name}]"
            if not isinstance(table, dict):
                raise ShotcropError(f"{where} is not a table", hint=f"write [{CAPTIONERS}.NAME] with url and model")
            if file.trusted or name not in found:
                found[name] = CaptionerTable(where, table, file.trusted)
    return found


def ratio_sets(files: Iterable[ConfigFile]) -> dict[str, str]:
    """Return the texts of the ratio sets by name; a later file wins.

    Raises:
        ShotcropError: What should be a table or a text is none.
    """
    found: dict[str, str] = {}
    for file in files:
        table = file.tables.get(SETS, {})
        if not isinstance(table, dict):
            raise ShotcropError(f"{file.path}: '{SETS}' is not a table", hint=f"write [{SETS}]")
        for name, text in table.items():
            if not isinstance(text, str):
                raise ShotcropError(
                    f"{file.path}: [{SETS}] {name}: must be a text, not {_spelled(text)}",
                    hint='write, for example, story = "9:16:1080x1920"',
                )
            found[name] = text
    return found


def warn_of_unknown_variables(context: click.Context, console: Console) -> None:
    """Warn about variables that begin like those of this command but belong to none of its options."""
    prefix = "_".join((ENVIRONMENT_PREFIX, *_names(context))).replace("-", "_").upper() + "_"
    known = {str(param.envvar) for param in context.command.params}
    for name in sorted(os.environ):
        if name.startswith(prefix) and name not in known:
            console.warn(f"environment variable {name} has no effect{_suggestion(name, known)}")


def _remember(context: click.Context, _param: click.Parameter, value: str | None) -> None:
    context.meta[_META_KEY] = value


def _configure(context: click.Context, _param: click.Parameter, value: str | None) -> None:
    if context.resilient_parsing:  # the shell asks for completions
        return
    named = value or context.meta.get(_META_KEY)
    from shotcrop_cli.cli.console import NOTES_KEY, Console

    notes = context.meta.setdefault(NOTES_KEY, [])
    reports = getattr(context.command, "reports_bad_configuration", False)
    try:
        files = find_files(Path(_expanded(named)) if named else None, notes)
        context.default_map = defaults(files, context)
        context.meta[CAPTIONERS_KEY] = captioners(files)
        context.meta[SETS_KEY] = ratio_sets(files)
        if reports:
            _check_all(files, context.find_root())
    except ShotcropError as error:
        if not reports:
            raise
        context.meta[ERROR_KEY] = error
    warn_of_unknown_variables(context, Console())


def _check_all(files: Sequence[ConfigFile], context: click.Context) -> None:
    """Check the tables of all commands below a context.

    Raises:
        ShotcropError: A table, key or value is wrong.
    """
    group = context.command
    if not isinstance(group, click.Group):
        if context.parent is not None:
            defaults(files, context)
        return
    tables = [_table(file, context, ()) for file in files]
    for name in group.list_commands(context):
        if any(name in table for table in tables):
            command = group.get_command(context, name)
            assert command is not None
            _check_all(files, click.Context(command, parent=context, info_name=name, resilient_parsing=True))


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # reading it reports the error
    return True


def _names(context: click.Context) -> list[str]:
    """Return the words that name a command after `shotcrop`."""
    return [] if context.parent is None else [*_names(context.parent), str(context.info_name)]


def _table(file: ConfigFile, context: click.Context, options: Collection[str]) -> Mapping[str, Any]:
    """Return the table of a command with these options, and check the names of the tables around it."""
    if context.parent is None:
        return file.tables
    outer, group = _table(file, context.parent, options), context.parent.command
    assert isinstance(group, click.Group)
    names = _names(context.parent)
    where = f"{file.path}: [{'.'.join(names)}]" if names else f"{file.path}:"
    known = [*group.list_commands(context.parent), *([] if names else [CAPTIONERS, SETS])]
    _check_no_keys(outer, known, where, options, context)
    _check_names(outer, known, where, "table")
    table = outer.get(str(context.info_name), {})
    if not isinstance(table, dict):
        raise ShotcropError(f"{where} '{context.info_name}' is not a table", hint=f"write [{context.info_name}]")
    return table


def _check_no_keys(
    table: Mapping[str, Any], known: Iterable[str], where: str, options: Collection[str], context: click.Context
) -> None:
    """Refuse keys of options that are outside of the table of their command.

    Args:
        table: What should have only tables.
        known: The names of these.
        where: Its file and name, for messages.
        options: The options of the command that runs.
        context: The context of a command below that table.
    """
    for name, value in table.items():
        if name in known or isinstance(value, dict):
            continue
        prefix = ".".join(_names(context))
        hint = (
            f"put it below [{prefix}]" if name in options else f"put it below the table of its command, as [{prefix}]"
        )
        raise ShotcropError(f"{where} '{name}' is outside of a table", hint=hint)


def _check_names(table: Mapping[str, Any], known: Iterable[str], where: str, kind: str) -> None:
    for name in table:
        if name not in known:
            suggestion = _suggestion(name.replace("_", "-"), known)
            hint = "" if suggestion else f"use one of: {', '.join(sorted(known))}"
            raise ShotcropError(f"{where} there is no {kind} '{name}'{suggestion}", hint=hint)


def _suggestion(name: str, known: Iterable[str]) -> str:
    """Ask for a similar name; empty if there is none."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _value(param: click.Parameter, value: Any, folder: Path) -> Any:
    if param.multiple or param.nargs != 1:
        values = value if isinstance(value, list) else [value]  # one value needs no list
        return [_scalar(param, each, folder) for each in values]
    return _scalar(param, value, folder)


def _scalar(param: click.Parameter, value: Any, folder: Path) -> Any:
    """Return a value as the command line would give it, so that click reads it in the same way."""
    kinds, wanted = _kinds(param)
    # In Python True is a number, in TOML it is not.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise click.BadParameter(f"must be {wanted}, not {_spelled(value)}")
    if isinstance(value, bool) or isinstance(param.type, (IntParamType, FloatParamType)):
        return value
    text = str(value)
    if isinstance(param.type, PlacePath) and is_url(text):
        return text
    if isinstance(param.type, click.Path) and not (text == "-" and param.type.allow_dash):
        refuse_remote(text)
        return str(folder / _expanded(text))
    if _is_name_or_path(param) and means_path(text):
        return str(folder / _expanded(text))
    return text


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111, Path.expanduser raises without a home folder


def _kinds(param: click.Parameter) -> tuple[tuple[type, ...], str]:
    """Return the TOML types that fit, and their names for people."""
    if isinstance(param, click.Option) and param.is_flag:
        return (bool,), "true or false"
    if isinstance(param.type, IntParamType):
        return (int,), "a whole number"
    if isinstance(param.type, FloatParamType):
        return (int, float), "a number"
    if isinstance(param.type, XmpType):
        return (str, bool), "a text, true or false"
    if isinstance(param.type, (StringParamType, click.Choice, click.Path)) or _is_name_or_path(param):
        return (str,), "a text"
    return (str, int, float), "a text or a number"


def _is_name_or_path(param: click.Parameter) -> bool:
    return getattr(param.type, "func", None) is name_or_path


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a table"
    return repr(value) if isinstance(value, (str, int, float)) else str(value)
