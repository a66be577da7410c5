"""Load a large checkpoint for export: weights with a merged adapter, tokenizer, image processor and contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.manifest import Family
from shotcrop_train.checkpoints import load_base
from shotcrop_train.recipe import ModelRecipe

_BICUBIC = 3
_SUPPORTED_SETTINGS = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "resample": _BICUBIC,
    "rescale_factor": 1 / 255,
}
"""Settings of the families' image processors. The runtime supports no others."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded checkpoint.

    Args:
        model: The model, in single precision on the CPU.
        tokenizer: Its tokenizer.
        image_processor: Its image processor, in the variant that needs only Pillow and numpy.
        template: Its chat template.
        space: The coordinates in which it was trained to write boxes.
        think: Whether it was trained to write its reasoning.
    """

    model: Any
    tokenizer: Any
    image_processor: Any
    template: str
    space: CoordSpace
    think: bool

    @property
    def family(self) -> Family:
        """The model family."""
        return Family(self.model.config.model_type)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a checkpoint; an adapter (LoRA) is merged into its base.

    Raises:
        ModelError: There is no checkpoint, its model family cannot be exported, or the runtime does not support
            settings of its image processor.
    """
    base = load_base(folder, ModelRecipe(dtype="float32"))
    kind = base.model.config.model_type
    if kind not in set(Family):
        raise ModelError(
            f"{folder} has the model type {kind}, which cannot be exported",
            hint=f"export one of these: {', '.join(Family)}",
        )
    images, processor = base.processor.image_processor, base.processor
    odd = [name for name, value in _SUPPORTED_SETTINGS.items() if getattr(images, name) != value]
    if odd:
        raise ModelError(
            f"{folder}: the image processor has unsupported settings: {', '.join(odd)}",
            hint="restore the values of the base model",
        )
    template = processor.chat_template or processor.tokenizer.chat_template
    if template is None:
        raise ModelError(f"{folder} has no chat template", hint="copy chat_template.jinja from the base model")
    plain = Qwen2VLImageProcessorPil(
        patch_size=images.patch_size,
        merge_size=images.merge_size,
        temporal_patch_size=images.temporal_patch_size,
        size=dict(images.size),
        image_mean=list(images.image_mean),
        image_std=list(images.image_std),
    )
    space, think = base.contract.space, base.contract.think
    return Checkpoint(base.model.float().cpu().eval(), processor.tokenizer, plain, template, space, think)
