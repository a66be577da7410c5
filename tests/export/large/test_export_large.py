"""From a large checkpoint to what is exported of it, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from large import save_diverse_vlm, write_noise
from shotcrop_cli.errors import ModelError, ShotcropError
from shotcrop_cli.model.bundle import EXPORT_RECORD
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.manifest import Precision
from shotcrop_cli.model.load import load_composer
from shotcrop_export.large import export
from shotcrop_export.large.checkpoint import load_checkpoint
from shotcrop_export.large.export import LargeExportOptions, describe, export_large
from shotcrop_train.checkpoints import load_base
from shotcrop_train.recipe import ModelRecipe
from vlm import save_tiny_vlm, tiny_vlm


def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    from peft import get_peft_model

    base = load_base(save_tiny_vlm(tmp_path / "base", "qwen3-vl"), trained=True)
    lora = base.lora(ModelRecipe(lora_rank=4, lora_dropout=0.0))
    assert lora is not None
    lora.init_lora_weights = False  # so that it changes something
    model = get_peft_model(base.model, lora).eval()
    model.save_pretrained(tmp_path / "adapter")
    base.processor.save_pretrained(tmp_path / "adapter")
    ids = torch.arange(20, 40)[None]
    with torch.no_grad():
        expected, plain = model(input_ids=ids).logits, model.get_base_model()
        with model.disable_adapter():
            without = plain(input_ids=ids).logits
        found = load_checkpoint(tmp_path / "adapter").model(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, without, atol=1e-2)


def test_a_checkpoint_with_unsupported_image_settings_is_refused(tmp_path: Path) -> None:
    model, processor = tiny_vlm("qwen3-vl")
    processor.image_processor.resample = 2
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="unsupported settings: resample"):
        load_checkpoint(tmp_path)


def test_a_chat_template_without_a_place_for_the_photo_is_refused(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_tiny_vlm(tmp_path, "qwen3-vl"))
    blind = replace(checkpoint, template="{% for message in messages %}{{ message['content'][1]['text'] }}{% endfor %}")
    with pytest.raises(ShotcropError, match=r"has 0 <\|image_pad\|> for a photo"):
        describe(blind, LargeExportOptions("blind"))


def test_a_weight_beyond_half_precision_is_refused() -> None:
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight[0, 0] = 1e6
    with pytest.raises(ShotcropError, match="weight is too large for fp16"):
        export.round_to(layer, Precision.FP16)
    export.round_to(layer, Precision.BF16)
    assert torch.equal(layer.weight, layer.weight.bfloat16().float())


@pytest.mark.slow
def test_bf16_is_verified_in_single_precision_and_needs_a_gpu(tmp_path: Path) -> None:
    checkpoint = save_diverse_vlm(tmp_path / "checkpoint", "qwen3-vl")
    photos = write_noise(tmp_path / "photos", [(64, 48)])
    options = LargeExportOptions("wide", Precision.BF16)
    bundle, difference = export_large(checkpoint, tmp_path / "model", sorted(photos.iterdir()), options)
    assert difference.equal_tokens == difference.tokens
    record = json.loads((bundle.folder / EXPORT_RECORD).read_text("utf-8"))
    assert record["verified"] == "single precision, same weights"
    with pytest.raises(ModelError, match="bf16, which needs a GPU"):
        load_composer(bundle, "cpu")


def test_a_new_base_uses_its_familys_coordinates_by_default(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_tiny_vlm(tmp_path / "new", "qwen3-vl"))
    assert describe(checkpoint, LargeExportOptions("new")).prompt.coord_space is CoordSpace.PERMILLE
    other = describe(checkpoint, LargeExportOptions("new", coord_space=CoordSpace.ABSOLUTE, think=False)).prompt
    assert (other.coord_space, other.think, "<think>" in other.suffix) == (CoordSpace.ABSOLUTE, False, False)
