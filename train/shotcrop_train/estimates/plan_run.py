"""`shotcrop train plan`: what a run of a recipe will need, in a table, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shotcrop_train.estimates.budget import BUSY, LAYER_SECONDS, STREAM, Estimate, Load
from shotcrop_train.estimates.gpus import Gpu
from shotcrop_train.estimates.model_shape import ModelShape


@dataclass(frozen=True)
class Plan:
    """An estimate and what it is about.

    Args:
        recipe: Name of the recipe.
        shape: The model.
        load: What a step does.
        gpu: The GPU.
        gpus: Number of GPUs, each with one process.
        estimate: What it needs.
    """

    recipe: str
    shape: ModelShape
    load: Load
    gpu: Gpu
    gpus: int
    estimate: Estimate

    @property
    def fits(self) -> bool:
        """Whether the run fits the GPU."""
        return self.estimate.total <= self.gpu.memory


def table(plan: Plan) -> str:
    """Return a plan as text."""
    shape, load, needed = plan.shape, plan.load, plan.estimate
    counted = "by its tokenizer" if shape.exact_tokens else "guessed from the letters"
    lines = [
        f"{plan.recipe} on {shape.kind}: {_millions(shape.parameters)} parameters, {_millions(shape.trained)} trained",
        f"tokens: {shape.photo_tokens} of a photo, {shape.prompt_tokens} of the instruction, "
        f"{shape.answer_tokens} of an answer ({counted})",
        "",
        *_columns([(name, f"{value:.1f} GB") for name, value in needed.memory.items()]),
        *_columns([("total per GPU", f"{needed.total:.1f} GB")]),
        f"{'fits' if plan.fits else 'does not fit'} {plan.gpu.name} with {plan.gpu.memory:g} GB",
    ]
    if not plan.fits:
        lines.append(f"to make it fit: {', '.join(_advice(plan))}")
    lines += ["", f"{needed.flops / 1e12:.0f} TFLOP per step and GPU"]
    if needed.step_seconds is not None:
        sampling = f", of which sampling {needed.sampling_seconds:.1f} s" if load.answers else ""
        lines.append(
            f"{needed.step_seconds:.1f} s per step{sampling}; {_duration(needed.step_seconds * load.steps)} "
            f"for {load.steps} steps, without evaluation"
        )
        rate = load.sequences * plan.gpus / needed.step_seconds
        lines.append(f"{rate:.1f} sequences/s on {plan.gpus} GPU{'s' if plan.gpus > 1 else ''}")
        assumed = f"{100 * BUSY:.0f} % of the peak in training, {100 * STREAM:.0f} % of the bandwidth in sampling"
        if load.answers and not load.vllm:
            assumed += f", {LAYER_SECONDS * 1e3:g} ms per layer and token"
        lines.append(f"assumed, not measured: {assumed}")
    return "\n".join(lines)


def _advice(plan: Plan) -> Sequence[str]:
    """Name what saves most, for the largest part first."""
    words = {
        "weights": "model.quantise=nf4 with LoRA, or --shards",
        "gradients and optimiser": "model.lora_rank=64 instead of full training, or --shards",
        "activations": "model.gradient_checkpointing=true, a smaller micro_batch (stage 3: batch_size) or max_pixels",
        "key-value cache": "fewer optimisation.photos, or vLLM",
        "photos of the answers": "a smaller model.max_pixels",
        "reference model": "optimisation.beta=0, or LoRA",
    }
    parts = sorted(plan.estimate.memory, key=lambda name: -plan.estimate.memory[name])
    return [words[name] for name in parts if name in words][:2]


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"  {name:<26}{value:>12}" for name, value in rows]


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
