"""Size and shape of a vision-language model, from its configuration alone. No weights are read or made."""

from __future__ import annotations

import json
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.answer import render
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Composition, Reasoning, Shot
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.text_base import freeze_vision, lora_config, vision_towers

LETTERS_PER_TOKEN = 3.5
"""Letters of a token of the instruction and of an answer, where the tokenizer cannot be read. Our own guess."""
SENTENCE = "A woman in a red coat stands on a bridge in the evening light"
"""A sentence of usual length, for captions and reasoning."""
_FRAME_TOKENS = 16
"""Tokens with which chat templates mark messages. Our own guess."""


@dataclass(frozen=True)
class ModelShape:
    """What the estimates need to know of a model.

    Args:
        kind: Its `model_type`.
        parameters: All parameters; a tied head counts once.
        vision: Parameters of the vision tower.
        embeddings: Parameters of the embeddings and of a head that is not tied.
        trained: Parameters that a recipe trains.
        linears: Parameters of the language model's linear layers, which quantisation shrinks.
        layers: Layers of the language model.
        hidden: Its width.
        intermediate: Width of its feed-forward layers.
        queries: Width of all query heads together.
        keys: Width of all key heads together, and of all value heads.
        vocabulary: Its tokens.
        photo_patches: Patches of a photo in the vision tower.
        photo_tokens: Tokens of a photo in the language model.
        patch_values: Numbers of one patch.
        prompt_tokens: Tokens of the instruction.
        answer_tokens: Tokens of a usual answer.
        exact_tokens: Whether these two were counted by the model's own tokenizer.
    """

    kind: str
    parameters: int
    vision: int
    embeddings: int
    trained: int
    linears: int
    layers: int
    hidden: int
    intermediate: int
    queries: int
    keys: int
    vocabulary: int
    photo_patches: int
    photo_tokens: int
    patch_values: int
    prompt_tokens: int
    answer_tokens: int
    exact_tokens: bool

    @property
    def sequence(self) -> int:
        """Tokens of a photo, its instruction and a usual answer."""
        return self.photo_tokens + self.prompt_tokens + self.answer_tokens

    @property
    def language(self) -> int:
        """Parameters that every token of the language model meets, without embeddings."""
        return self.parameters - self.vision - self.embeddings


def read_shape(start: str | Path, recipe: ModelRecipe, *, offline: bool = False) -> ModelShape:
    """Read a model's configuration and count what a recipe trains.

    Args:
        start: Folder with a `config.json`, or ORG/NAME on the Hugging Face hub. Only small files are downloaded.
        recipe: How the model is trained.
        offline: Use only what the hub has sent before.

    Raises:
        ModelError: There is no configuration of a vision-language model.
    """
    try:
        config = AutoConfig.from_pretrained(str(start), local_files_only=offline)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{start} has no configuration of a vision-language model: {str(error).strip().splitlines()[0]}",
            hint="name a folder with a config.json, or ORG/NAME on the hub",
        ) from error
    return shape_of(model, recipe, Path(start))


def shape_of(model: PreTrainedModel, recipe: ModelRecipe, folder: Path) -> ModelShape:
    """Count a model, which may be on torch's device `meta`; see `read_shape`. The model gets the recipe's LoRA."""
    config = model.config
    text = config.get_text_config()
    towers = vision_towers(model)
    vision = sum(parameter.numel() for tower in towers for parameter in tower.parameters())
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight or text.tie_word_embeddings
    embeddings = model.get_input_embeddings().weight.numel() + (0 if tied else head.numel())
    parameters = sum(parameter.numel() for parameter in _once(model, tied))
    names = re.compile(r"(.*\.)?(language_model|text_model)\..*")
    linears = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and names.fullmatch(name)
    )
    if recipe.lora_rank:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft reads what transformers has renamed
            adapted = get_peft_model(model, lora_config(recipe, tied=tied), autocast_adapter_dtype=False)
        trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    else:
        if recipe.freeze_vision:
            freeze_vision(model)
        trained = sum(parameter.numel() for parameter in _once(model, tied) if parameter.requires_grad)
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    patches, tokens, values = _photo(config, recipe, folder)
    prompt, answer, exact = _text_tokens(folder, recipe)
    return ModelShape(
        kind=config.model_type,
        parameters=parameters,
        vision=vision,
        embeddings=embeddings,
        trained=trained,
        linears=linears,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        queries=heads * size,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * size,
        vocabulary=text.vocab_size,
        photo_patches=patches,
        photo_tokens=tokens,
        patch_values=values,
        prompt_tokens=prompt,
        answer_tokens=answer,
        exact_tokens=exact,
    )


def _once(model: nn.Module, tied: bool) -> list[nn.Parameter]:
    """Return the parameters, a tied head only once. On the device `meta` ties are not made."""
    head = model.get_output_embeddings().weight
    embeddings = model.get_input_embeddings().weight
    return [one for one in model.parameters() if not (tied and one is head and one is not embeddings)]


def _photo(config: Any, recipe: ModelRecipe, folder: Path) -> tuple[int, int, int]:
    """Return patches, tokens and numbers per patch of a photo of the largest size that the recipe allows."""
    vision = config.vision_config
    patch = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
    values = 3 * patch * patch * getattr(vision, "temporal_patch_size", 1)
    merge = getattr(vision, "spatial_merge_size", None)
    if merge is not None:
        pixels = recipe.max_pixels or _processor(folder).get("size", {}).get("longest_edge", 1_048_576)
        tokens = max(pixels // (patch * merge) ** 2, 1)
        return tokens * merge * merge, tokens, values
    side = vision.image_size if isinstance(vision.image_size, int) else vision.image_size[0]
    patches = (side // patch) ** 2
    for name in ("mm_tokens_per_image", "image_seq_length"):
        if getattr(config, name, None):
            return patches, getattr(config, name), values
    return patches, patches // getattr(config, "scale_factor", 1) ** 2, values


def _processor(folder: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
            processor: dict[str, Any] = content.get("image_processor", content)
            return processor
    return {}


def _text_tokens(folder: Path, recipe: ModelRecipe) -> tuple[int, int, bool]:
    """Return the tokens of the instruction and of a usual answer, and whether the tokenizer counted them."""
    shots = tuple(Shot(kind, FULL_FRAME, SENTENCE) for kind in SHOT_TYPES)
    answer = render(Composition(shots, Reasoning(SENTENCE, SENTENCE, SENTENCE)), think=recipe.think)
    texts = instruction(think=recipe.think), answer
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        first, second = (len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
        return first + _FRAME_TOKENS, second, True
    except Exception:  # the tokenizers' library has no errors of its own; a hub id has no file here
        first, second = (math.ceil(len(text) / LETTERS_PER_TOKEN) for text in texts)
        return first + _FRAME_TOKENS, second, False
