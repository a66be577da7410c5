"""Check docs/training.md against the code: every recipe key and every metric that it names exists.

Whether a run logs the figures that the page names is checked where such runs are tested.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest

from shotcrop_cli.evaluation.bootstrap import MEASURES
from shotcrop_train.composer.nano_recipe import NanoRecipe
from shotcrop_train.grpo import GrpoRecipe
from shotcrop_train.pipeline import PIPELINES, PipelineRecipe
from shotcrop_train.pseudo_label import PseudoLabelRecipe
from shotcrop_train.recipe import RECIPES, SftRecipe
from shotcrop_train.ssft import SsftRecipe
from training_page import PAGE, documented

STAGES = (SftRecipe, PseudoLabelRecipe, SsftRecipe, GrpoRecipe, NanoRecipe, PipelineRecipe)
NAME = re.compile(r"[a-z][a-z0-9]*(?:[._][a-z0-9_]+)+")
"""What looks like a recipe key or a figure, such as `model.micro_batch` or `format_rate`; single words are left out."""
ELSEWHERE = {"no_person", "shotcrop_cli", "shotcrop_train", "torch.distributed.run"}
FILES = (".toml", ".json", ".jsonl", ".png", ".py", ".md")


def keys(recipe: Any, prefix: str = "") -> set[str]:
    """Return the dotted keys of a recipe, those of its tables included."""
    types, found = get_type_hints(recipe), set()
    for field in fields(recipe):
        name, kind = prefix + field.name, types[field.name]
        found.add(name)
        for inner in (kind, *get_args(kind)):
            if is_dataclass(inner):
                found |= keys(inner, f"{name}.")
    return found


KEYS = set().union(*map(keys, STAGES))
METRICS = {measure.name for measure in MEASURES}


def unknown_names(text: str) -> list[str]:
    """Return what looks like a key or a figure in the inline code of a page and is neither."""
    words = {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[\s,/=]+", span)}
    known = KEYS | {key.rpartition(".")[2] for key in KEYS} | METRICS | set(documented("figure")) | ELSEWHERE
    return sorted(word for word in words - known if NAME.fullmatch(word) and not word.endswith(FILES))


def test_each_key_in_the_table_of_keys_exists() -> None:
    named = documented("key")
    assert len(named) > 10
    assert [key for key in named if key not in KEYS] == []


def test_each_recipe_of_the_commands_exists() -> None:
    named = set(re.findall(r"--config ([\w-]+)", PAGE.read_text("utf-8")))
    shipped = {path.stem for folder in (RECIPES, PIPELINES) for path in folder.glob("*.toml")}
    assert len(named) >= 5
    assert named <= shipped


def test_each_held_back_metric_is_one_of_the_evaluation() -> None:
    held = [name.removeprefix("held_") for name in documented("figure") if name.startswith("held_")]
    assert held
    assert set(held) <= METRICS


def test_the_text_names_no_other_key_and_no_other_figure() -> None:
    assert unknown_names(PAGE.read_text("utf-8")) == []


@pytest.mark.parametrize("name", ["gradient_accumulation", "zero_variance", "optimisation.photo"])
def test_a_name_that_does_not_exist_is_found(name: str) -> None:
    assert unknown_names(f"{PAGE.read_text('utf-8')}\nSet `{name} = 2`.\n") == [name]
