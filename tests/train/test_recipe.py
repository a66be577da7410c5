from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_train.composer.nano_recipe import load_nano_recipe
from shotcrop_train.recipe import SftRecipe, build, load_recipe


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


CHANGES = {
    "a number": ("optimisation.learning_rate=1e-5", ("optimisation", "learning_rate"), 1e-5),
    "a whole number for a real one": ("optimisation.weight_decay=1", ("optimisation", "weight_decay"), 1.0),
    "text without quotes": ("model.dtype=bfloat16", ("model", "dtype"), "bfloat16"),
    "text with quotes": ('model.chat_template="a b.jinja"', ("model", "chat_template"), "a b.jinja"),
    "a list": ('model.lora_targets=["q_proj"]', ("model", "lora_targets"), ("q_proj",)),
    "true": ("model.location_tokens=true", ("model", "location_tokens"), True),
}


@pytest.mark.parametrize(("change", "place", "value"), CHANGES.values(), ids=CHANGES.keys())
def test_a_value_replaces_the_recipes_in_its_type(change: str, place: tuple[str, str], value: object) -> None:
    recipe = load_recipe("qwen3-vl-sft", SftRecipe, [change])
    assert getattr(getattr(recipe, place[0]), place[1]) == value
    assert type(getattr(getattr(recipe, place[0]), place[1])) is type(value)
    before = load_recipe("qwen3-vl-sft", SftRecipe)
    assert recipe != before
    assert replace(recipe, **{place[0]: getattr(before, place[0])}) == before


def test_one_share_changes_and_the_others_stay() -> None:
    before = load_recipe("qwen3-vl-sft", SftRecipe).data.shares
    shares = load_recipe("qwen3-vl-sft", SftRecipe, ["data.shares.empty=0.2"]).data.shares
    assert shares == {**before, "empty": 0.2} != before
    nano = load_nano_recipe("nano", ['detector.data.repeat."no_person/train"=2.0', "grpo.steps=7"])
    assert nano.detector.data.repeat["no_person/train"] == 2.0 and nano.grpo.steps == 7


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("optimisation.learning_rte=1", "no key 'optimisation.learning_rte'", "'optimisation.learning_rate'"),
        ("learning_rate=1e-5", "no key 'learning_rate'", "did you mean 'optimisation.learning_rate'"),
        ("optimization.steps=3", "no key 'optimization.steps'", "did you mean 'optimisation.steps'"),
        ("xyzzy=3", "no key 'xyzzy'", "known keys: "),
        ("model=3", "no key 'model'", ""),
        ("optimisation.steps", "there is no value", "TABLE.KEY=VALUE"),
        ("optimisation.steps=many", "'steps' must be a whole number, not 'many'", ""),
        ("optimisation.steps=1.5", "'steps' must be a whole number, not 1.5", ""),
        ("model.dtype=int3", "'dtype' must be one of", ""),
    ],
)  # fmt: skip
def test_a_change_that_the_recipe_cannot_take_is_refused(change: str, message: str, hint: str) -> None:
    with pytest.raises(ShotcropError, match=re.escape(message)) as caught:
        load_recipe("qwen3-vl-sft", SftRecipe, [change])
    assert hint in (caught.value.hint or "")
