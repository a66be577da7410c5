from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import trl
from click.testing import CliRunner

from shotcrop_cli.errors import ModelError
from shotcrop_cli.main import cli
from shotcrop_train import grpo, sft
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data.chat_template import CHATML, CHATML_TEMPLATE, check_chat_template, set_chat_template
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe
from shotcrop_train.rewards.photo_pool import GrpoData
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.runs.run_log import read_log
from training import NO_AUGMENTATION, vary_experts, write_dataset
from training_page import PAGE
from vlm import save_tiny_vlm, tiny_vlm

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
KEEPING = {"Qwen2.5-VL": ["qwen2_5_vl"], "Qwen3-VL": ["qwen3_vl"], "Gemma 3": ["gemma3"], "SmolVLM": ["smolvlm"]}
REWRITING = {"Qwen3.5, thinking or not": ["qwen3_5_think", "qwen3_5_nothink"]}
RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), shares={"expert": 1.0}),
    optimisation=Optimisation(steps=1, batch_size=2, learning_rate=1e-3, warmup_steps=0),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=9, save_every=9),
    model=ModelRecipe(max_pixels=0, lora_rank=4),
)


def checked(template: str, *, think: bool = True) -> None:
    processor = tiny_vlm()[1]
    set_chat_template(processor, str(TEMPLATES / f"{template}.jinja"))
    check_chat_template(processor, template, think=think)


@pytest.mark.parametrize("template", [name for names in KEEPING.values() for name in names])
def test_templates_that_keep_answers_are_accepted(template: str) -> None:
    checked(template)


@pytest.mark.parametrize("template", [name for names in REWRITING.values() for name in names])
def test_templates_that_rewrite_answers_are_refused_with_the_place_and_a_way_out(template: str) -> None:
    with pytest.raises(ModelError, match=r"changes the answer .* after .*</think>") as caught:
        checked(template)
    assert "--chat-template chatml" in str(caught.value)
    checked(template, think=False)


def test_the_page_says_what_was_tried() -> None:
    text = PAGE.read_text("utf-8")
    for family in KEEPING:
        assert re.search(rf"^\| {re.escape(family)} \| keeps answers \|", text, re.MULTILINE), family
    for family in REWRITING:
        assert re.search(rf"^\| {re.escape(family)} \| rewrites answers", text, re.MULTILINE), family


def test_a_template_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jinja").write_text("{{ raise_exception('no pictures') }}", "utf-8")
    processor = tiny_vlm()[1]
    set_chat_template(processor, str(tmp_path / "bad.jinja"))
    with pytest.raises(ModelError, match="no pictures"):
        check_chat_template(processor, "base", think=True)
    with pytest.raises(ModelError, match="cannot be read"):
        set_chat_template(processor, str(tmp_path / "gone.jinja"))


@pytest.fixture(scope="module")
def rewriting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a thinking template, next to its data."""
    root = tmp_path_factory.mktemp("rewriting")
    write_dataset(root / "data" / "experts", 12, "experts")
    vary_experts(root / "data" / "experts")
    base = load_base(save_tiny_vlm(root / "plain"))
    set_chat_template(base.processor, str(TEMPLATES / "qwen3_5_think.jinja"))
    base.model.save_pretrained(root / "start")
    base.processor.save_pretrained(root / "start")
    return root / "start"


def test_training_refuses_such_a_base_before_it_starts_and_takes_the_built_in_template(
    rewriting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "validate", lambda *_: {})
    data = rewriting.parent / "data"
    with pytest.raises(ModelError, match="changes the answer"):
        sft.train(RECIPE, data, tmp_path / "refused", rewriting)
    third = grpo.GrpoRecipe(GrpoData(("experts",)), reward=RewardRecipe(aesthetic="composition"))
    with pytest.raises(ModelError, match="changes the answer"):
        grpo.train(third, data, tmp_path / "third", rewriting)
    recipe = replace(RECIPE, model=replace(RECIPE.model, chat_template=CHATML))
    final = sft.train(recipe, data, tmp_path / "run", rewriting)
    assert load_base(final).processor.chat_template == CHATML_TEMPLATE


@pytest.mark.parametrize("rank", [0, 4])
def test_qwen3_5_trains_with_the_built_in_template(
    rewriting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    for stage in (sft, grpo):
        monkeypatch.setattr(stage, "validate", lambda *_: {})
        monkeypatch.setattr(stage, "draw_curves", lambda *_: None)
    base = load_base(save_tiny_vlm(tmp_path / "plain", "qwen3.5"))
    set_chat_template(base.processor, str(TEMPLATES / "qwen3_5_think.jinja"))
    base.model.save_pretrained(tmp_path / "start")
    base.processor.save_pretrained(tmp_path / "start")
    model = ModelRecipe(max_pixels=0, lora_rank=rank, chat_template=CHATML)
    recipe = replace(RECIPE, optimisation=replace(RECIPE.optimisation, steps=3, learning_rate=1e-2), model=model)
    data = rewriting.parent / "data"
    first = sft.train(recipe, data, tmp_path / "first", tmp_path / "start")
    losses = [line["loss"] for line in read_log(tmp_path / "first" / "log.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]
    third = grpo.GrpoRecipe(
        GrpoData(("experts",)),
        model=model,
        reward=RewardRecipe(preset="cinema", aesthetic="composition", captions="words"),
        optimisation=grpo.Policy(steps=1, photos=1, group=2, batch_size=2, max_tokens=4),
        schedule=RECIPE.schedule,
    )
    assert (grpo.train(third, data, tmp_path / "third", first) / "model.safetensors").is_file()


def test_the_option_reaches_the_recipe_and_the_compact_model_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def train(recipe: SftRecipe, data: Path, output: Path, *_: object, **__: object) -> Path:
        provenance.record(output, stage="sft", recipe=recipe, datasets=[])
        seen.append(recipe.model.chat_template)
        return output / "final"

    monkeypatch.setattr(sft, "train", train)
    arguments = ["train", "sft", "--data", str(tmp_path), "-o", str(tmp_path / "run"), "--chat-template", CHATML]
    assert CliRunner().invoke(cli, [*arguments, "--config", "qwen3-vl-sft"]).exit_code == 0
    assert seen == [CHATML]
    refused = CliRunner().invoke(cli, [*arguments, "--config", "nano"])
    assert refused.exit_code != 0
    assert "compact model has no setting 'model.chat_template'" in refused.output
