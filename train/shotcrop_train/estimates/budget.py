"""Estimates of the memory and the time of a run of a large model, before anything is loaded.

Memory is arithmetic, per GPU. b is 2 for bfloat16 and 4 for float32:

* weights: b bytes per parameter; with QLoRA 4 bits for the language model's linear layers, and an eighth of a bit more
  for the quantisation's scales, which are quantised themselves
* training: for each trained parameter 4 bytes for its gradient, 8 for Adam's two states, and 4 for LoRA's own weight
* activations of a layer: b bytes for each token and each of 6 h + 4 q + 4 k + 4 i numbers in full training. h is the
  width, q that of all queries, k that of all keys, and i that of the feed-forward layer. With LoRA and its dropout they
  are 12 h + 5 q + 3.2 k + 5 i. We counted what torch saves for the backward pass; a test counts again. With gradient
  checkpointing a layer keeps only its input, h, and one layer at a time is complete
* rollouts: keys and values, 2 x layers x k numbers per token of all answers of a step at once, and each answer's photo
* reference: the weights again, in full training with a KL penalty

Time is rougher, since it assumes how busy the GPU is: see the constants below. It was not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from shotcrop_train.estimates.gpus import Gpu
from shotcrop_train.estimates.model_shape import ModelShape
from shotcrop_train.recipe import ModelRecipe

FULL_NUMBERS = (6.0, 4.0, 4.0, 4.0)
"""Numbers that a layer keeps for the backward pass, in units of the widths of residual, queries, keys, feed-forward."""
LORA_NUMBERS = (12.0, 5.0, 3.2, 5.0)
LORA_NUMBERS_WITHOUT_DROPOUT = (4.0, 3.1, 3.2, 4.0)
OVERHEAD = 2.0
"""GB for the CUDA context, cuBLAS and gaps between blocks. Our own guess."""
NF4_BYTES = 0.516
"""Bytes of a weight in 4 bits with doubly quantised scales: 0.5 + 1 / 64 (blocks of 64 have a scale of 8 bits)."""
BUSY = 0.35
"""Share of a GPU's peak that training reaches (MFU). Our own guess, usual for models of this size."""
STREAM = 0.5
"""Share of a GPU's bandwidth that decoding reaches. Our own guess."""
LAYER_SECONDS = 7e-4
"""Least time of a layer for one step of `generate`, which starts every kernel from Python. Our own guess."""
GB = 1e9


@dataclass(frozen=True)
class Load:
    """What a step of a stage does, on each process.

    Args:
        sequences: Sequences that are trained on in a step.
        micro_batch: Sequences in memory at once.
        steps: Steps of the run.
        answers: Answers that are sampled in a step, all at once; 0 in supervised stages.
        answer_tokens: Tokens of an answer in the worst case, for memory; 0 for those of a usual answer.
        reference: Whether there is a second copy of the weights for the KL penalty.
        vllm: Whether vLLM samples the answers.
    """

    sequences: int
    micro_batch: int
    steps: int
    answers: int = 0
    answer_tokens: int = 0
    reference: bool = False
    vllm: bool = False


@dataclass(frozen=True)
class Estimate:
    """What a run needs.

    Args:
        memory: Each part and its GB per GPU, in the order of the list above.
        step_seconds: Seconds of a step; None without the GPU's speed.
        sampling_seconds: Those of them that sample answers.
        flops: Floating-point operations of a step's training, per process.
    """

    memory: dict[str, float]
    flops: float
    step_seconds: float | None = None
    sampling_seconds: float | None = None

    @property
    def total(self) -> float:
        """GB of all parts."""
        return sum(self.memory.values())


def estimate(shape: ModelShape, recipe: ModelRecipe, load: Load, gpu: Gpu, *, shards: int = 1) -> Estimate:
    """Estimate memory and time.

    Args:
        shape: The model.
        recipe: How it is loaded and trained.
        load: What a step does.
        gpu: The GPU.
        shards: GPUs that share weights, gradients and Adam's states, as with FSDP and ZeRO-3; 1 if each has its own.
    """
    lora = recipe.lora_rank > 0
    width = 2 if recipe.dtype == "bfloat16" or (recipe.dtype == "auto" and lora) else 4
    quantised = shape.linears if recipe.quantise else 0
    weights = (shape.parameters - quantised) * width + quantised * NF4_BYTES
    training = shape.trained * ((4 if lora else 0) + 4 + 8)
    tokens = load.micro_batch * (shape.photo_tokens + shape.prompt_tokens + (load.answer_tokens or shape.answer_tokens))
    sampled = load.answers * (shape.photo_tokens + shape.prompt_tokens + (load.answer_tokens or shape.answer_tokens))
    # On a GPU, autocast computes in bfloat16 even where the weights are float32.
    memory = {
        "weights": weights / shards / GB,
        "gradients and optimiser": training / shards / GB,
        "activations": activation_bytes(shape, recipe, tokens, 2) / GB,
    }
    if load.answers:
        if not load.vllm:
            memory["key-value cache"] = sampled * 2 * shape.layers * shape.keys * 2 / GB
        memory["photos of the answers"] = load.answers * shape.photo_patches * shape.patch_values * 4 / GB
    if load.reference:
        memory["reference model"] = weights / shards / GB
    memory["overhead (assumed)"] = OVERHEAD
    flops = training_flops(shape, recipe, load)
    if gpu.tflops is None or gpu.bandwidth is None:
        return Estimate(memory, flops)
    sampling = _sampling_seconds(shape, load, weights, gpu)
    return Estimate(memory, flops, flops / (gpu.tflops * 1e12 * BUSY) + sampling, sampling)


def activation_bytes(shape: ModelShape, recipe: ModelRecipe, tokens: int, width: int) -> float:
    """Return what the language model keeps for the backward pass of so many tokens.

    Args:
        shape: The model.
        recipe: How it is trained.
        tokens: Tokens of the sequences in memory.
        width: Bytes of a number.
    """
    if recipe.lora_rank == 0:
        numbers = FULL_NUMBERS
    else:
        numbers = LORA_NUMBERS if recipe.lora_dropout else LORA_NUMBERS_WITHOUT_DROPOUT
    widths = shape.hidden, shape.queries, shape.keys, shape.intermediate
    layer = sum(factor * one for factor, one in zip(numbers, widths, strict=True))
    kept = shape.layers * shape.hidden + layer if recipe.gradient_checkpointing else shape.layers * layer
    return tokens * kept * width


def training_flops(shape: ModelShape, recipe: ModelRecipe, load: Load) -> float:
    """Return the floating-point operations of a step's forward and backward passes.

    A parameter takes 2 per token forward, 2 backward for the activations and 2 for its own gradient. Frozen ones need
    no gradient of their own, a frozen vision tower has no backward pass, and checkpointing adds a forward pass.
    """
    tokens = load.sequences * shape.sequence
    forward = 2.0 * tokens * shape.language + 2.0 * tokens * shape.layers * shape.sequence * shape.queries
    forward += 2.0 * load.sequences * shape.answer_tokens * shape.vocabulary * shape.hidden
    passes = 2.0 + (0.0 if recipe.lora_rank else 1.0) + (1.0 if recipe.gradient_checkpointing else 0.0)
    vision = 2.0 * load.sequences * shape.photo_patches * shape.vision * (1.0 if recipe.freeze_vision else passes)
    extra = 0.0
    if load.answers:
        # Before the update, the policy and its reference score the answers, and sampling reads the prompts.
        extra = 3.0 * (forward + 2.0 * load.sequences * shape.photo_patches * shape.vision)
    return forward * passes + vision + extra


def _sampling_seconds(shape: ModelShape, load: Load, weights: float, gpu: Gpu) -> float:
    if not load.answers or gpu.bandwidth is None:
        return 0.0
    cache = load.answers * shape.sequence * 2 * shape.layers * shape.keys * 2
    token = (weights + cache) / (gpu.bandwidth * 1e9 * STREAM)
    if not load.vllm:
        token = max(token, shape.layers * LAYER_SECONDS)
    return shape.answer_tokens * token
