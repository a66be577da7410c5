"""Answers that vLLM samples are trained on like those that transformers samples.

One step of stage 3 runs with transformers. Then trl's code for vLLM runs it again, in both modes, around a stand-in for
the engine that answers with the same tokens: the prompts must be the same, and so must reward, loss and weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_grpo import lowercase, plant, unmasked

import vllm_stand_in
from shotcrop_cli.errors import ShotcropError
from shotcrop_train import grpo
from shotcrop_train.checkpoints import ADAPTER
from shotcrop_train.grpo import Generation, GroupTrainer, GrpoRecipe, Policy, train
from shotcrop_train.recipe import ModelRecipe, Schedule
from shotcrop_train.rewards.photo_pool import GrpoData
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.runs.run_log import read_log
from training import write_dataset
from vllm_stand_in import Sampled
from vlm import save_tiny_vlm

POLICY = Policy(steps=1, photos=1, group=4, batch_size=4, learning_rate=1e-3, warmup_steps=0, max_tokens=12)
RECIPE = GrpoRecipe(
    GrpoData(("experts",)),
    reward=RewardRecipe(aesthetic="composition", captions="words"),
    optimisation=POLICY,
    model=ModelRecipe(max_pixels=0, lora_rank=4, lora_dropout=0.0),
    schedule=Schedule(log_every=1, evaluate_every=4, save_every=4),
)
SAME = ("loss", "grad_norm", "reward", "kl", "completions/mean_length", "groups_without_variance")


@dataclass
class Step:
    """A step of training: its run folder, the prompts and photos that were sampled for, and the answers."""

    run: Path
    prompts: list[list[int]]
    images: list[Any]
    answers: list[list[int]]

    @property
    def figures(self) -> dict[str, float]:
        (line,) = [line for line in read_log(self.run / "log.jsonl") if "reward" in line]
        return {name: line[name] for name in SAME}

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.run / "final" / "model.safetensors")


def _step(patch: pytest.MonkeyPatch, workshop: Path, run: Path, generation: Generation) -> Step:
    """Train one step, and keep what its rollout was asked and answered."""
    seen: dict[str, Any] = {}
    sample = GroupTrainer._generate_single_turn

    def watched(self: Any, prompt_ids: Any, images: Any, *rest: Any, **named: Any) -> Any:
        made = sample(self, prompt_ids, images, *rest, **named)
        seen.update(prompts=prompt_ids, images=images, answers=made[0])
        return made

    patch.setattr(GroupTrainer, "_generate_single_turn", watched)
    patch.setattr(grpo, "_settings", unmasked(grpo._settings))
    plant(patch, lowercase)
    train(replace(RECIPE, generation=generation), workshop / "data", run, workshop / "base")
    return Step(run, **seen)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    write_dataset(folder / "data" / "experts", 12, "experts")
    save_tiny_vlm(folder / "base")
    return folder


@pytest.fixture(scope="module")
def usual(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Step:
    """A step whose answers transformers samples."""
    with pytest.MonkeyPatch.context() as patch:
        return _step(patch, workshop, tmp_path_factory.mktemp("usual"), Generation())


def _same(step: Step, usual: Step) -> None:
    """Check that both steps asked for the same, and learned the same from the same answers."""
    assert step.prompts == usual.prompts
    assert [[one.tobytes() for one in row] for row in step.images] == [
        [one.tobytes() for one in row] for row in usual.images
    ]
    assert step.figures == pytest.approx(usual.figures, rel=1e-4, abs=1e-6)
    for name, weight in usual.weights.items():
        assert torch.allclose(step.weights[name], weight, atol=1e-6), name


def _whole_model_was_sent(sampled: Sampled, workshop: Path) -> None:
    """Check that the engine has the weights of the start, under the names of its checkpoint."""
    start = load_file(workshop / "base" / "model.safetensors")
    assert sampled.synced == 1
    assert sampled.weights.keys() >= start.keys()
    assert all(torch.equal(sampled.weights[name], weight) for name, weight in start.items())


def test_an_engine_on_the_training_gpus_gets_the_same_and_teaches_the_same(
    workshop: Path, usual: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # trl sets them
        monkeypatch.delenv(name)
    sampled = Sampled(usual.answers)
    vllm_stand_in.colocate(monkeypatch, sampled)
    generation = Generation("vllm", "colocate", 0.4, options={"top_p": 0.9})
    step = _step(monkeypatch, workshop, tmp_path / "run", generation)
    _same(step, usual)
    _whole_model_was_sent(sampled, workshop)
    assert sampled.loaded["model"] == str((workshop / "base").resolve())
    assert sampled.loaded["gpu_memory_utilization"] == 0.4
    assert [prompt["prompt_token_ids"] for prompt in sampled.prompts] == usual.prompts
    assert all("image" in prompt["multi_modal_data"] for prompt in sampled.prompts)
    wanted = {"max_tokens": POLICY.max_tokens, "temperature": POLICY.temperature, "top_p": 0.9, "n": 1}
    assert wanted.items() <= sampled.sampling.items()


def test_a_server_gets_each_prompt_once_and_teaches_the_same(
    workshop: Path, usual: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = Sampled(usual.answers)
    vllm_stand_in.server(monkeypatch, sampled)
    step = _step(monkeypatch, workshop, tmp_path / "run", Generation("vllm", "server", server="http://host:8000"))
    _same(step, usual)
    _whole_model_was_sent(sampled, workshop)
    assert sampled.loaded["base_url"] == "http://host:8000"
    assert [prompt for prompt, _ in sampled.prompts] == usual.prompts[:: POLICY.group]
    wanted = {"max_tokens": POLICY.max_tokens, "temperature": POLICY.temperature, "n": POLICY.group}
    assert wanted.items() <= sampled.sampling.items()


def test_an_adapter_is_refused_before_anything_is_loaded(workshop: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / ADAPTER).write_text("{}", "utf-8")
    with pytest.raises(ShotcropError, match="vLLM needs a whole model") as caught:
        train(replace(RECIPE, generation=Generation("vllm")), workshop / "data", tmp_path / "run", adapter)
    assert "train merge" in (caught.value.hint or "")
