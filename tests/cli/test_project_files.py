"""The files for outsiders agree with the project: install.md, Dockerfile, CONTRIBUTING.md, workflows, templates."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = set(PROJECT["project"]["optional-dependencies"])
INSTALL = (ROOT / "docs" / "install.md").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
CI = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted([*ROOT_PAGES, ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md", *ROOT.glob("docs/*.md")])
FOR_MAKE = [*PAGES, *sorted(ROOT.glob(".github/workflows/*.yml"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def shell_lines(page: str) -> Iterator[str]:
    """Yield the commands of a page's code blocks, without `sudo` and comments."""
    for block in re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield re.sub(r"\s+#.*", "", line).removeprefix("sudo ").strip()


def docker_commands() -> list[str]:
    """Return the commands that the Dockerfile runs, without folders and options."""
    runs = re.findall(r"^RUN (.*(?:\n    && .*)*)", DOCKERFILE.replace("\\\n", "\n"), re.MULTILINE)
    commands = [part.strip() for run in runs for part in run.split("&&")]
    return [" ".join(re.sub(r"/\S*/|(?<=\s)--?[a-z-]+(?=\s)", "", command).split()) for command in commands]


def test_the_dockerfile_installs_as_the_docs_say() -> None:
    documented = set(shell_lines(INSTALL))
    commands = docker_commands()
    (pip,) = [command for command in commands if command.startswith("pip ")]
    assert pip in documented
    (apt,) = [command for command in commands if command.startswith("apt-get install")]
    assert apt.replace("apt-get", "apt") in documented
    assert "python -m venv" in DOCKERFILE and any(line.startswith("python3 -m venv ") for line in documented)


def test_the_image_is_said_not_to_be_built() -> None:
    assert "have not built the image" in INSTALL


def test_the_image_runs_without_root() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["1000"]
    assert DOCKERFILE.index("USER 1000") > DOCKERFILE.rindex("RUN")


def test_what_the_wheel_is_built_from_is_sent_to_docker() -> None:
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    packages = {path.split("/")[0] for path in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    project = PROJECT["project"]
    assert sent == {"pyproject.toml", project["readme"], *project["license-files"], *packages}


def test_each_extra_is_explained() -> None:
    assert set(re.findall(r"^\| `([a-z0-9]+)` \|", INSTALL, re.MULTILINE)) == EXTRAS


@pytest.mark.parametrize("path", [*PAGES, ROOT / "Dockerfile", ROOT / "Makefile"], ids=name_of)
def test_extras_that_a_command_names_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    named = {extra for group in re.findall(r"(?:\.|shotcrop-cli)\[([a-z0-9,]+)\]", text) for extra in group.split(",")}
    assert named <= EXTRAS


@pytest.mark.parametrize("path", FOR_MAKE, ids=name_of)
def test_make_targets_that_are_named_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named: set[str] = set()
    for words in re.findall(
        r"(?:`|^\s*|run: )make ((?:[a-z][a-z-]*(?: |$|`|\n))+)", path.read_text("utf-8"), re.MULTILINE
    ):
        named |= set(words.replace("`", " ").split())
    assert named <= targets
    if path.name == "ci.yml":
        assert {"lint", "type", "test-cli", "test"} <= named


def test_ci_tests_each_supported_python() -> None:
    (versions,) = re.findall(r"^\s*python: \[(.*)\]$", CI, re.MULTILINE)
    tested = [tuple(map(int, version.split("."))) for version in re.findall(r'"([\d.]+)"', versions)]
    lowest, highest = tested[0], tested[-1]
    assert tested == [(3, minor) for minor in range(lowest[1], highest[1] + 1)]
    assert PROJECT["project"]["requires-python"] == f">=3.{lowest[1]},<3.{highest[1] + 1}"
    for page in (INSTALL, (ROOT / "README.md").read_text("utf-8")):
        assert f"Python 3.{lowest[1]} to 3.{highest[1]}" in page


def test_ci_crops_as_many_photos_as_there_are_examples() -> None:
    photos = [path for path in (ROOT / "examples" / "photos").iterdir() if path.suffix != ".md"]
    assert f"-eq {len(photos)}" in CI


def test_torch_has_one_version() -> None:
    (torch,) = re.findall(r"^TORCH \?= (torch==\S+)$", MAKEFILE, re.MULTILINE)
    assert set(re.findall(r"torch==[\d.]+", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))) == {torch}
    assert "torch==" not in CI  # it takes the Makefile's


def test_pre_commit_has_the_linter_of_the_tests() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    constraints = (ROOT / "tests" / "constraints.txt").read_text("utf-8")
    (hook,) = re.findall(r"rev: v([\d.]+)", hooks)
    (tested,) = re.findall(r"^ruff==([\d.]+)", constraints, re.MULTILINE)
    assert hook == tested


def test_actions_are_pinned_by_a_version() -> None:
    for workflow in ROOT.glob(".github/workflows/*.yml"):
        for action in re.findall(r"uses: (\S+)", workflow.read_text("utf-8")):
            assert action.startswith("./") or re.fullmatch(r"[\w./-]+@(?:release/)?v\d+", action), action


def test_only_the_upload_may_ask_for_an_identity() -> None:
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    before, _, publish = release.partition("  publish:")
    assert "id-token: write" in publish
    assert "id-token" not in before and "id-token" not in CI
    assert "password" not in publish


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    (version,) = re.findall(r"^version: (.*)$", citation, re.MULTILINE)
    (date,) = re.findall(r'^date-released: "(.*)"$', citation, re.MULTILINE)
    assert version == PROJECT["project"]["version"]
    assert f"## [{version}] - {date}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_a_bug_report_asks_for_the_output_of_doctor() -> None:
    form = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")
    field = form[form.index("id: doctor") :]
    assert "`shotcrop doctor`" in field
    assert "required: true" in field.partition("- type:")[0]


def test_the_source_distribution_holds_the_files_for_outsiders() -> None:
    included = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    files = {f"/{path.name}" for path in ROOT.iterdir() if path.suffix in (".md", ".cff") or path.name == "Dockerfile"}
    read_by_tests = {"/.dockerignore", "/.github", "/.pre-commit-config.yaml"}
    assert (files | read_by_tests) - {f"/{PROJECT['project']['readme']}"} <= included


@pytest.mark.parametrize("page", ROOT_PAGES, ids=name_of)
def test_links_of_the_root_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_code_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    sources = {
        path.relative_to(ROOT): path.read_text("utf-8")
        for folder in ("src", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    code = "\n".join(sources.values())
    for name in re.findall(r"`([A-Z_]{5,}|[A-Z][a-zA-Z]+[a-z]|to_[a-z]+|_[A-Z_]+)`", text):
        assert re.search(rf"\b{name}\b", code), name
    for path in re.findall(r"`(tests/[\w/{},]+(?:\.py)?)`", text):
        for one in [path.replace("{cli,train,export}", part) for part in ("cli", "train", "export")]:
            assert (ROOT / one).exists(), one
