from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file

from shotcrop_cli.errors import AnswerError, ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composition, Reasoning, Shot
from shotcrop_train import grpo
from shotcrop_train.checkpoints import load_base
from shotcrop_train.composer.nano_recipe import load_nano_recipe
from shotcrop_train.data.contract import Parts, TextContract
from shotcrop_train.data.samples import held_back
from shotcrop_train.grpo import Generation, GrpoRecipe, Policy, train
from shotcrop_train.recipe import ModelRecipe, Schedule, load_recipe
from shotcrop_train.rewards.photo_pool import GrpoData
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.runs.run_log import read_log
from training import vary_experts, write_dataset
from training_page import documented
from vlm import save_tiny_vlm

RECIPE = GrpoRecipe(
    GrpoData(("experts",)),
    reward=RewardRecipe(aesthetic="composition", captions="words"),
    optimisation=Policy(steps=4, photos=1, group=4, batch_size=4, learning_rate=1e-3, warmup_steps=1, max_tokens=12),
    model=ModelRecipe(max_pixels=0),
    schedule=Schedule(log_every=1, evaluate_every=4, save_every=2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder / "experts", 30, "experts")
    vary_experts(folder / "experts")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_vlm(tmp_path_factory.mktemp("base"))


def planned(**changes: Any) -> GrpoRecipe:
    return replace(RECIPE, optimisation=replace(RECIPE.optimisation, **changes))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def moved(one: Path, other: Path) -> list[str]:
    a, b = weights(one), weights(other)
    return [name for name in a if not torch.equal(a[name], b[name])]


def lowercase(completions: Sequence[Any], **_: Any) -> list[float]:
    """Replace the reward: return the share of lower-case letters in each answer."""
    texts = [one[0]["content"] for one in completions]
    return [sum("a" <= letter <= "z" for letter in text) / max(len(text), 1) for text in texts]


def from_letters(_: TextContract, text: str, size: tuple[int, int], parts: Parts) -> Answer:
    """Replace the reader: make a triple of the letters of an answer, or nothing of some answers."""
    seed = sum(map(ord, text))
    if seed % 5 == 0:
        return AnswerError("cannot be read")
    y0 = 0.05 + 0.001 * (seed % 97)
    boxes = (Box(0.0, y0, 1.0, 1.0), Box(0.2, y0, 0.8, 0.8), Box(0.3, y0, 0.7, 0.5))
    shots = tuple(map(Shot, SHOT_TYPES, boxes, ("a field", "a red figure", "a head")))
    return Composition(shots, Reasoning("A field.", "A figure.", "It stands."))


def unmasked(settings: Callable[..., Any]) -> Callable[..., Any]:
    """Return the settings of a run without the mask for truncated answers: a random model never ends its answer."""

    def changed(*given: Any) -> Any:
        made = settings(*given)
        made.mask_truncated_completions = False
        return made

    return changed


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "_settings", unmasked(grpo._settings))


def plant(monkeypatch: pytest.MonkeyPatch, reward: Any) -> None:
    """Replace the reward function and skip validation."""
    monkeypatch.setattr(grpo, "prepare", lambda *arguments, **named: reward)
    monkeypatch.setattr(grpo, "validate", lambda *given: {})


def rise(log: list[dict[str, Any]]) -> float:
    """Return by how much the reward of the last quarter of the steps is above that of the first."""
    values = [line["reward"] for line in log if "reward" in line]
    quarter = len(values) // 4
    return sum(values[-quarter:]) / quarter - sum(values[:quarter]) / quarter


@pytest.fixture(scope="module")
def learnt(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with the real reward, whose answers are made readable."""
    run = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextContract, "read_exactly", from_letters)
        patch.setattr(grpo, "validate", lambda *given: {"held_iou": 0.5})
        patch.setattr(grpo, "_settings", unmasked(grpo._settings))
        train(planned(steps=4, group=8, batch_size=8), data, run, base)
    return run


def test_a_run_logs_every_term_the_groups_and_the_policy(learnt: Path) -> None:
    lines = [line for line in read_log(learnt / "log.jsonl") if "reward" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    wanted = {
        "reward_iou", "reward_aesthetic", "reward_ratio", "group_mean", "group_std", "groups_without_variance",
        "kl", "entropy", "format_rate", "completions/mean_length", "completions/clipped_ratio", "hard_share",
    }  # fmt: skip
    assert all(wanted <= line.keys() for line in lines)
    assert lines[-1]["kl"] > 0.0
    for line in lines:
        parts = 0.6 * line["reward_iou"] + 0.2 * line["reward_aesthetic"] + 0.2 * line["reward_ratio"]
        # An answer that cannot be read earns 0.
        assert line["reward"] == pytest.approx(line["format_rate"] * parts, abs=1e-4)
        assert line["group_mean"] == pytest.approx(line["reward"], abs=1e-6)
    assert any("held_iou" in line for line in read_log(learnt / "log.jsonl"))
    assert {*documented("figure", stage=3)} <= {name for line in read_log(learnt / "log.jsonl") for name in line}
    assert (learnt / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_vision_tower_stays_as_it_was(learnt: Path, base: Path) -> None:
    names = moved(base, learnt / "final")
    assert names
    assert not [name for name in names if "visual" in name]


@pytest.mark.usefixtures("endless")
def test_an_interrupted_run_continues_and_ends_like_one_without_interruption(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lowercase)
    whole = train(RECIPE, data, tmp_path / "whole", base)

    class Interrupted(Exception):
        pass

    real, steps = grpo.GroupTrainer.training_step, []

    def interrupting(self: Any, *arguments: Any, **named: Any) -> Any:
        steps.append(self.state.global_step)
        if self.state.global_step == 3:
            raise Interrupted
        return real(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(grpo.GroupTrainer, "training_step", interrupting)
        train(RECIPE, data, tmp_path / "interrupted", base)
    assert (tmp_path / "interrupted" / "checkpoint-2").is_dir()
    resumed = train(RECIPE, data, tmp_path / "interrupted", base)
    assert moved(whole, resumed) == []
    assert moved(base, resumed)


@pytest.mark.usefixtures("endless")
def test_groups_without_variance_move_nothing(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda completions, **_: [0.3] * len(completions))
    final = train(planned(steps=2), data, tmp_path, base)
    assert moved(base, final) == []
    lines = [line for line in read_log(tmp_path / "log.jsonl") if "reward" in line]
    assert [line["groups_without_variance"] for line in lines] == [1.0, 1.0]
    assert [line["grad_norm"] for line in lines] == [0.0, 0.0]


@pytest.mark.usefixtures("endless")
def test_groups_without_variance_do_not_dilute_the_others(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda completions, **_: [0.3] * 4 + [0.1, 0.2, 0.3, 0.4])
    final = train(planned(steps=1, photos=2, warmup_steps=0), data, tmp_path, base)
    assert moved(base, final)
    (line,) = [line for line in read_log(tmp_path / "log.jsonl") if "reward" in line]
    assert line["groups_without_variance"] == 0.5


def test_answers_that_were_cut_short_move_nothing(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One token is too few for any answer.
    monkeypatch.setattr(grpo, "validate", lambda *given: {})
    final = train(planned(steps=2, max_tokens=1), data, tmp_path, base)
    assert moved(base, final) == []
    lines = [line for line in read_log(tmp_path / "log.jsonl") if "reward" in line]
    assert all(line["completions/clipped_ratio"] == 1.0 and line["format_rate"] == 0.0 for line in lines)


def large(rank: int, **changes: Any) -> GrpoRecipe:
    return replace(
        planned(photos=1, group=8, batch_size=8, max_tokens=12, **changes),
        model=ModelRecipe(lora_rank=rank, max_pixels=0),
        schedule=Schedule(log_every=1, evaluate_every=100, save_every=100),
    )


@pytest.mark.usefixtures("endless")
def test_a_large_model_finds_a_planted_optimum(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lowercase)
    start = save_tiny_vlm(tmp_path / "start")
    train(large(0, steps=16, learning_rate=5e-3), data, tmp_path / "run", start)
    assert rise(read_log(tmp_path / "run" / "log.jsonl")) > 0.05


@pytest.mark.usefixtures("endless")
def test_low_rank_updates_move_the_chosen_linears_alone_and_end_in_a_whole_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lowercase)
    start = save_tiny_vlm(tmp_path / "start")
    final = train(large(8, steps=3, learning_rate=1e-2), data, tmp_path / "run", start)
    names = moved(start, final)
    assert names and all(name.split(".")[-2] in ModelRecipe().lora_targets for name in names)
    assert not [name for name in names if "visual" in name]
    assert (tmp_path / "run" / "adapter" / "adapter_config.json").is_file()


def adapter_of(base: Path, folder: Path, recipe: ModelRecipe) -> tuple[Path, Path]:
    """Write a LoRA of a base whose updates are not 0, and the merged model. Return both folders."""
    start = load_base(base).configured(recipe)
    model = get_peft_model(start.model, start.lora(recipe))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder / "adapter")
    start.processor.save_pretrained(folder / "adapter")
    merged = load_base(folder / "adapter")
    merged.model.save_pretrained(folder / "merged")
    merged.processor.save_pretrained(folder / "merged")
    return folder / "adapter", folder / "merged"


@pytest.mark.usefixtures("endless")
@pytest.mark.filterwarnings("ignore:Could not find a config file")  # peft, of an adapter on an adapter
@pytest.mark.parametrize("locations", [False, True])
def test_the_reference_is_what_the_policy_starts_from(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locations: bool
) -> None:
    plant(monkeypatch, lowercase)
    lora = ModelRecipe(lora_rank=4, max_pixels=0, location_tokens=locations)
    adapter, merged = adapter_of(base, tmp_path, lora)
    monkeypatch.setattr(grpo, "draw_curves", lambda *_: None)
    starts = [(adapter, 0)] if locations else [(base, 0), (base, 4), (merged, 0), (adapter, 0), (adapter, 4)]
    for start, rank in starts:
        run = tmp_path / f"{start.name}-{rank}"
        recipe = replace(planned(steps=1, warmup_steps=0), model=ModelRecipe(max_pixels=0, lora_rank=rank))
        train(recipe, data, run, start)
        (line,) = [line for line in read_log(run / "log.jsonl") if "kl" in line]
        assert line["kl"] == pytest.approx(0.0, abs=1e-9), run.name


def test_held_back_photos_are_never_drawn(data: Path, base: Path) -> None:
    from shotcrop_train.data.samples import split
    from shotcrop_train.rewards.photo_pool import PhotoPool

    experts, held = split(read_dataset(data / "experts"))
    pool = PhotoPool(experts, [], load_base(base), 0.1, 0)
    drawn = {pool.records[pool.draw(index)["case"]].path for index in range(200)}
    assert held and not any(map(held_back, experts))
    assert drawn == {record.path for record in experts}


def test_damaged_photos_are_not_drawn_but_named(data: Path, base: Path, tmp_path: Path) -> None:
    from shotcrop_train.data.skipped_photos import SkippedPhotos
    from shotcrop_train.rewards.photo_pool import PhotoPool

    broken = tmp_path / "broken.jpg"
    records = read_dataset(data / "experts")[:4]
    broken.write_bytes(records[0].path.read_bytes()[:200])
    skipped = SkippedPhotos(tmp_path)
    pool = PhotoPool([replace(records[0], path=broken), *records[1:]], [], load_base(base), 0.1, 0, skipped)
    assert {pool.draw(index)["case"] for index in range(40)} == {1, 2, 3}
    assert skipped.paths == {broken}
    assert str(broken) in (tmp_path / "skipped_photos.jsonl").read_text("utf-8")


def test_stage_3_needs_a_start(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="cannot start from a new one"):
        train(RECIPE, data, tmp_path, None)


def test_the_recipe_of_the_compact_model_follows_the_method() -> None:
    plan = load_nano_recipe("nano").grpo
    assert (plan.group, plan.temperature, plan.beta, plan.clip_low, plan.clip_high) == (8, 1.0, 0.01, 0.2, 0.28)
    assert plan.reward.aesthetic == "composition"


@pytest.mark.parametrize("preset", ["paper", "cinema"])
def test_shipped_recipes_follow_the_method(preset: str) -> None:
    recipe = load_recipe(f"qwen3-vl-grpo-{preset}", GrpoRecipe)
    plan = recipe.optimisation
    assert recipe.reward.preset == preset
    assert recipe.reward == replace(
        RewardRecipe(preset=preset), aesthetic=recipe.reward.aesthetic, captions=recipe.reward.captions
    )
    assert (plan.group, plan.temperature, plan.beta, plan.clip_low, plan.clip_high) == (8, 1.0, 0.01, 0.2, 0.28)
    assert recipe.generation == Generation()
    assert recipe.reward.aesthetic == "aesthetic"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"group": 1}, "at least 2"), ({"batch_size": 3}, "must divide")],
)
def test_a_plan_that_cannot_be_run_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planned(**change)


def test_rows_follow_from_the_seed_alone(data: Path, base: Path) -> None:
    from shotcrop_train.rewards.photo_pool import PhotoPool

    base, records = load_base(base), read_dataset(data / "experts")
    one, other, third = (PhotoPool(records, [], base, 0.1, seed) for seed in (1, 1, 2))
    assert [one.draw(k)["case"] for k in (5, 3, 9)] == [other.draw(k)["case"] for k in (5, 3, 9)]
    assert [one.draw(k)["case"] for k in range(9)] != [third.draw(k)["case"] for k in range(9)]
    assert json.dumps(one.draw(0)["prompt"]) == json.dumps(other.draw(0)["prompt"])


def settings_of(generation: Generation, folder: Path) -> Any:
    recipe = replace(load_recipe("qwen3-vl-grpo-cinema", GrpoRecipe), generation=generation)
    return grpo._settings(recipe, folder)


def test_vllm_is_refused_where_it_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="vLLM, which is not installed") as caught:
        settings_of(Generation(engine="vllm"), tmp_path)
    assert "trl[vllm]" in (caught.value.hint or "")
    assert not settings_of(Generation(mode="colocate", memory=0.9), tmp_path).use_vllm


def test_trl_gets_the_settings_of_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "is_vllm_available", lambda: True)
    options = {"vllm_tensor_parallel_size": 2, "top_p": 0.9}
    made = settings_of(Generation("vllm", "colocate", 0.4, options=options), tmp_path)
    assert made.use_vllm and made.vllm_mode == "colocate" and made.vllm_gpu_memory_utilization == 0.4
    assert made.vllm_tensor_parallel_size == 2 and made.top_p == 0.9
    made = settings_of(Generation("vllm", "server", server="http://host:8000"), tmp_path)
    assert made.vllm_mode == "server" and made.vllm_server_base_url == "http://host:8000"
    assert settings_of(Generation(options={"min_p": 0.1}), tmp_path).min_p == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["engine=vlm"], "'engine' must be transformers or vllm"),
        (["mode=shared"], "'mode' must be colocate or server"),
        (["engine=vllm", "mode=server"], "needs the address of the 'server'"),
        (["options.vllm_tensor_parallel=2"], "did you mean 'vllm_tensor_parallel_size'"),
        (["options.beta=0.1"], "no option 'beta' for generation"),
    ],
)
def test_settings_of_generation_that_cannot_be_are_refused(changes: list[str], message: str) -> None:
    with pytest.raises(ShotcropError, match=message):
        load_recipe("qwen3-vl-grpo-cinema", GrpoRecipe, [f"generation.{change}" for change in changes])
