from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_train.recipe import build, load_recipe


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    on: bool = False
    ratio: float = 1.0
    words: tuple[str, ...] = ()
    parts: tuple[Inner, ...] = ()
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("count must be at least 1")


def test_tables_lists_and_lists_of_tables_become_dataclasses() -> None:
    content = {"name": "a", "ratio": 2, "words": ["x", "y"], "parts": [{"rate": 1}, {}], "inner": {"rate": 0.25}}
    assert build(Outer, content, "r") == Outer("a", 1, False, 2.0, ("x", "y"), (Inner(1.0), Inner()), Inner(0.25))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "r: .*name"),
        ({"name": 3}, "'name' must be text in quotes, not 3"),
        ({"name": "a", "count": 1.5}, "'count' must be a whole number, not 1.5"),
        ({"name": "a", "count": True}, "'count' must be a whole number, not True"),
        ({"name": "a", "count": 0}, "r: count must be at least 1"),
        ({"name": "a", "on": 1}, "'on' must be true or false, not 1"),
        ({"name": "a", "ratio": "much"}, "'ratio' must be a number, not 'much'"),
        ({"name": "a", "words": [1]}, r"'words\[0\]' must be text in quotes"),
        ({"name": "a", "parts": [{"rat": 1}]}, r"r \[parts\[0\]\]: unknown key 'rat'.*"),
        ({"name": "a", "inner": 1}, "'inner' must be a table"),
        ({"nam": "a"}, "unknown key 'nam'"),
    ],
)
def test_a_faulty_recipe_is_named_with_the_place_of_the_fault(content: dict[str, object], message: str) -> None:
    with pytest.raises(ShotcropError, match=message):
        build(Outer, content, "r")


def test_a_misspelt_key_suggests_the_right_one() -> None:
    with pytest.raises(ShotcropError, match="nam") as caught:
        build(Outer, {"nam": "a"}, "r")
    assert caught.value.hint == "did you mean 'name'?"


def test_a_recipe_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="there is no recipe 'nano-groundign'") as caught:
        load_recipe("nano-groundign", Outer)
    assert "one of: nano, " in (caught.value.hint or "")
    (tmp_path / "broken.toml").write_text("= 3", "utf-8")
    with pytest.raises(ShotcropError, match="cannot be read"):
        load_recipe(str(tmp_path / "broken.toml"), Outer)
