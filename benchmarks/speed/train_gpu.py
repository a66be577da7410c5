"""Tokens per second and MFU of stages 1 and 3, for a random model of the size of Qwen3-VL-4B with photos of 1 MP.

    PYTHONPATH=tests python -m benchmarks.speed.train_gpu --out train-gpu.json     # under 8 minutes are planned
    PYTHONPATH=tests python -m benchmarks.speed.train_gpu --tiny                   # tries the script on a CPU

It needs a CUDA GPU, and says so where there is none. The MFU divides the operations that `estimates.budget` counts by
the time of a step and the GPU's peak. What gradient checkpointing computes again does not count. It has not been run on
a GPU yet.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, TrainerCallback

from shotcrop_train import grpo, sft
from shotcrop_train.estimates.budget import Load, training_flops
from shotcrop_train.estimates.gpus import GPUS
from shotcrop_train.estimates.model_shape import ModelShape, shape_of
from shotcrop_train.recipe import ModelRecipe, load_recipe
from shotcrop_train.rewards.photo_pool import PhotoPool
from shotcrop_train.rewards.reward_function import prepare
from shotcrop_train.text_base import load_text_base
from shotcrop_train.weighted_trainer import WeightedTrainer, add_head_bias

TEXT = {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32}
TEXT |= {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True}
TEXT |= {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}}
VISION = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16}
VISION |= {"spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 2560, "num_position_embeddings": 2304}
VISION |= {"deepstack_visual_indexes": [5, 11, 17]}
"""The public configuration of Qwen3-VL-4B, without weights."""
WARM_UP, STEPS = 2, 5
SIDE = 1024


class Clock(TrainerCallback):
    """Measures every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._wait()
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        self._wait()
        self.seconds.append(time.perf_counter() - self.started)

    def _wait(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def model_and_processor(tiny: bool) -> tuple[Any, Any]:
    """Return a random model and the tests' processor."""
    import vlm

    model, processor = vlm.tiny_vlm()
    if not tiny:
        ids = {name: getattr(model.config, name) for name in ("image_token_id", "video_token_id")}
        ids |= {name: getattr(model.config, name) for name in ("vision_start_token_id", "vision_end_token_id")}
        generation = model.generation_config
        torch.set_default_dtype(torch.bfloat16)
        with torch.device("cuda"):
            model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=TEXT, vision_config=VISION, **ids))
        torch.set_default_dtype(torch.float32)
        model.generation_config = generation
    return model, processor


def measure(stage: int, data: Path, output: Path, tiny: bool) -> dict[str, float]:
    """Train some steps of a stage, and return the median time of a step and what follows from it."""
    side = dict(max_pixels=0) if tiny else dict(max_pixels=SIDE * SIDE, min_pixels=SIDE * SIDE)
    model_recipe = ModelRecipe(lora_rank=8 if tiny else 64, gradient_checkpointing=True, keep_adapter=True, **side)
    model, processor = model_and_processor(tiny)
    base = load_text_base(model, processor, model_recipe)
    shape = shape_of(model_and_processor(tiny)[0] if tiny else _meta(model), model_recipe, Path())
    clock = Clock()
    if stage == 1:
        recipe = load_recipe("qwen3-vl-sft", sft.SftRecipe)
        plan = replace(recipe.optimisation, steps=WARM_UP + STEPS, batch_size=2 if tiny else 8)
        model_recipe = replace(model_recipe, micro_batch=2)
        recipe = replace(recipe, model=model_recipe, optimisation=plan)
        recipe = replace(recipe, data=replace(recipe.data, experts=("experts",), empty=(), shares={"expert": 1.0}))
        training = sft.read_training_set(data, recipe.data)
        mixture = sft.Mixture(
            training.groups, recipe.data.shares, plan.steps * plan.batch_size, recipe.augmentation, 0, base.contract
        )
        common = {"args": sft._settings(recipe, output), "train_dataset": mixture.dataset(), "callbacks": [clock]}
        trainer: Any = base.sft_trainer(recipe, common)
        assert isinstance(trainer, WeightedTrainer)
        load = Load(plan.batch_size, model_recipe.micro_batch, plan.steps)
    else:
        third = load_recipe("qwen3-vl-grpo-cinema", grpo.GrpoRecipe)
        sizes = dict(photos=1, group=2, batch_size=2, max_tokens=8) if tiny else dict(max_tokens=256)
        policy = replace(third.optimisation, steps=WARM_UP + STEPS, **sizes)
        reward = replace(third.reward, aesthetic="composition", captions="words")
        third = replace(third, model=model_recipe, optimisation=policy, reward=reward)
        experts = sft.read_dataset(data / "experts")
        pool = PhotoPool(experts, [], base, 0.0, 0)
        trainer = grpo.GroupTrainer(
            model=base.model,
            reward_funcs=prepare(third.reward, pool, policy.group, experts, offline=True),
            args=grpo._settings(third, output),
            train_dataset=pool.dataset(policy.steps * policy.photos),
            processing_class=base.processor,
            peft_config=base.lora(model_recipe),
            callbacks=[clock],
        )
        add_head_bias(trainer.model)
        answers = policy.photos * policy.group
        load = Load(answers, policy.batch_size, policy.steps, answers, policy.max_tokens)
        shape = replace(shape, answer_tokens=policy.max_tokens)
    trainer.args.save_strategy = "no"
    trainer.train()
    seconds = statistics.median(clock.seconds[WARM_UP:])
    figures = {"seconds_per_step": round(seconds, 3), "tokens_per_s": round(tokens_per_s(shape, load, seconds), 1)}
    if torch.cuda.is_available():
        figures["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
        peak = peak_of(torch.cuda.get_device_name())
        if peak is not None:
            figures["mfu"] = round(mfu(shape, model_recipe, load, seconds, peak), 3)
    return figures


def tokens_per_s(shape: ModelShape, load: Load, seconds: float) -> float:
    """Return the tokens of photos, instructions and answers that a step of so many seconds trains on per second."""
    return load.sequences * shape.sequence / seconds


def mfu(shape: ModelShape, recipe: ModelRecipe, load: Load, seconds: float, peak: float) -> float:
    """Return the share of a GPU's peak, in operations per second, that the model itself needs."""
    return training_flops(shape, replace(recipe, gradient_checkpointing=False), load) / seconds / peak


def _meta(model: Any) -> Any:
    with torch.device("meta"):
        return Qwen3VLForConditionalGeneration(model.config)


def peak_of(name: str) -> float | None:
    """Return the operations per second of a GPU by its long name, such as `NVIDIA H100 80GB HBM3`, if we know them."""
    words = set(re.findall(r"[a-z0-9]+", name.lower().replace("rtx ", "rtx")))
    if words & {"h100", "h200"} and words & {"pcie", "nvl"}:  # slower than those of the table
        return None
    found = [gpu.tflops for key, gpu in GPUS.items() if key.partition("-")[0] in words]
    return found[0] * 1e12 if found and found[0] else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit with 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Write the figures to this file, too.")
    parser.add_argument("--tiny", action="store_true", help="Try the script with a tiny model, on any machine.")
    options = parser.parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        print("there is no CUDA GPU on this machine: nothing was measured. Try the script with --tiny", file=sys.stderr)
        return 1
    from training import vary_experts, write_dataset

    figures: dict[str, Any] = {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root / "experts", 24, "experts")
        vary_experts(root / "experts")
        for stage in (1, 3):
            figures[f"stage_{stage}"] = measure(stage, root, root / f"stage-{stage}", options.tiny)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
    text = json.dumps(figures, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
