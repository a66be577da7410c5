"""The imports keep to the layers of docs/architecture.md, and the diagram shows them as they are."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_spec = importlib.util.spec_from_file_location("imports", ROOT / "docs" / "imports.py")
assert _spec is not None and _spec.loader is not None
imports = importlib.util.module_from_spec(_spec)
sys.modules["imports"] = imports  # dataclasses look their module up
_spec.loader.exec_module(imports)

OURS = imports.read()


def written(folder: Path, modules: Mapping[str, str]) -> object:
    """Write modules by their path below the repository, and read the imports of the tree."""
    for name, content in modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return imports.read(folder)


def test_each_box_is_in_one_layer() -> None:
    named = [f"{package}.{name}" for package, _, names in imports.LAYERS for name in names]
    assert len(named) == len(set(named))
    assert set(named) == OURS.boxes, "add new boxes to LAYERS in docs/imports.py, remove former ones"


def test_no_two_boxes_import_each_other() -> None:
    assert imports.circles(OURS.arrows) == []


def test_imports_go_down_the_layers() -> None:
    assert imports.upward(OURS.arrows) == []


def test_only_bodies_of_commands_import_the_packages_above() -> None:
    assert {source for source, _ in OURS.at_run_time} == {"shotcrop_cli.commands"}


def test_the_diagram_is_current() -> None:
    assert imports.PICTURE.read_text("utf-8") == imports.draw(OURS), "the imports have changed: run `make docs`"


def test_the_diagram_does_not_depend_on_the_order_of_sets() -> None:
    pictures = {
        imports.draw(imports.Imports(frozenset(boxes), frozenset(arrows), frozenset()))
        for boxes, arrows in (
            (sorted(OURS.boxes), sorted(OURS.arrows)),
            (sorted(OURS.boxes, reverse=True), sorted(OURS.arrows, reverse=True)),
        )
    }
    assert len(pictures) == 1


def test_every_box_is_drawn() -> None:
    picture = imports.draw(OURS)
    for box in OURS.boxes:
        assert f">{box.split('.')[1]}</text>" in picture


def test_a_circle_over_three_boxes_is_found(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        {
            "src/shotcrop_cli/__init__.py": "",
            "src/shotcrop_cli/shots.py": "import shotcrop_cli.model.load",
            "src/shotcrop_cli/model/__init__.py": "",
            "src/shotcrop_cli/model/load.py": "from shotcrop_cli import framing",
            "src/shotcrop_cli/framing.py": "def f():\n    from shotcrop_cli.shots import Box",
        },
    )
    assert imports.circles(found.arrows) == [["shotcrop_cli.framing", "shotcrop_cli.model", "shotcrop_cli.shots"]]
    assert imports.upward(found.arrows) == [("shotcrop_cli.shots", "shotcrop_cli.model")]


@pytest.mark.parametrize(
    ("content", "upward"),
    [
        ("from shotcrop_train.sft import train", [("shotcrop_cli.commands", "shotcrop_train.sft")]),
        ("if True:\n    import shotcrop_train.sft", [("shotcrop_cli.commands", "shotcrop_train.sft")]),
        ("def run():\n    from shotcrop_train.sft import train", []),
    ],
)
def test_the_package_above_may_be_imported_at_run_time_only(
    tmp_path: Path, content: str, upward: list[tuple[str, str]]
) -> None:
    found = written(
        tmp_path,
        {"src/shotcrop_cli/commands/train.py": content, "train/shotcrop_train/sft.py": "def train(): ..."},
    )
    assert imports.upward(found.arrows) == upward
    assert len(found.arrows | found.at_run_time) == 1


def test_an_arrow_that_others_imply_is_not_drawn() -> None:
    assert imports.reduced([("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")]) == [("a", "b"), ("a", "d"), ("b", "c")]


def test_a_box_without_a_layer_is_named() -> None:
    with pytest.raises(KeyError, match=r"shotcrop_cli\.surprise is in no layer"):
        imports.rank("shotcrop_cli.surprise")
