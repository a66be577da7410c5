"""Load any base: the compact model, a vision-language model of transformers, or a LoRA checkpoint over one.

What a base is asked and how it answers belongs to its weights. The compact model's configuration tells whether it
thinks; the tokenizer of any other base that was trained here carries the same facts, and so does every folder that its
processor is saved in. `teach` sets them before training; everyone else takes a checkpoint as it was taught.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from huggingface_hub import snapshot_download
from peft import LoraConfig, PeftConfig, PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.nano import grammar
from shotcrop_train.data.contract import Contract, GrammarContract, TextContract
from shotcrop_train.nano import NanoForConditionalGeneration, NanoProcessor

NANO, TEXT = "nano", "text"
"""The two families: the compact model with its grammar, and models that answer in words."""

TAUGHT = "shotcrop"
"""Key in a tokenizer's configuration of what its model was taught."""

ADAPTER = "adapter_config.json"

HABITS = {"qwen2_5_vl": CoordSpace.ABSOLUTE}
"""Families whose own boxes are not 0..1000; a base learns fastest in the coordinates it knows [N: Qwen2.5-VL]."""

VISION_TOWERS = ("visual", "vision_tower", "vision_model")
"""What transformers' image-text-to-text models call their vision tower, its projector included in Qwen's."""

ROOM = 2.0
"""Photos up to this width / height keep every pixel that the base will see; longer ones are thinned out sooner [O]."""

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_HUB_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class ModelRecipe:
    """How a base is loaded and trained. The compact model heeds `think` alone.

    Args:
        lora_rank: Rank of the low-rank updates [N: 32 to 64 for this kind of task]; 0 trains the weights themselves.
        lora_alpha: Strength of the updates, divided by the rank; 0 for twice the rank [O].
        lora_dropout: Dropout before the updates.
        lora_targets: Names of the linear layers that get updates.
        freeze_vision: Leave the vision tower as it is, in LoRA and in full training.
        dtype: `float32`, `bfloat16`, or `auto`: bfloat16 on a GPU, except for weights that are trained themselves.
        gradient_checkpointing: Compute activations twice in place of keeping them.
        micro_batch: Photos of a batch that are in memory at once; 0 for all. Their gradients are added up.
        max_pixels: Photos are shrunk to so many pixels [N: 1 to 2 million]; 0 keeps the processor's own limit.
        min_pixels: Photos are enlarged to so many; 0 likewise.
        coord_space: How boxes are written: `permille`, `absolute`, or `auto` for the base's habit.
        think: Whether the reasoning is written before the shots.
        location_tokens: Write boxes as location tokens, which are added to the vocabulary and trained.
    """

    lora_rank: int = 0
    lora_alpha: int = 0
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    freeze_vision: bool = True
    dtype: str = "auto"
    gradient_checkpointing: bool = False
    micro_batch: int = 0
    max_pixels: int = 1_048_576
    min_pixels: int = 0
    coord_space: str = "auto"
    think: bool = True
    location_tokens: bool = False

    def __post_init__(self) -> None:
        for name, choices in (
            ("dtype", ("auto", "float32", "bfloat16")),
            ("coord_space", ("auto", "permille", "absolute")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"'{name}' must be one of {', '.join(choices)}, not '{getattr(self, name)}'")


@dataclass(frozen=True)
class Base:
    """A model that composes, and how it is asked.

    Args:
        model: The network, of transformers.
        processor: Its processor.
        contract: How it is asked and answers.
        family: `nano` or `text`.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    contract: Contract
    family: str

    @property
    def image_size(self) -> int | None:
        """Side in pixels of the square that photos are squashed to; None where they keep their shape."""
        return int(self.model.config.image_size) if self.family == NANO else None

    @property
    def max_side(self) -> int | None:
        """Longest useful side in pixels of a photo that keeps its shape; None for no limit."""
        pixels = None if self.family == NANO else _pixel_limits(self.processor.image_processor)[1]
        return None if pixels is None else math.ceil(math.sqrt(ROOM * pixels))


def load_base(
    start: str | Path, recipe: ModelRecipe | None = None, *, offline: bool = False, trained: bool = False
) -> Base:
    """Load a base.

    Args:
        start: A checkpoint folder, whole or LoRA, or ORG/NAME on the Hugging Face hub. A LoRA checkpoint is merged into
            its own base.
        recipe: How. A checkpoint that was trained here is asked as it was taught, whatever the recipe says.
        offline: Whether the hub is not asked, so that only what it has given before counts.
        trained: Whether it is to be trained. Otherwise it comes ready to answer, on the GPU if there is one.

    Raises:
        ModelError: There is no such base, or it cannot be read.
    """
    recipe = recipe or ModelRecipe()
    model, processor = _load(start, _dtype(recipe, trained), offline)
    if not trained:
        model.to(PartialState().device if torch.cuda.is_available() else "cpu").eval()
    if isinstance(model, NanoForConditionalGeneration):
        return Base(model.float(), processor, GrammarContract(model.config.think), NANO)
    taught = processor.tokenizer.init_kwargs.get(TAUGHT)
    if taught is None:
        return teach(Base(model, processor, _text_contract(processor, CoordSpace.PERMILLE, think=True), TEXT), recipe)
    return Base(model, processor, _text_contract(processor, CoordSpace(taught["space"]), think=taught["think"]), TEXT)


def load_nano(checkpoint: str | Path) -> tuple[NanoForConditionalGeneration, NanoProcessor]:
    """Load the compact model and its processor from a checkpoint folder.

    Raises:
        ModelError: The folder holds no compact model.
    """
    model, processor = _load(checkpoint, torch.float32, offline=True)
    if not isinstance(model, NanoForConditionalGeneration) or not isinstance(processor, NanoProcessor):
        raise ModelError(f"{checkpoint} is no checkpoint of shotcrop-nano", hint="name a folder of `train sft`")
    return model, processor


def teach(base: Base, recipe: ModelRecipe) -> Base:
    """Return a base that is asked, and will answer, as a recipe wants it; its weights and processor say so from now on.

    The processor takes the recipe's limits of pixels; location tokens that it wants are added to the vocabulary.
    """
    if base.family == NANO:
        base.model.config.think = recipe.think
        return Base(base.model, base.processor, GrammarContract(recipe.think), NANO)
    tokenizer = base.processor.tokenizer
    _limit_pixels(base.processor.image_processor, recipe)
    if recipe.location_tokens:
        space = CoordSpace.LOCATION
        _add_locations(base.model, tokenizer)
    elif recipe.coord_space == "auto":
        space = HABITS.get(base.model.config.model_type, CoordSpace.PERMILLE)
    else:
        space = CoordSpace(recipe.coord_space)
    tokenizer.init_kwargs[TAUGHT] = {"space": space.value, "think": recipe.think}
    return Base(base.model, base.processor, _text_contract(base.processor, space, think=recipe.think), TEXT)


def peft_config(base: Base, recipe: ModelRecipe) -> LoraConfig | None:
    """Return the LoRA that a recipe wants over a base, for trl's trainers; None for full training.

    The rows of location tokens are trained beside it, the rest of the embeddings is not.
    """
    if base.family == NANO or recipe.lora_rank == 0:
        return None
    names = "|".join(map(re.escape, recipe.lora_targets))
    # Vision towers have layers of the same names.
    where = r"(.*\.)?(language_model|text_model)\." if recipe.freeze_vision else ""
    rows = base.processor.tokenizer.convert_tokens_to_ids(list(grammar.LOCATION_TOKENS)) if _locates(base) else None
    tied = base.model.config.get_text_config().tie_word_embeddings
    embeddings = ("embed_tokens",) if tied else ("embed_tokens", "lm_head")
    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha or 2 * recipe.lora_rank,
        lora_dropout=recipe.lora_dropout,
        target_modules=rf"{where}(.*\.)?({names})",
        trainable_token_indices=None if rows is None else dict.fromkeys(embeddings, rows),
        task_type="CAUSAL_LM",
    )


def complete_head(model: torch.nn.Module) -> None:
    """Give a language head whose rows are trained by peft the bias of None that trl's trainers look for.

    Without it peft's wrapper of a tied head fails in trl's fused forward. To be called once the trainer is made.
    """
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None


def freeze_vision(model: PreTrainedModel) -> None:
    """Stop the training of a model's vision tower.

    Raises:
        ModelError: None of its modules is called like one.
    """
    towers = [module for name, module in model.named_modules() if name.rpartition(".")[2] in VISION_TOWERS]
    if not towers:
        raise ModelError(
            f"no vision tower was found in {type(model).__name__}", hint="set freeze_vision = false in the recipe"
        )
    for tower in towers:
        tower.requires_grad_(False)


def _dtype(recipe: ModelRecipe, trained: bool) -> torch.dtype:
    if recipe.dtype != "auto":
        return torch.float32 if recipe.dtype == "float32" else torch.bfloat16
    whole = trained and recipe.lora_rank == 0
    return torch.bfloat16 if torch.cuda.is_available() and not whole else torch.float32


def _load(start: str | Path, dtype: torch.dtype, offline: bool) -> tuple[PreTrainedModel, ProcessorMixin]:
    folder = _find(start, offline)
    local = Path(start).expanduser().is_dir()
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        if (folder / ADAPTER).is_file():
            model, _ = _load(PeftConfig.from_pretrained(str(folder)).base_model_name_or_path, dtype, offline)
            _fit_vocabulary(model, len(processor.tokenizer))
            model = PeftModel.from_pretrained(model, folder).merge_and_unload()
        else:
            model = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{start} is no checkpoint: {_first_line(error)}",
            hint="name a folder with a model in safetensors and its processor, such as `shotcrop train` writes",
        ) from error
    except ImportError as error:
        raise ModelError(
            f"{start} needs a package: {_first_line(error)}", hint=install_hint.add_packages("torchvision")
        ) from error
    if not isinstance(processor, ProcessorMixin):
        # A tokenizer is all that transformers finds where the processor's class is unknown to it.
        raise ModelError(f"{start} has no processor of photos", hint="name a vision-language model")
    # What is trained on top of it names it as its base, and trl loads it again by this name.
    model.name_or_path = str(folder.resolve()) if local else str(start)
    return model, processor


def _find(start: str | Path, offline: bool) -> Path:
    """Return the folder of a checkpoint, fetched from the hub where needed."""
    path = Path(start).expanduser()
    if path.is_dir():
        return path
    name = str(start)
    if _HUB_ID.fullmatch(name) is None:
        raise ModelError(f"there is no checkpoint {name}", hint="name a folder, or ORG/NAME on the hub")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=offline))
    except Exception as error:  # the hub's client passes on errors of several network libraries
        folder = f"models/{name.partition('/')[2]}"
        raise ModelError(
            f"{name} is not on this machine" if offline else f"{name} cannot be fetched: {_first_line(error)}",
            hint=f"on a machine with a network: hf download {name} --local-dir {folder}; "
            f"put that folder here and name it in place of {name}",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _text_contract(processor: ProcessorMixin, space: CoordSpace, *, think: bool) -> TextContract:
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
    """Return the fewest and most pixels of what the base sees; None of processors that count in another way."""
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


def _locates(base: Base) -> bool:
    return isinstance(base.contract, TextContract) and base.contract.space is CoordSpace.LOCATION


def _fit_vocabulary(model: PreTrainedModel, tokens: int) -> None:
    """Enlarge the embeddings if they have fewer rows than the tokenizer has tokens; spare rows stay."""
    if model.get_input_embeddings().weight.shape[0] < tokens:
        model.resize_token_embeddings(tokens, mean_resizing=False)


@torch.no_grad()
def _add_locations(model: PreTrainedModel, tokenizer: Any) -> None:
    """Add the location tokens, not as special ones, since trl rewards answers that were decoded without those.

    They begin on the line from the digit 0 to the digit 9: neighbours are alike from the start, while random rows would
    each have to learn where they lie [O].
    """
    if not tokenizer.add_tokens(list(grammar.LOCATION_TOKENS)):
        return
    _fit_vocabulary(model, len(tokenizer))
    rows = tokenizer.convert_tokens_to_ids(list(grammar.LOCATION_TOKENS))
    first, last = (tokenizer(digit, add_special_tokens=False)["input_ids"][-1] for digit in "09")
    for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()):
        weight = embeddings.weight
        place = torch.linspace(0.0, 1.0, len(rows), device=weight.device, dtype=weight.dtype)[:, None]
        weight[rows] = torch.lerp(weight[first], weight[last], place)
