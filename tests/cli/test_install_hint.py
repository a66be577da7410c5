from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from shotcrop_cli.install_hint import EXTRAS, Installation, Manager, detect, installation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
CHECKOUT = '{"url": "file:///home/ana/shot%20crop", "dir_info": {"editable": true}}'
FOLDER = '{"url": "file:///home/ana/shotcrop", "dir_info": {}}'
WHEEL = '{"url": "https://example.org/shotcrop_cli-1.0-py3-none-any.whl", "archive_info": {}}'
GIT = (
    '{"url": "https://example.org/shotcrop.git", '
    '"vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "abc"}}'
)
COMMIT = '{"url": "https://example.org/shotcrop.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'


def found(
    prefix: Path,
    *,
    marker: str = "",
    activated: bool = True,
    has_pip: bool = True,
    direct_url: str | None = None,
    packages: tuple[str, ...] = ("onnxruntime",),
) -> Installation:
    if marker:
        (prefix / marker).write_text("")
    return detect(
        prefix,
        python="/opt/venv/bin/python",
        activated=activated,
        has_pip=has_pip,
        direct_url=direct_url,
        packages=packages,
    )


def test_pip_adds_an_extra_to_an_activated_environment(tmp_path: Path) -> None:
    assert found(tmp_path).add_extras("raw") == "pip install 'shotcrop-cli[raw]'"


def test_pip_is_called_by_the_interpreter_of_an_environment_that_is_not_activated(tmp_path: Path) -> None:
    hint = found(tmp_path, activated=False).add_extras("raw")
    assert hint == "/opt/venv/bin/python -m pip install 'shotcrop-cli[raw]'"


def test_uv_installs_where_there_is_no_pip(tmp_path: Path) -> None:
    assert found(tmp_path, has_pip=False).add_extras("raw") == "uv pip install 'shotcrop-cli[raw]'"
    hint = found(tmp_path, has_pip=False, activated=False).add_extras("raw")
    assert hint == "uv pip install --python /opt/venv/bin/python 'shotcrop-cli[raw]'"


def test_uv_tool_is_told_all_extras_since_it_removes_the_others(tmp_path: Path) -> None:
    here = found(tmp_path, marker="uv-receipt.toml", has_pip=False, activated=False)
    assert here.add_extras("raw") == "uv tool install 'shotcrop-cli[cpu,raw]'"


def test_pipx_is_told_all_extras_since_it_removes_the_others(tmp_path: Path) -> None:
    here = found(tmp_path, marker="pipx_metadata.json", activated=False)
    assert here.add_extras("raw") == "pipx install --force 'shotcrop-cli[cpu,raw]'"


@pytest.mark.parametrize(
    ("direct_url", "target"),
    [
        (CHECKOUT, "--editable '/home/ana/shot crop[raw]'"),
        (FOLDER, "'/home/ana/shotcrop[raw]'"),
        (WHEEL, "'shotcrop-cli[raw] @ https://example.org/shotcrop_cli-1.0-py3-none-any.whl'"),
        (GIT, "'shotcrop-cli[raw] @ git+https://example.org/shotcrop.git@v1'"),
        (COMMIT, "'shotcrop-cli[raw] @ git+https://example.org/shotcrop.git@abc'"),
    ],
    ids=["editable", "folder", "wheel", "tag", "commit"],
)
def test_an_extra_comes_from_where_shotcrop_came_from(tmp_path: Path, direct_url: str, target: str) -> None:
    assert found(tmp_path, direct_url=direct_url).add_extras("raw") == f"pip install {target}"


def test_an_editable_checkout_stays_editable_under_uv_tool(tmp_path: Path) -> None:
    here = found(tmp_path, marker="uv-receipt.toml", direct_url=CHECKOUT)
    assert here.add_extras("raw") == "uv tool install --editable '/home/ana/shot crop[cpu,raw]'"


TWO_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "rawpy")


@pytest.mark.parametrize(
    ("marker", "has_pip", "command"),
    [
        ("", True, "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'shotcrop-cli[gpu]'"),
        ("", False, "uv pip uninstall onnxruntime onnxruntime-gpu && uv pip install 'shotcrop-cli[gpu]'"),
        ("uv-receipt.toml", False, "uv tool uninstall shotcrop-cli && uv tool install 'shotcrop-cli[gpu,raw]'"),
        ("pipx_metadata.json", True, "pipx uninstall shotcrop-cli && pipx install --force 'shotcrop-cli[gpu,raw]'"),
    ],
)
def test_one_runtime_takes_the_place_of_all_others(tmp_path: Path, marker: str, has_pip: bool, command: str) -> None:
    here = found(tmp_path, marker=marker, has_pip=has_pip, packages=TWO_RUNTIMES)
    assert here.switch_runtime("gpu") == command


def test_every_extra_that_is_installed_is_kept(tmp_path: Path) -> None:
    packages = tuple(package for extra, package in EXTRAS.items() if extra != "gpu")
    here = found(tmp_path, marker="uv-receipt.toml", packages=packages)
    extras = "azure,captions,cpu,export,gcs,jxl,motion,parquet,pdf,qlora,raw,ray,review,s3,train"
    assert here.add_extras() == f"uv tool install 'shotcrop-cli[{extras}]'"


@pytest.mark.parametrize(
    ("manager", "add", "again", "all_again", "files"),
    [
        (
            Manager.PIP,
            "pip install torchvision",
            "pip install --force-reinstall pillow",
            "pip install --force-reinstall shotcrop-cli",
            "pip install --force-reinstall --no-deps shotcrop-cli",
        ),
        (
            Manager.UV,
            "uv pip install torchvision",
            "uv pip install --force-reinstall pillow",
            "uv pip install --force-reinstall shotcrop-cli",
            "uv pip install --force-reinstall --no-deps shotcrop-cli",
        ),
        (
            Manager.UV_TOOL,
            "uv tool install shotcrop-cli --with torchvision",
            "uv tool install --reinstall-package pillow shotcrop-cli",
            "uv tool install --reinstall shotcrop-cli",
            "uv tool install --reinstall-package shotcrop-cli shotcrop-cli",
        ),
        (
            Manager.PIPX,
            "pipx inject shotcrop-cli torchvision",
            "pipx reinstall shotcrop-cli",
            "pipx reinstall shotcrop-cli",
            "pipx reinstall shotcrop-cli",
        ),
    ],
)
def test_packages_are_added_and_renewed_by_the_manager(
    manager: Manager, add: str, again: str, all_again: str, files: str
) -> None:
    here = Installation(manager)
    assert here.add_packages("torchvision") == add
    assert here.reinstall("pillow") == again
    assert here.reinstall() == all_again
    assert here.restore_files("weights") == files


def test_files_of_a_checkout_come_from_git() -> None:
    here = Installation(source="/home/ana/shot crop", editable=True)
    assert here.restore_files("weights") == "git -C '/home/ana/shot crop' restore src/shotcrop_cli/weights"


@pytest.mark.parametrize("manager", Manager)
def test_names_with_spaces_are_quoted_for_the_shell(manager: Manager) -> None:
    here = Installation(manager, python="/a b/python", source="/c d", editable=True)
    for command in (here.add_extras("raw"), here.switch_runtime("gpu"), here.reinstall()):
        words = shlex.split(command)
        assert "b/python" not in words and "d" not in words
    assert "/c d[raw]" in shlex.split(here.add_extras("raw"))


def test_this_installation_is_found() -> None:
    here = installation()
    assert here.manager in Manager
    assert "cpu" in here.extras


def test_each_extra_for_users_has_a_package_of_its_own() -> None:
    extras = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    names = {
        extra: {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}
        for extra, requirements in extras.items()
    }
    assert set(EXTRAS) == set(extras) - {"bench", "dev"}
    for extra, package in EXTRAS.items():
        assert [other for other in names if package in names[other]] == [extra]
