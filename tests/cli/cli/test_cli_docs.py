from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from shotcrop_cli.captions.settings import read_endpoint
from shotcrop_cli.cli.config import CAPTIONERS, SETS, ConfigFile, captioners, defaults, key_of, read_file
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "MODEL_CARD.md", *DOCS.glob("*.md")])
_SHOTCROP = re.compile(r"(?:^|[\s/(])shotcrop\s+(?=[a-z-])")
_PLACEHOLDER = re.compile(r"[A-Z_]+|\[[A-Z. ]+\]|\.\.\.")


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each block of code."""
    for block in re.finditer(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        yield block[1], block[2]


_VARIABLE = re.compile(r"\$\{?\w+\}?")
"""A variable of the shell; the docs use those that are numbers."""


def _command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each `shotcrop` in the code of a page, up to where the shell goes on."""
    for language, text in _blocks(page):
        for line in text.replace("\\\n", " ").splitlines() if language in ("bash", "cron", "ini") else ():
            for match in _SHOTCROP.finditer(line):
                rest = line[match.end() :]
                inner = rest.partition(")")[0] if match[0].startswith("(") else rest  # of "$(shotcrop ...)"
                lexer = shlex.shlex(inner, posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                words = [_VARIABLE.sub("1", word) for word in lexer]
                ends = (i for i, word in enumerate(words) if set(word) <= set("|&;<>()"))
                yield words[: next(ends, len(words))]


LINES = [pytest.param(line, id=f"{page.name}: {' '.join(line)}") for page in PAGES for line in _command_lines(page)]


def _context_of(words: list[str]) -> tuple[click.Context, list[str]]:
    """Return the context of the command that words name, and the words that are left for it."""
    context, left = click.Context(cli, info_name="shotcrop"), list(words)
    while left and isinstance(group := context.command, click.Group):
        name = left.pop(0)
        command = group.get_command(context, name)
        assert command is not None, f"there is no command {name}"
        context = command.context_class(command, info_name=name, parent=context)
    return context, left


def _paths(context: click.Context) -> Iterator[list[str]]:
    """Yield the words that name each command below a group."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, *words] for words in _paths(click.Context(command, parent=context)))


COMMAND_PATHS = list(_paths(click.Context(cli)))


def test_the_pages_have_command_lines() -> None:
    assert len(LINES) > 10


@pytest.mark.parametrize("line", LINES)
def test_each_command_line_of_the_docs_is_one_that_shotcrop_takes(line: list[str]) -> None:
    context, words = _context_of(line)
    given, left, _ = context.command.make_parser(context).parse_args(words)
    assert left == []
    for param in context.command.params:
        value = given.get(str(param.name))
        if not isinstance(value, (str, list)) or isinstance(param.type, click.Path):
            continue  # no paths of ours
        values = value if isinstance(value, list) else [value]
        if not any(_PLACEHOLDER.fullmatch(each) for each in values):
            param.type_cast_value(context, value)


def test_the_reference_is_what_the_commands_say() -> None:
    printed = subprocess.run([sys.executable, DOCS / "cli.py"], capture_output=True, check=True).stdout
    assert (DOCS / "cli.md").read_bytes() == printed, "run: python docs/cli.py > docs/cli.md"


def test_each_table_of_the_docs_is_a_configuration_that_shotcrop_takes(tmp_path: Path) -> None:
    pages = (DOCS / "configuration.md", DOCS / "captions.md", DOCS / "delivering.md")
    texts = [text for page in pages for language, text in _blocks(page) if language == "toml"]
    assert texts
    for text in texts:
        path = tmp_path / "shotcrop.toml"
        path.write_text(text, "utf-8")
        file = read_file(path)
        for words in _tables(file):
            context, _ = _context_of(words)
            assert defaults([file], context)
        for table in captioners([file]).values():
            assert read_endpoint(table.table, table.where).is_local


def _tables(file: ConfigFile) -> Iterator[list[str]]:
    for name, table in file.tables.items():
        if name == "train":
            yield from ([name, stage] for stage in table)
        elif name not in (CAPTIONERS, SETS):
            yield [name]


def test_crontab_lines_have_five_fields_and_a_command() -> None:
    lines = [
        line for language, text in _blocks(DOCS / "deployment.md") if language == "cron" for line in text.splitlines()
    ]
    jobs = [line.split() for line in lines if not re.match(r"[A-Z]+=", line)]
    assert jobs
    for job in jobs:
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in job[:5])
        assert "shotcrop" in job
        assert not any("%" in word for word in job)


def test_units_can_be_read_and_run_shotcrop() -> None:
    units = []
    for language, text in _blocks(DOCS / "deployment.md"):
        if language == "ini":
            units.append(unit := configparser.ConfigParser(interpolation=None))
            unit.read_string(text)
    service, timer, watching = units
    for one in (service, watching):
        program, *arguments = shlex.split(one["Service"]["ExecStart"])
        assert program == "/usr/local/bin/shotcrop"
        with cli.make_context("shotcrop", arguments, resilient_parsing=True) as context:
            _, command, rest = cli.resolve_command(context, arguments)
            assert command is not None
            command.make_context("crop", rest, parent=context).close()
    assert "--watch" in watching["Service"]["ExecStart"].split()
    assert "OnCalendar" in timer["Timer"]


def test_each_option_and_argument_has_its_own_key() -> None:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        keys = [key_of(param) for param in command.params]
        assert len(keys) == len(set(keys))


def _complete(**environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "from shotcrop_cli.main import main; main()"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_gets_its_completion(shell: str) -> None:
    printed = CliRunner().invoke(cli, ["completion", shell])
    assert printed.exit_code == 0
    assert printed.stdout == _complete(_SHOTCROP_COMPLETE=f"{shell}_source")
    assert f"_SHOTCROP_COMPLETE={shell}_complete" in printed.stdout


def test_bash_takes_the_script_for_completion() -> None:
    printed = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    ask = "complete -p shotcrop"
    done = subprocess.run(["bash", "-c", f"{printed}\n{ask}"], capture_output=True, text=True, check=True)
    assert "_shotcrop_completion" in done.stdout


def test_another_shell_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == ExitCode.USAGE


@pytest.mark.parametrize("words", COMMAND_PATHS, ids=" ".join)
def test_each_help_page_ends_with_an_example_that_fits_a_narrow_terminal(words: list[str]) -> None:
    context, _ = _context_of(words)
    context.max_content_width = context.terminal_width = 60
    page = context.command.get_help(context)
    assert max(map(len, page.splitlines())) <= 60
    last = page.rpartition("\nExample: ")[2].splitlines()
    assert len(last) >= 2 and "shotcrop" in last[1]


@pytest.mark.parametrize("words", COMMAND_PATHS, ids=" ".join)
def test_help_pages_break_lines_only_at_spaces(words: list[str]) -> None:
    context, _ = _context_of(words)
    pages = []
    for width in (60, 1000):
        context.max_content_width = context.terminal_width = width
        pages.append(context.command.get_help(context).split())
    assert pages[0] == pages[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    context, _ = _context_of([name])
    assert context.command.get_short_help_str(limit=200) == COMMANDS[name].short_help


@pytest.mark.parametrize(
    ("words", "completed"), [("shotcrop cr", "plain,crop\n"), ("shotcrop crop --qual", "plain,--quality\n")]
)
def test_completion_knows_commands_and_options(words: str, completed: str) -> None:
    place = str(words.count(" "))
    assert _complete(_SHOTCROP_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=place) == completed


def test_files_are_made_under_the_umask_of_the_run(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        put_in_place([NewFile(tmp_path / "a" / "b", b"")], root=tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o640
