"""The result of a run: the whole trained model in `final`, and with LoRA the low-rank updates in `adapter`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shotcrop_train.checkpoints import load_base
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.text_base import TextBase

FINAL = "final"
ADAPTER = "adapter"


def save_final(trainer: Any, base: TextBase, recipe: ModelRecipe, output: Path) -> Path:
    """Write the trained model so that any tool can load it and no folder depends on another.

    With LoRA the base is read from disk again, so the result does not depend on how training had distributed it over
    devices.

    Args:
        trainer: Trainer of transformers or trl, after training. Every process calls this function.
        base: The base that it trained.
        recipe: How the base was loaded.
        output: Run folder.

    Returns:
        The folder of the whole model.
    """
    lora = base.lora(recipe) is not None
    trainer.save_model(str(output / (ADAPTER if lora else FINAL)))
    if trainer.is_world_process_zero():
        whole = load_base(output / ADAPTER, recipe, offline=True, trained=True) if lora else base
        if lora:
            whole.model.save_pretrained(str(output / FINAL))
        whole.processor.save_pretrained(str(output / FINAL))
    trainer.accelerator.wait_for_everyone()
    return output / FINAL
