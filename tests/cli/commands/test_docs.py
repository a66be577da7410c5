from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from shotcrop_cli import sidecar
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.sidecar import SCHEMA_PATH

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "MODEL_CARD.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])


def test_exit_code_table_lists_each_code_with_its_number() -> None:
    table = (ROOT / "docs" / "exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", table, re.MULTILINE)
    assert [(name, int(number)) for number, name in rows] == [(code.name, code.value) for code in ExitCode]


def schema_keys(node: object) -> set[str]:
    """Return the names of all properties in a JSON Schema."""
    if isinstance(node, list):
        return {key for item in node for key in schema_keys(item)}
    if not isinstance(node, dict):
        return set()
    here = set(node.get("properties", {}))
    return here.union(*(schema_keys(value) for value in node.values()))


def test_each_key_of_the_sidecar_is_explained() -> None:
    page = (ROOT / "docs" / "sidecar.md").read_text("utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    explained = set(re.findall(r"`([a-z_0-9]+)`", table))
    assert schema_keys(json.loads(SCHEMA_PATH.read_text("utf-8"))) <= explained


def test_example_sidecar_of_the_docs_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sidecar.md").read_text("utf-8")
    example = re.search(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert example is not None
    jsonschema.validate(json.loads(example[1]), json.loads(SCHEMA_PATH.read_text("utf-8")))
    path = tmp_path / "example.json"
    path.write_text(example[1], "utf-8")
    assert json.loads(sidecar.read(path).to_bytes()) == json.loads(example[1])


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_commands_in_the_docs_exist(page: Path) -> None:
    named = re.findall(r"(?:`|^)make ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE)
    assert set(named) <= make_targets()


def test_readme_names_both_set_up_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {"demo", "test"} <= set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE))


def test_every_phony_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == make_targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_of_the_docs_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_of_the_docs_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*\.md)?#([^)]+)\)", page.read_text("utf-8"))
    missing = [
        (name, heading) for name, heading in links if heading not in anchors(page.parent / name if name else page)
    ]
    assert missing == []


def test_each_example_photo_has_its_provenance() -> None:
    folder = ROOT / "examples" / "photos"
    photos = {path.name for path in folder.iterdir() if path.suffix != ".md"}
    named = set(re.findall(r"^\| `([^`]+)` \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE))
    assert photos == named
