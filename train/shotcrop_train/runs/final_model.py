"""The result of a run: the whole trained model in `final`, and with LoRA the low-rank updates in `adapter`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from shotcrop_cli.errors import ModelError, OutputError
from shotcrop_train.checkpoints import ADAPTER as ADAPTER_FILE
from shotcrop_train.checkpoints import load_base, load_merged
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.runs.run_log import BEST
from shotcrop_train.text_base import TextBase

FINAL = "final"
ADAPTER = "adapter"


def save_final(trainer: Any, base: TextBase, recipe: ModelRecipe, output: Path) -> Path:
    """Write the trained model so that any tool can load it and no folder depends on another.

    If the recipe keeps the adapter, it is the result, and it depends on its base. Otherwise LoRA's base is read from
    disk again, so the result does not depend on how training had distributed it over devices.

    Args:
        trainer: Trainer of transformers or trl, after training. Every process calls this function.
        base: The base that it trained.
        recipe: How the base was loaded.
        output: Run folder.

    Returns:
        The folder of the whole model, or of the adapter.
    """
    lora = base.lora(recipe) is not None
    trainer.save_model(str(output / (ADAPTER if lora else FINAL)))
    if lora and recipe.keep_adapter:
        if trainer.is_world_process_zero():
            base.processor.save_pretrained(str(output / ADAPTER))
        trainer.accelerator.wait_for_everyone()
        return output / ADAPTER
    if trainer.is_world_process_zero():
        whole = load_base(output / ADAPTER, replace(recipe, quantise=""), offline=True, trained=True) if lora else base
        if lora:
            whole.model.save_pretrained(str(output / FINAL))
        whole.processor.save_pretrained(str(output / FINAL))
    trainer.accelerator.wait_for_everyone()
    return output / FINAL


def merge(run: Path, output: Path, *, best: bool = False, dtype: str = "auto", offline: bool = False) -> Path:
    """Merge a LoRA adapter into its base and write the whole model.

    Args:
        run: Run folder, or the folder of an adapter.
        output: New folder.
        best: Take the adapter of the best model on the held-back photos instead of the last one.
        dtype: `float32`, `bfloat16`, or `auto` for that of the base.
        offline: Use only models on this machine.

    Returns:
        `output`.

    Raises:
        ModelError: There is no adapter, or its base cannot be read.
        OutputError: `output` exists and is not empty.
    """
    adapter = run if (run / ADAPTER_FILE).is_file() else run / (BEST if best else ADAPTER)
    if not (adapter / ADAPTER_FILE).is_file():
        whole = (run / FINAL).is_dir() or (run / "config.json").is_file()
        raise ModelError(
            f"{run} holds no LoRA adapter" + (": its model is whole already" if whole else ""),
            hint="name the run folder of a stage that was trained with LoRA, or an adapter's folder",
        )
    if output.exists() and any(output.iterdir()):
        raise OutputError(f"{output} exists already and is not empty", hint="name a new folder")
    made = load_merged(adapter, dtype, offline=offline)
    made.model.save_pretrained(str(output))
    made.processor.save_pretrained(str(output))
    return output
