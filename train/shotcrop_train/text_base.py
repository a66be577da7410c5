"""Vision-language models of transformers as bases: they read an instruction and answer in words and JSON.

The tokenizer's configuration says how such a model was trained to answer, and so does every checkpoint folder that its
processor is saved in. `TextBase.configured` sets these facts before training; `load_text_base` reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from PIL import Image
from transformers import PreTrainedModel, ProcessorMixin
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.answer import LOCATION_TOKENS, CoordSpace
from shotcrop_cli.shots import Answer
from shotcrop_train.data.contract import TextContract
from shotcrop_train.recipe import ModelRecipe, SftRecipe

if TYPE_CHECKING:
    from trl import SFTTrainer

CONTRACT_KEY = "shotcrop"
"""Key in a tokenizer's configuration that says how its model was trained to answer."""

NATIVE_SPACES = {"qwen2_5_vl": CoordSpace.ABSOLUTE}
"""Families whose own boxes are not 0..1000. A base learns fastest in the coordinates that it knows (Qwen2.5-VL's
report)."""

VISION_TOWERS = ("visual", "vision_tower", "vision_model")
"""Names that transformers' image-text-to-text models give their vision tower; Qwen's includes the projector."""

WIDEST_ASPECT = 2.0
"""Photos up to this width / height keep every pixel that the base sees; longer ones are shrunk further (our choice)."""


@dataclass(frozen=True)
class TextBase:
    """A vision-language model.

    Args:
        model: The network, of transformers.
        processor: Its processor.
        contract: How it is asked and how it answers.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    contract: TextContract

    @property
    def max_side(self) -> int | None:
        """Longest useful side in pixels of a photo; None for no limit."""
        pixels = _pixel_limits(self.processor.image_processor)[1]
        return None if pixels is None else math.ceil(math.sqrt(WIDEST_ASPECT * pixels))

    def configured(self, recipe: ModelRecipe) -> TextBase:
        """Return the same model, asked as a recipe says.

        The processor takes the recipe's limits of pixels. Location tokens join the vocabulary where the recipe asks
        for them.
        """
        tokenizer = self.processor.tokenizer
        _limit_pixels(self.processor.image_processor, recipe)
        if recipe.location_tokens:
            space = CoordSpace.LOCATION
            _add_locations(self.model, tokenizer)
        elif recipe.coord_space == "auto":
            space = NATIVE_SPACES.get(self.model.config.model_type, CoordSpace.PERMILLE)
        else:
            space = CoordSpace(recipe.coord_space)
        tokenizer.init_kwargs[CONTRACT_KEY] = {"space": space.value, "think": recipe.think}
        return TextBase(self.model, self.processor, _contract(self.processor, space, think=recipe.think))

    def lora(self, recipe: ModelRecipe) -> LoraConfig | None:
        """Return the LoRA of a recipe. It trains the rows of location tokens, no other embeddings."""
        if recipe.lora_rank == 0:
            return None
        locates = self.contract.space is CoordSpace.LOCATION
        rows = self.processor.tokenizer.convert_tokens_to_ids(list(LOCATION_TOKENS)) if locates else None
        return lora_config(recipe, tied=self.model.config.get_text_config().tie_word_embeddings, rows=rows)

    def sft_trainer(self, recipe: SftRecipe, common: Mapping[str, Any]) -> SFTTrainer:
        """Return trl's trainer with a weight for each token."""
        from shotcrop_train.data.text_collator import TextCollator
        from shotcrop_train.weighted_trainer import WeightedTrainer

        if recipe.model.freeze_vision:
            freeze_vision(self.model)
        return WeightedTrainer(
            model=self.model,
            data_collator=TextCollator(self.processor),
            processing_class=self.processor,
            peft_config=self.lora(recipe.model),
            **common,
        )

    def prepare_stage_3(self, recipe: ModelRecipe) -> None:
        """Freeze the vision tower in full training, if the recipe says so."""
        if recipe.freeze_vision and recipe.lora_rank == 0:
            freeze_vision(self.model)

    @torch.inference_mode()
    def answer(self, images: Sequence[Image.Image], aspects: Sequence[float | None], max_tokens: int) -> list[Answer]:
        """Answer photos in words."""
        processor = self.processor
        prompts = [
            processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": self.contract.prompt(one)}]}],
                add_generation_prompt=True,
                tokenize=False,
            )
            for one in aspects
        ]
        inputs = processor(
            images=[[image] for image in images],
            text=prompts,
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_tensors="pt",
        ).to(self.model.device)
        ids = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        texts = processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [self.contract.read(text, image.size) for text, image in zip(texts, images, strict=True)]


def load_text_base(model: PreTrainedModel, processor: ProcessorMixin, recipe: ModelRecipe) -> TextBase:
    """Return a loaded model as a base.

    A checkpoint that was trained here is asked as it was trained; any other as the recipe says.
    """
    trained = processor.tokenizer.init_kwargs.get(CONTRACT_KEY)
    if trained is None:
        return TextBase(model, processor, _contract(processor, CoordSpace.PERMILLE, think=True)).configured(recipe)
    return TextBase(model, processor, _contract(processor, CoordSpace(trained["space"]), think=trained["think"]))


def lora_config(recipe: ModelRecipe, *, tied: bool, rows: Sequence[int] | None = None) -> LoraConfig:
    """Return the LoRA of a recipe.

    Args:
        recipe: The recipe; its rank is above 0.
        tied: Whether the head shares the weights of the embeddings.
        rows: Rows of the embeddings that are trained, too.
    """
    names = "|".join(map(re.escape, recipe.lora_targets))
    # Vision towers have layers of the same names.
    where = r"(.*\.)?(language_model|text_model)\." if recipe.freeze_vision else ""
    embeddings = ("embed_tokens",) if tied else ("embed_tokens", "lm_head")
    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha or 2 * recipe.lora_rank,
        lora_dropout=recipe.lora_dropout,
        target_modules=rf"{where}(.*\.)?({names})",
        trainable_token_indices=None if rows is None else dict.fromkeys(embeddings, rows),
        task_type="CAUSAL_LM",
    )


def vision_towers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Return a model's vision towers, the outermost modules with their names."""
    found: dict[str, torch.nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name.rpartition(".")[2] in VISION_TOWERS and not inside:
            found[name] = module
    return list(found.values())


def freeze_vision(model: PreTrainedModel) -> None:
    """Stop the training of a model's vision tower.

    Raises:
        ModelError: No module of the model has the name of a vision tower.
    """
    towers = vision_towers(model)
    if not towers:
        raise ModelError(
            f"no vision tower was found in {type(model).__name__}", hint="set freeze_vision = false in the recipe"
        )
    for tower in towers:
        tower.requires_grad_(False)


def fit_vocabulary(model: PreTrainedModel, tokens: int) -> None:
    """Enlarge the embeddings if they have fewer rows than the tokenizer has tokens; spare rows stay."""
    if model.get_input_embeddings().weight.shape[0] < tokens:
        model.resize_token_embeddings(tokens, mean_resizing=False)


def _contract(processor: ProcessorMixin, space: CoordSpace, *, think: bool) -> TextContract:
    return TextContract(space, think, _seen(processor.image_processor))


def _seen(image_processor: Any) -> Callable[[tuple[int, int]], tuple[int, int]]:
    """Return what maps the size of an image, width and height, to the size the processor resizes it to."""

    def seen(size: tuple[int, int]) -> tuple[int, int]:
        low, high = _pixel_limits(image_processor)
        if low is None or high is None:
            return size
        factor = image_processor.patch_size * image_processor.merge_size
        height, width = smart_resize(size[1], size[0], factor=factor, min_pixels=low, max_pixels=high)
        return width, height

    return seen


def _pixel_limits(image_processor: Any) -> tuple[int | None, int | None]:
    """Return the fewest and most pixels that the base sees; None for processors that count in another way."""
    if not hasattr(image_processor, "merge_size"):
        return None, None
    size = image_processor.size
    return size["shortest_edge"], size["longest_edge"]


def _limit_pixels(image_processor: Any, recipe: ModelRecipe) -> None:
    low, high = _pixel_limits(image_processor)
    if low is not None and high is not None:
        # Qwen's processors count pixels under the names of edges.
        high = recipe.max_pixels or high
        image_processor.size = {"shortest_edge": min(recipe.min_pixels or low, high), "longest_edge": high}


@torch.no_grad()
def _add_locations(model: PreTrainedModel, tokenizer: Any) -> None:
    """Add the location tokens as ordinary tokens: trl removes special ones before it rewards an answer.

    Their embeddings start on the line from the digit 0 to the digit 9, so that neighbours are alike. Each random row
    would have to learn its own place (our choice).
    """
    if not tokenizer.add_tokens(list(LOCATION_TOKENS)):
        return
    fit_vocabulary(model, len(tokenizer))
    rows = tokenizer.convert_tokens_to_ids(list(LOCATION_TOKENS))
    first, last = (tokenizer(digit, add_special_tokens=False)["input_ids"][-1] for digit in "09")
    for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()):
        weight = embeddings.weight
        place = torch.linspace(0.0, 1.0, len(rows), device=weight.device, dtype=weight.dtype)[:, None]
        weight[rows] = torch.lerp(weight[first], weight[last], place)
