"""LoRA adapters as results, `train merge`, and settings that need what this machine lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForImageTextToText

import vlm
from shotcrop_cli.errors import ModelError, OutputError, ShotcropError
from shotcrop_cli.main import cli
from shotcrop_train import checkpoints, sft
from shotcrop_train.checkpoints import computes_in_bfloat16, load_base
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe, load_recipe
from shotcrop_train.runs import provenance
from shotcrop_train.runs.final_model import merge
from training import NO_AUGMENTATION, write_dataset

RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), shares={"expert": 1.0}),
    optimisation=Optimisation(steps=2, batch_size=2, learning_rate=1e-2, warmup_steps=0),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=1, save_every=9),
    model=ModelRecipe(max_pixels=0, lora_rank=4, keep_adapter=True),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps its adapter, with a better first step than second."""
    root = tmp_path_factory.mktemp("run")
    write_dataset(root / "experts", 24, "experts")
    start = vlm.save_tiny_vlm(root / "start")
    held = iter([{"held_iou": 0.9}, {"held_iou": 0.1}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "validate", lambda *_: next(held))
        assert sft.train(RECIPE, root, root / "run", start) == root / "run" / "adapter"
    return root / "run"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForImageTextToText.from_pretrained(folder).state_dict())


def test_a_kept_adapter_is_the_result_and_answers_with_its_base(run: Path) -> None:
    assert not (run / "final").exists()
    base = load_base(run / "adapter", offline=True)
    assert len(base.answer([vlm.photo()], [None], 4)) == 1


def test_merging_writes_a_whole_model_that_answers_alike(run: Path, tmp_path: Path) -> None:
    command = ["train", "merge", str(run), str(tmp_path / "whole"), "--offline"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    merged, adapted = weights(tmp_path / "whole"), load_base(run / "adapter").model.state_dict()
    assert all(torch.equal(merged[name], adapted[name]) for name in adapted)
    best = merge(run, tmp_path / "best", best=True, dtype="bfloat16", offline=True)
    other = weights(best)
    moved = [name for name in merged if not torch.equal(merged[name].bfloat16(), other[name].bfloat16())]
    assert moved and all("_proj" in name for name in moved)
    assert next(iter(other.values())).dtype is torch.bfloat16


def test_merging_refuses_what_it_cannot_merge(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="whole already"):
        merge(run.parent / "start", tmp_path / "new", offline=True)
    with pytest.raises(ModelError, match=r"holds no LoRA adapter\. "):
        merge(tmp_path, tmp_path / "new", offline=True)
    with pytest.raises(OutputError, match="not empty"):
        merge(run, run.parent / "start", offline=True)


@pytest.mark.parametrize(("option", "kept"), [("--merge-adapter", False), ("--no-merge-adapter", True)])
def test_the_option_reaches_the_recipe(
    option: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def train(recipe: SftRecipe, data: Path, output: Path, *_: object, **__: object) -> Path:
        provenance.record(output, stage="sft", recipe=recipe, datasets=[])
        seen.append(recipe.model.keep_adapter)
        return output / "final"

    monkeypatch.setattr(sft, "train", train)
    arguments = ["sft", "--config", "qwen3-vl-sft", "--data", str(tmp_path), "-o", str(tmp_path / "run"), option]
    result = CliRunner().invoke(cli, ["train", *arguments])
    assert result.exit_code == 0, result.output
    assert seen == [kept]


def loaded(run: Path, start: str = "start", **model: object) -> None:
    load_base(run.parent / start, replace(RECIPE.model, **model), trained=True)  # type: ignore[arg-type]


def test_4_bits_need_a_gpu_and_bitsandbytes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="4 bits, which need a CUDA GPU"):
        loaded(run, quantise="nf4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="need the package bitsandbytes") as caught:
        loaded(run, quantise="nf4")
    assert "qlora" in (caught.value.hint or "")


def test_with_them_the_base_is_loaded_in_4_bits_and_an_adapter_is_not(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def from_pretrained(*_: object, **options: object) -> None:
        asked.append(options)
        raise ValueError("seen")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(checkpoints.AutoModelForImageTextToText, "from_pretrained", from_pretrained)
    with pytest.raises(ModelError, match="seen"):
        loaded(run, quantise="nf4")
    settings = asked[0]["quantization_config"]
    assert settings.load_in_4bit and settings.bnb_4bit_quant_type == "nf4"  # type: ignore[attr-defined]
    assert settings.bnb_4bit_compute_dtype is torch.bfloat16  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="cannot take it up") as caught:
        loaded(run, "run/adapter", quantise="nf4")
    assert "shotcrop train merge" in (caught.value.hint or "")


def test_flash_attention_is_refused_where_it_is_absent_and_other_kinds_are_used(run: Path) -> None:
    with pytest.raises(ModelError, match="flash attention, which needs a CUDA GPU") as caught:
        loaded(run, attention="flash_attention_2")
    assert "sdpa" in (caught.value.hint or "")
    for kind in ("eager", "sdpa"):
        base = load_base(run.parent / "start", replace(RECIPE.model, attention=kind), trained=True)
        assert base.model.config.get_text_config()._attn_implementation == kind


def test_bfloat16_is_used_where_a_gpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not computes_in_bfloat16(ModelRecipe())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert computes_in_bfloat16(ModelRecipe()) and not computes_in_bfloat16(ModelRecipe(dtype="float32"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(ModelError, match="Old GPU cannot compute in bfloat16") as caught:
        computes_in_bfloat16(ModelRecipe())
    assert "float32" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.quantise=int3", "'quantise' must be one of empty, nf4"),
        ("model.attention=paged", "'attention' must be one of"),
        ("model.lora_rank=0", "set 'lora_rank' or leave out 'quantise'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: str, message: str) -> None:
    with pytest.raises(ShotcropError, match=message):
        load_recipe("qwen3-vl-sft", SftRecipe, ["model.quantise=nf4", change])
