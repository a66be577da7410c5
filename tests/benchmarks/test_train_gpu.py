"""The script that measures training on a GPU: its arithmetic, and its tiny form on a CPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.speed import train_gpu
from shotcrop_train.estimates.budget import Load
from shotcrop_train.estimates.model_shape import ModelShape
from shotcrop_train.recipe import ModelRecipe

# 1,000 tokens a sequence. Per token, 10^9 weights take 2 operations forward and 2 backward with LoRA; the small numbers
# keep attention, head and vision tower out of the sum.
SHAPE = ModelShape(
    kind="made", parameters=10**9, vision=0, embeddings=0, trained=10**6, linears=0, layers=1, hidden=1, intermediate=1,
    queries=0, keys=0, vocabulary=0, photo_patches=0, photo_tokens=700, patch_values=0, prompt_tokens=200,
    answer_tokens=100, exact_tokens=True,
)  # fmt: skip
LOAD = Load(sequences=8, micro_batch=2, steps=1)
LORA = ModelRecipe(lora_rank=8, gradient_checkpointing=True)


def test_tokens_per_second_count_photo_instruction_and_answer_of_every_sequence() -> None:
    assert train_gpu.tokens_per_s(SHAPE, LOAD, 2.0) == 8 * 1_000 / 2.0


@pytest.mark.parametrize(("recipe", "passes"), [(LORA, 2), (replace(LORA, lora_rank=0), 3)])
def test_mfu_counts_what_the_model_needs_and_not_what_is_computed_again(recipe: ModelRecipe, passes: int) -> None:
    operations = passes * 2 * 10**9 * 8_000
    assert train_gpu.mfu(SHAPE, recipe, LOAD, 2.0, 1e15) == pytest.approx(operations / 2.0 / 1e15)


def test_stage_3_also_scores_and_samples() -> None:
    sampled = replace(LOAD, answers=8, answer_tokens=100)
    assert train_gpu.mfu(SHAPE, LORA, sampled, 1.0, 1e15) > train_gpu.mfu(SHAPE, LORA, LOAD, 1.0, 1e15)


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("Tesla T4", None),
    ],
)
def test_the_peak_is_that_of_the_named_gpu(name: str, tflops: int | None) -> None:
    assert train_gpu.peak_of(name) == (None if tflops is None else tflops * 1e12)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_gpu.main(["--out", str(tmp_path / "figures.json")]) == 1
    assert "--tiny" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_its_tiny_form_measures_both_stages(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert train_gpu.main(["--tiny", "--out", str(path)]) == 0
    figures = json.loads(path.read_text("utf-8"))
    for stage in ("stage_1", "stage_3"):
        assert figures[stage]["seconds_per_step"] > 0 and figures[stage]["tokens_per_s"] > 0
