"""The commands in the bash blocks of a page, and processes that run them as a shell would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from subprocess import PIPE, STDOUT
from traceback import format_exception

from click.testing import CliRunner

from shotcrop_cli.main import cli

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"

_BLOCK = re.compile(r"^( *)```bash\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"(?:^|\s)(?:shotcrop|torchrun|accelerate launch|python -m|make)\s")

# transformers knows no processor of the tiny models. It is registered in every process as soon as it loads checkpoints.
_SITE = """
import importlib.abc
import sys


class Register(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "shotcrop_train.checkpoints":
            sys.meta_path.remove(self)
            import vlm


sys.meta_path.insert(0, Register())
"""


def commands(page: Path, section: str = "") -> list[str]:
    """Return the commands of a page that are the project's own or start it, each on one line, without comments.

    Args:
        page: The page.
        section: Heading of the only section to read.
    """
    found = []
    text = page.read_text("utf-8")
    if section:
        (text,) = re.findall(rf"^#+ {re.escape(section)}\n(.*?)^#", text, re.MULTILINE | re.DOTALL)
    for _, block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"(?:^|\s)#.*", "", line).split())
            if _OURS.search(command):
                found.append(command)
    return found


@dataclass(frozen=True)
class Tiny:
    """What makes a documented command small enough for a test.

    Args:
        part: What only this command of the page has, as a regular expression.
        add: Options at its end. They replace the same options before them.
        instead: Parts of the command and what takes their place.
        beside: Parts that differ in a second process, for a command that the page starts on two machines.
        code: Its exit code.
        says: What it prints, whatever comes before and after.
    """

    part: str
    add: Sequence[str] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    code: int = 0
    says: str = ""

    def form(self, command: str) -> str:
        """Return the tiny form of a command."""
        line, arrow, file = _replaced(command, self.instead).partition(" > ")
        tiny = " ".join([line, *self.add]) + arrow + file
        return f"{_replaced(tiny, self.beside)} & {tiny} && wait $!" if self.beside else tiny


def _replaced(command: str, parts: Mapping[str, str]) -> str:
    for part, other in parts.items():
        assert part in command, f"{command} has no {part}"
        command = command.replace(part, other)
    return command


def tiny_of(command: str, forms: Sequence[Tiny]) -> Tiny | None:
    """Return the one tiny form that is meant for a command, if there is one."""
    meant = [form for form in forms if re.search(form.part, command)]
    return meant[0] if len(meant) == 1 else None


def environment(folder: Path) -> dict[str, str]:
    """Return what commands run in: this Python first in the path, the tiny models known, and no network."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITE, "utf-8")
    path = [str(site), str(TESTS), str(TESTS.parent), *sys.path]
    programs = [str(Path(sys.executable).parent), os.environ["PATH"]]
    own = {"PYTHONPATH": path, "PATH": programs}
    return os.environ | {name: os.pathsep.join(parts) for name, parts in own.items()} | _QUIET


_QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Done:
    """What a command printed, output and errors together, and its exit code."""

    code: int
    text: str


def run(command: str, folder: Path, env: Mapping[str, str]) -> Done:
    """Run a line of the shell in a folder, which is also the current one.

    `shotcrop` runs in this process, which has loaded torch already; anything else in a new one.
    """
    variables, words, file = read(command)
    if words[0] == "shotcrop":
        result = CliRunner().invoke(cli, words[1:], env=variables, prog_name="shotcrop")
        if file:
            (folder / file).write_text(result.stdout, "utf-8")
        trace = "".join(format_exception(result.exception)) if result.exc_info and result.exit_code == 1 else ""
        return Done(result.exit_code, result.output + trace)
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=dict(env), stdout=PIPE, stderr=STDOUT, text=True)
    return Done(done.returncode, done.stdout)


def read(command: str) -> tuple[dict[str, str], list[str], str]:
    """Return the variables before a command, its words, and the file that its output goes to."""
    line, _, file = command.partition(" > ")
    words = shlex.split(line)
    names = [word for word in words if re.match(r"[A-Z_]+=", word)]
    variables = dict(word.split("=", 1) for word in takewhile(names.__contains__, words))
    return variables, words[len(variables) :], file
