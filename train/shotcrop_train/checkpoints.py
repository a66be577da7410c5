"""Load a base: a vision-language model of transformers, or a LoRA checkpoint of one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from huggingface_hub import snapshot_download
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.utils import is_flash_attn_2_available

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ModelError
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.text_base import TextBase, fit_vocabulary, load_text_base

ADAPTER = "adapter_config.json"

_HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?", re.ASCII)
_HUB_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")


def load_base(
    start: str | Path, recipe: ModelRecipe | None = None, *, offline: bool = False, trained: bool = False
) -> TextBase:
    """Load a base.

    Args:
        start: A checkpoint folder, whole or LoRA, or ORG/NAME or ORG/NAME@REVISION on the Hugging Face hub. A LoRA
            checkpoint is merged into its own base.
        recipe: How to load it. A checkpoint that was trained here is asked as it was trained, whatever the recipe says.
        offline: Use only what the hub has sent before, without asking it.
        trained: Load it for training. Otherwise it comes ready to answer, on the GPU if there is one.

    Raises:
        ModelError: There is no such base, or it cannot be read.
    """
    recipe = recipe or ModelRecipe()
    options = _options(recipe, trained)
    model, processor = _load(start, options, offline)
    if not trained:
        model.to(PartialState().device if torch.cuda.is_available() else "cpu").eval()
    return load_text_base(model, processor, recipe)


def computes_in_bfloat16(recipe: ModelRecipe) -> bool:
    """Return whether training computes in bfloat16: on a GPU, unless the recipe asks for float32.

    Raises:
        ModelError: The GPU cannot compute in bfloat16.
    """
    if not torch.cuda.is_available() or recipe.dtype == "float32":
        return False
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ModelError(
            f"{torch.cuda.get_device_name()} cannot compute in bfloat16", hint="set model.dtype = 'float32'"
        )
    return True


def _dtype(recipe: ModelRecipe, trained: bool) -> torch.dtype:
    if recipe.dtype != "auto":
        return torch.float32 if recipe.dtype == "float32" else torch.bfloat16
    whole = trained and recipe.lora_rank == 0
    return torch.bfloat16 if torch.cuda.is_available() and not whole else torch.float32


def load_merged(adapter: Path, dtype: str, *, offline: bool) -> TextBase:
    """Load a LoRA checkpoint and merge it into its base, in a number format of torch or, with `auto`, the base's."""
    model, processor = _load(adapter, {"dtype": dtype}, offline)
    return load_text_base(model, processor, ModelRecipe())


def _options(recipe: ModelRecipe, trained: bool) -> dict[str, Any]:
    """Return what `from_pretrained` needs to load a base as a recipe says.

    Raises:
        ModelError: The recipe asks for what this machine lacks.
    """
    options: dict[str, Any] = {"dtype": _dtype(recipe, trained)}
    if recipe.attention:
        if recipe.attention == "flash_attention_2" and not is_flash_attn_2_available():
            raise ModelError(
                "the recipe asks for flash attention, which needs a CUDA GPU and the package flash-attn",
                hint=f"{install_hint.add_packages('flash-attn')}, or set model.attention = 'sdpa'",
            )
        options["attn_implementation"] = recipe.attention
    if recipe.quantise and trained:
        if not torch.cuda.is_available():
            raise ModelError(
                "the recipe asks for weights of 4 bits, which need a CUDA GPU",
                hint="leave out model.quantise, or train on a machine with a GPU",
            )
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ModelError(
                "the recipe asks for weights of 4 bits, which need the package bitsandbytes",
                hint=install_hint.add_extras("train", "qlora"),
            )
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=recipe.quantise,
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_use_double_quant=True,
        )
    return options


def _load(start: str | Path, options: dict[str, Any], offline: bool) -> tuple[PreTrainedModel, ProcessorMixin]:
    folder = find_checkpoint_folder(start, offline=offline)
    local = Path(start).expanduser().is_dir()
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        if (folder / ADAPTER).is_file():
            if "quantization_config" in options:
                raise ModelError(
                    f"{start} is a LoRA adapter, and weights of 4 bits cannot take it up",
                    hint=f"merge it first: shotcrop train merge {start} MERGED",
                )
            model, _ = _load(PeftConfig.from_pretrained(str(folder)).base_model_name_or_path, options, offline)
            fit_vocabulary(model, len(processor.tokenizer))
            # peft freezes the base, and full fine-tuning may start from here.
            model = PeftModel.from_pretrained(model, folder).merge_and_unload().requires_grad_(True)
        else:
            model = AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, **options
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{start} is no checkpoint: {_first_line(error)}",
            hint="name a folder with a model in safetensors and its processor, such as `shotcrop train` writes",
        ) from error
    except ImportError as error:
        raise ModelError(f"{start} needs a package: {_first_line(error)}", hint="pip install torchvision") from error
    if not isinstance(processor, ProcessorMixin):
        # transformers falls back to the tokenizer where it does not know the processor's class.
        raise ModelError(f"{start} has no processor of photos", hint="name a vision-language model")
    # A LoRA over this model names it as its base, and trl loads it again by this name.
    model.name_or_path = str(folder.resolve()) if local else str(start)
    return model, processor


def find_checkpoint_folder(start: str | Path, *, offline: bool = False) -> Path:
    """Return the folder of a checkpoint, downloaded from the hub where needed; see `load_base`.

    Raises:
        ModelError: It is neither a folder nor on the hub.
    """
    path = Path(start).expanduser()
    if path.is_dir():
        return path
    name = str(start)
    hub = _HUB_ID.fullmatch(name)
    if hub is None:
        raise ModelError(f"there is no checkpoint {name}", hint="name a folder, or ORG/NAME on the hub")
    try:
        return find_on_hub(name, offline=offline)
    except Exception as error:  # the hub's client passes on errors of several network libraries
        folder, revision = f"models/{hub[1].partition('/')[2]}", f" --revision {hub[2]}" if hub[2] else ""
        raise ModelError(
            f"{name} is not on this machine" if offline else f"{name} cannot be downloaded: {_first_line(error)}",
            hint=f"on a machine with a network: hf download {hub[1]}{revision} --local-dir {folder}; "
            f"copy that folder to this machine and give its path in place of {name}",
        ) from error


def find_on_hub(name: str, *, offline: bool) -> Path:
    """Return the folder of ORG/NAME or ORG/NAME@REVISION, downloaded where needed; errors are the hub client's."""
    repository, _, revision = name.partition("@")
    patterns = list(_HUB_FILES)
    return Path(
        snapshot_download(repository, revision=revision or None, allow_patterns=patterns, local_files_only=offline)
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
