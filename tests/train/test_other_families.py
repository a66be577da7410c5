"""Training of families other than Qwen's, by tiny random models with their own chat templates and image processing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from shotcrop_cli.errors import AnswerError
from shotcrop_train import grpo, sft
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data.chat_template import check_chat_template
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe
from shotcrop_train.rewards.photo_pool import GrpoData
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.runs.run_log import read_log
from training import NO_AUGMENTATION, vary_experts, write_dataset
from training_page import PAGE
from vlm import photo
from vlm_families import OTHER_FAMILIES, save_tiny_other_vlm, tiny_other_vlm

RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), shares={"expert": 1.0}),
    optimisation=Optimisation(steps=3, batch_size=2, learning_rate=5e-3, warmup_steps=0),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=9, save_every=9),
)
NAMES = {"gemma-3": "Gemma 3", "smolvlm": "SmolVLM", "internvl": "InternVL"}


@pytest.mark.parametrize("family", OTHER_FAMILIES)
@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_a_family_learns_in_stages_1_and_3_and_answers(
    tmp_path: Path, family: str, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in (sft, grpo):
        monkeypatch.setattr(stage, "validate", lambda *_: {})
        monkeypatch.setattr(stage, "draw_curves", lambda *_: None)
    write_dataset(tmp_path / "experts", 12, "experts")
    vary_experts(tmp_path / "experts")
    model = ModelRecipe(max_pixels=0, lora_rank=rank)
    start = save_tiny_other_vlm(tmp_path / "start", family)
    first = sft.train(replace(RECIPE, model=model), tmp_path, tmp_path / "first", start)
    losses = [line["loss"] for line in read_log(tmp_path / "first" / "log.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]
    third = grpo.GrpoRecipe(
        GrpoData(("experts",)),
        model=model,
        reward=RewardRecipe(preset="cinema", aesthetic="composition", captions="words"),
        optimisation=grpo.Policy(steps=1, photos=1, group=2, batch_size=2, max_tokens=4),
        schedule=RECIPE.schedule,
    )
    final = grpo.train(third, tmp_path, tmp_path / "third", first)
    (answer,) = load_base(final).answer([photo()], [96 / 72], max_tokens=4)
    assert isinstance(answer, AnswerError)  # four tokens of a random model are no answer, but they were sampled


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_its_chat_template_keeps_answers_as_the_page_says(family: str) -> None:
    check_chat_template(tiny_other_vlm(family)[1], family, think=True)
    row = rf"^\| {NAMES[family]} \| .*keeps answers.* \| stages 1 and 3"
    assert re.search(row, PAGE.read_text("utf-8"), re.MULTILINE)
