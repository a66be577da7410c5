"""The commands that change this installation of shotcrop.

shotcrop may have been installed with `uv tool`, pipx, uv or pip, and from a package index, a checkout or a URL. A
message that suggests an extra takes the command from here, so that the command works where it is read.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION = "shotcrop-cli"
EXTRAS = {
    "cpu": "onnxruntime",
    "gpu": "onnxruntime-gpu",
    "raw": "rawpy",
    "jxl": "pillow-jxl-plugin",
    "parquet": "pyarrow",
    "captions": "openai",
    "pdf": "fpdf2",
    "motion": "imageio-ffmpeg",
    "review": "starlette",
    "s3": "s3fs",
    "gcs": "gcsfs",
    "azure": "adlfs",
    "ray": "ray",
    "train": "trl",
    "qlora": "bitsandbytes",
    "export": "onnxscript",
}
"""The extras for users, each with a package that only this extra installs. But `train` brings pyarrow, too."""
_RUNTIMES = {"cpu", "gpu"}
"""Extras that exclude each other: both write the folder `onnxruntime`."""


class Manager(Enum):
    """The program that manages the environment of shotcrop."""

    UV_TOOL = "uv tool"
    PIPX = "pipx"
    UV = "uv pip"
    PIP = "pip"


@dataclass(frozen=True, slots=True)
class Installation:
    """How shotcrop was installed.

    Args:
        manager: What manages the environment.
        python: The environment's interpreter; empty while the environment is activated, so that `pip` finds it.
        source: The folder or URL that shotcrop was installed from; empty for a package index.
        editable: Whether `source` is a folder that is installed in editable mode.
        extras: The extras that are installed.
    """

    manager: Manager = Manager.PIP
    python: str = ""
    source: str = ""
    editable: bool = False
    extras: frozenset[str] = frozenset()

    def add_extras(self, *extras: str) -> str:
        """Return the command that installs extras and keeps those that are there."""
        return self._install(extras)

    def switch_runtime(self, extra: str) -> str:
        """Return the command that leaves one intact ONNX Runtime, whatever is left of others.

        Args:
            extra: `cpu` or `gpu`.
        """
        if self.manager is Manager.UV_TOOL:
            return f"uv tool uninstall {DISTRIBUTION} && {self._install([extra])}"
        if self.manager is Manager.PIPX:
            return f"pipx uninstall {DISTRIBUTION} && {self._install([extra])}"
        variants = " ".join(EXTRAS[runtime] for runtime in sorted(_RUNTIMES))
        # uv asks no question, so it has no option that answers it.
        agreed = "-y " if self.manager is Manager.PIP else ""
        return f"{self._pip('uninstall')} {agreed}{variants} && {self._install([extra])}"

    def add_packages(self, *names: str) -> str:
        """Return the command that installs other packages next to shotcrop."""
        if self.manager is Manager.UV_TOOL:
            return " ".join([self._install(), *(f"--with {name}" for name in names)])
        if self.manager is Manager.PIPX:
            return f"pipx inject {DISTRIBUTION} {' '.join(names)}"
        return f"{self._pip('install')} {' '.join(names)}"

    def reinstall(self, *names: str) -> str:
        """Return the command that downloads packages again; without names it reinstalls shotcrop and all it needs."""
        if self.manager is Manager.UV_TOOL:
            chosen = " ".join(f"--reinstall-package {name}" for name in names) or "--reinstall"
            return self._install(options=chosen)
        if self.manager is Manager.PIPX:
            return f"pipx reinstall {DISTRIBUTION}"
        if names:
            return f"{self._pip('install')} --force-reinstall {' '.join(names)}"
        return self._install(options="--force-reinstall")

    def restore_files(self, folder: str) -> str:
        """Return the command that restores the files of a folder of `shotcrop_cli`.

        Args:
            folder: Its name in the package.
        """
        if self.editable:
            return f"git -C {shlex.quote(self.source)} restore src/shotcrop_cli/{folder}"
        if self.manager in (Manager.UV_TOOL, Manager.PIPX):
            return self.reinstall(DISTRIBUTION)
        return self._install(options="--force-reinstall --no-deps")

    def _install(self, extras: Collection[str] = (), options: str = "") -> str:
        """Return the command that installs shotcrop from the same source as before.

        `uv tool` and pipx remove the extras that a command does not name, and pip keeps them.
        """
        keeps = self.manager in (Manager.UV, Manager.PIP)
        wanted = set(extras) if keeps else self._with(extras)
        chosen = f"[{','.join(sorted(wanted))}]" if wanted else ""
        if self.source and "://" in self.source:
            target = f"{DISTRIBUTION}{chosen} @ {self.source}"
        else:
            target = f"{self.source or DISTRIBUTION}{chosen}"
        command = {
            Manager.UV_TOOL: "uv tool install",
            Manager.PIPX: "pipx install --force",
            Manager.UV: self._pip("install"),
            Manager.PIP: self._pip("install"),
        }[self.manager]
        editable = "--editable" if self.editable else ""
        return " ".join(filter(None, [command, options, editable, shlex.quote(target)]))

    def _with(self, extras: Collection[str]) -> set[str]:
        """Return the extras to have afterwards: a new ONNX Runtime takes the place of the other one."""
        before = self.extras - _RUNTIMES if _RUNTIMES & set(extras) else self.extras
        return {*before, *extras}

    def _pip(self, command: str) -> str:
        if self.manager is Manager.UV:
            return f"uv pip {command}" + (f" --python {shlex.quote(self.python)}" if self.python else "")
        return f"{shlex.quote(self.python)} -m pip {command}" if self.python else f"pip {command}"


def add_extras(*extras: str) -> str:
    """Return the command that adds extras to this installation."""
    return installation().add_extras(*extras)


def switch_runtime(extra: str) -> str:
    """Return the command that gives this installation one intact ONNX Runtime, for `cpu` or `gpu`."""
    return installation().switch_runtime(extra)


def add_packages(*names: str) -> str:
    """Return the command that installs other packages next to this shotcrop."""
    return installation().add_packages(*names)


def reinstall(*names: str) -> str:
    """Return the command that downloads packages of this installation again, by default all."""
    return installation().reinstall(*names)


def restore_files(folder: str) -> str:
    """Return the command that restores the files of a folder of this `shotcrop_cli`."""
    return installation().restore_files(folder)


@cache
def installation() -> Installation:
    """Return how the shotcrop that runs was installed."""
    active = os.environ.get("VIRTUAL_ENV")
    return detect(
        Path(sys.prefix),
        python=sys.executable,
        activated=active is not None and Path(active) == Path(sys.prefix),
        has_pip=importlib.util.find_spec("pip") is not None,
        direct_url=_direct_url(),
        packages={name for name in EXTRAS.values() if _is_installed(name)},
    )


def detect(
    prefix: Path, *, python: str, activated: bool, has_pip: bool, direct_url: str | None, packages: Collection[str]
) -> Installation:
    """Find out how shotcrop was installed.

    Args:
        prefix: The environment's folder. `uv tool` and pipx leave a file of their own there.
        python: The environment's interpreter.
        activated: Whether the environment is activated in the shell.
        has_pip: Whether pip is installed in the environment; uv creates environments without it.
        direct_url: The content of shotcrop's `direct_url.json`, None for an installation from a package index.
        packages: Names of installed packages.
    """
    if (prefix / "uv-receipt.toml").exists():
        manager = Manager.UV_TOOL
    elif (prefix / "pipx_metadata.json").exists():
        manager = Manager.PIPX
    else:
        manager = Manager.PIP if has_pip else Manager.UV
    source, editable = _source(direct_url)
    return Installation(
        manager,
        python="" if activated else python,
        source=source,
        editable=editable,
        extras=frozenset(extra for extra, package in EXTRAS.items() if package in packages),
    )


def _source(direct_url: str | None) -> tuple[str, bool]:
    """Return the folder or URL in a `direct_url.json`, and whether it is an editable folder.

    Source: https://packaging.python.org/en/latest/specifications/direct-url/
    """
    if direct_url is None:
        return "", False
    record = json.loads(direct_url)
    url = str(record["url"])
    if "dir_info" in record:
        return url2pathname(urlsplit(url).path), bool(record["dir_info"].get("editable", False))
    if "vcs_info" in record:
        version = record["vcs_info"]
        return f"{version['vcs']}+{url}@{version.get('requested_revision', version['commit_id'])}", False
    return url, False


def _direct_url() -> str | None:
    try:
        return distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:  # the sources run without being installed
        return None


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
