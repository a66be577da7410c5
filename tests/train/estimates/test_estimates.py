"""The estimates of `shotcrop train plan`, against what models and torch really hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from peft import get_peft_model
from transformers import PreTrainedModel, Qwen3VLConfig, Qwen3VLForConditionalGeneration

import vlm
from shotcrop_cli.errors import ModelError, ShotcropError
from shotcrop_cli.main import cli
from shotcrop_train import stages
from shotcrop_train.estimates.budget import Load, activation_bytes, estimate
from shotcrop_train.estimates.gpus import GPUS, find_gpu
from shotcrop_train.estimates.model_shape import ModelShape, read_shape, shape_of
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.text_base import freeze_vision, lora_config
from vlm_families import OTHER_FAMILIES, save_tiny_other_vlm, tiny_other_vlm

FULL = ModelRecipe(max_pixels=0)
FAMILIES = (*vlm.FAMILIES, *OTHER_FAMILIES)


def saved(folder: Path, family: str) -> Path:
    save = save_tiny_other_vlm if family in OTHER_FAMILIES else vlm.save_tiny_vlm
    return save(folder, family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rank", [0, 4])
def test_parameters_are_counted_exactly_without_weights(tmp_path: Path, family: str, rank: int) -> None:
    folder = saved(tmp_path, family)
    (folder / "model.safetensors").unlink()
    recipe = ModelRecipe(max_pixels=0, lora_rank=rank)
    shape = read_shape(folder, recipe, offline=True)
    make = tiny_other_vlm if family in OTHER_FAMILIES else vlm.tiny_vlm
    model = make(family)[0]
    assert shape.parameters == sum(one.numel() for one in model.parameters())
    if rank:
        model = get_peft_model(model, lora_config(recipe, tied=True))
    else:
        freeze_vision(model)
    assert shape.trained == sum(one.numel() for one in model.parameters() if one.requires_grad) > 0
    assert shape.exact_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_of_a_photo_are_those_of_the_processor(tmp_path: Path, family: str) -> None:
    folder = saved(tmp_path, family)
    make = tiny_other_vlm if family in OTHER_FAMILIES else vlm.tiny_vlm
    model, processor = make(family)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "x"}]}], tokenize=False
    )
    ids = processor(images=[[vlm.photo(512, 512)]], text=[text], return_tensors="pt")["input_ids"]
    config = model.config
    image = getattr(config, "image_token_id", None) or config.image_token_index
    assert read_shape(folder, FULL, offline=True).photo_tokens == int((ids == image).sum())


def larger(layers: int = 3, **more: int) -> PreTrainedModel:
    sizes = {"hidden_size": 128, "intermediate_size": 320, "num_attention_heads": 8, "num_key_value_heads": 2}
    text = vlm._text(vlm.tiny_tokenizer(), mrope_section=[4, 2, 2], mrope_interleaved=True)
    text |= {**sizes, "head_dim": 16, "num_hidden_layers": layers, **more}
    config = vlm.tiny_vlm()[0].config
    vision = config.vision_config.to_dict() | {"out_hidden_size": text["hidden_size"]}
    return Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
    )


def kept_bytes(model: PreTrainedModel, recipe: ModelRecipe, tokens: int) -> int:
    """Return the bytes that torch keeps for the backward pass, each storage once, without weights."""
    if recipe.lora_rank:
        model = get_peft_model(model, lora_config(recipe, tied=True))
        model.enable_input_require_grads()
    model.train()
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes(), value
        return value

    backbone = (model.base_model.model if recipe.lora_rank else model).model
    ids = torch.randint(10, 100, (1, tokens))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        output = backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    assert output.last_hidden_state.requires_grad
    return sum(size for size, _ in kept.values())


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "recipe",
    [ModelRecipe(), ModelRecipe(lora_rank=4), ModelRecipe(lora_rank=4, lora_dropout=0.0)],
    ids=["full", "lora", "lora without dropout"],
)
def test_activations_are_what_torch_keeps_for_the_backward_pass(recipe: ModelRecipe) -> None:
    tokens = 200
    shallow, deep = (kept_bytes(larger(layers), recipe, tokens) for layers in (2, 6))
    one, other = (activation_bytes(shape_of(larger(layers), recipe, Path()), recipe, tokens, 4) for layers in (2, 6))
    assert deep - shallow == pytest.approx(other - one, rel=0.1)


def test_with_gradient_checkpointing_only_the_inputs_of_layers_are_kept() -> None:
    recipe, tokens = ModelRecipe(gradient_checkpointing=True), 200
    shallow, deep = (kept_bytes(larger(layers), recipe, tokens) for layers in (2, 6))
    one, other = (activation_bytes(shape_of(larger(layers), recipe, Path()), recipe, tokens, 4) for layers in (2, 6))
    assert other - one == 4 * tokens * 128 * 4
    assert deep - shallow == pytest.approx(other - one, rel=0.1)


def test_the_key_value_cache_is_that_of_generate() -> None:
    model, tokens, answers = larger(), 50, 3
    recipe = ModelRecipe(lora_rank=4)
    ids = torch.randint(10, 100, (answers, tokens))
    cache = model.eval()(input_ids=ids, use_cache=True).past_key_values
    numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    shape = shape_of(larger(), recipe, Path())
    load = Load(answers, 1, 1, answers, answer_tokens=tokens - shape.photo_tokens - shape.prompt_tokens)
    made = estimate(shape, recipe, load, GPUS["h100"]).memory["key-value cache"]
    assert made * 1e9 == pytest.approx(2 * numbers)


def plan(**more: object) -> tuple[ModelShape, ModelRecipe, Load]:
    recipe = ModelRecipe(**{"lora_rank": 4, **more})  # type: ignore[arg-type]
    return shape_of(larger(), recipe, Path()), recipe, Load(4, 2, 10)


def test_each_saving_saves_where_it_should() -> None:
    card = GPUS["h100"]
    base = estimate(*plan(), card)
    assert estimate(*plan(quantise="nf4"), card).memory["weights"] < base.memory["weights"]
    checkpointed = estimate(*plan(gradient_checkpointing=True), card)
    assert checkpointed.memory["activations"] < base.memory["activations"] and checkpointed.flops > base.flops
    whole = estimate(*plan(lora_rank=0), card)
    assert whole.memory["gradients and optimiser"] > base.memory["gradients and optimiser"]
    halved = estimate(*plan(lora_rank=0), card, shards=2)
    assert halved.memory["weights"] == whole.memory["weights"] / 2
    assert base.step_seconds and estimate(*plan(), find_gpu("80")).step_seconds is None


@pytest.mark.slow
def test_the_peak_of_a_step_on_the_cpu_is_near_the_estimate() -> None:
    """Weights, gradients and Adam's states in float32, measured by the resident memory of a process of its own."""
    code = """
import sys, resource
sys.path[:0] = ["tests", "tests/train/estimates"]
import torch
from test_estimates import larger
from shotcrop_train.text_base import freeze_vision
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
ids = torch.randint(10, 100, (1, 32))
def step(model):
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])
    model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
    optimizer.step()
    return model, optimizer
warm = step(larger())
before = resident()
model = larger(layers=6, hidden_size=768, intermediate_size=2048)
freeze_vision(model)
kept = step(model)
print(resident() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    recipe = ModelRecipe(dtype="float32")
    shape = shape_of(larger(layers=6, hidden_size=768, intermediate_size=2048), recipe, Path())
    made = estimate(shape, recipe, Load(1, 1, 1), GPUS["h100"]).memory
    wanted = (made["weights"] + made["gradients and optimiser"]) * 1e9
    assert int(run.stdout) == pytest.approx(wanted, rel=0.15)


def test_the_command_prints_a_table_and_says_whether_it_fits(tmp_path: Path) -> None:
    folder = vlm.save_tiny_vlm(tmp_path / "base")
    arguments = ["train", "plan", "--from", str(folder), "--offline"]
    first = CliRunner().invoke(cli, [*arguments, "--config", "qwen3-vl-sft", "--gpu", "H100"])
    assert first.exit_code == 0, first.output
    assert "fits h100 with 80 GB" in first.stdout and "s per step" in first.stdout
    third = CliRunner().invoke(
        cli, [*arguments, "--config", "qwen3-vl-grpo-cinema", "--gpu", "2", "--set", "optimisation.photos=64"]
    )
    assert third.exit_code == 0, third.output
    assert "key-value cache" in third.stdout and "does not fit" in third.stdout
    assert "to make it fit: " in third.stdout and "s per step" not in third.stdout


def test_unknown_gpus_models_and_other_recipes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="no GPU 'h10'") as caught:
        find_gpu("h10")
    assert "did you mean h100?" in (caught.value.hint or "")
    with pytest.raises(ModelError, match="no configuration"):
        read_shape(tmp_path, FULL, offline=True)
    for recipe in ("nano", "qwen3-vl-pseudo"):
        with pytest.raises(ShotcropError, match="trains no large model"):
            stages.plan(recipe, str(tmp_path), "h100")
