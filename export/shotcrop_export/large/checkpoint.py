"""A large checkpoint, loaded: its weights with any adapter merged in, its tokenizer, image processor and contract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.manifest import Family
from shotcrop_train.checkpoints import ADAPTER, load_base
from shotcrop_train.data.contract import TextContract
from shotcrop_train.nano.configuration import MODEL_TYPE
from shotcrop_train.recipe import ModelRecipe

_BICUBIC = 3
_USUAL = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": _BICUBIC, "rescale_factor": 1 / 255}
"""How image processors of the families treat photos; the runtime does nothing else."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What is exported.

    Args:
        model: The model, in single precision on the CPU.
        tokenizer: Its tokenizer.
        image_processor: Its image processor, in the form that needs but Pillow and numpy.
        template: Its chat template.
        space: How it was taught to write boxes.
        think: Whether it was taught to write its reasoning.
    """

    model: Any
    tokenizer: Any
    image_processor: Any
    template: str
    space: CoordSpace
    think: bool

    @property
    def family(self) -> Family:
        """Which class of models it is of."""
        return Family(self.model.config.model_type)


def is_large(folder: Path) -> bool:
    """Say whether a checkpoint is of a large model: an adapter, or anything but the compact model.

    Raises:
        ModelError: The folder holds no checkpoint.
    """
    if (folder / ADAPTER).is_file():
        return True
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is no checkpoint: it has no {path.name}", hint="name a folder that `shotcrop train` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="name another checkpoint") from error
    return str(content.get("model_type")) != str(MODEL_TYPE)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a checkpoint; an adapter (LoRA) is merged into its base.

    Raises:
        ModelError: There is none, its class of models cannot be exported, or it treats photos in a way of its own.
    """
    base = load_base(folder, ModelRecipe(dtype="float32"))
    kind = base.model.config.model_type
    if kind not in set(Family) or not isinstance(base.contract, TextContract):
        raise ModelError(
            f"{folder} is of the class {kind}, which cannot be exported", hint=f"those that can: {', '.join(Family)}"
        )
    images, processor = base.processor.image_processor, base.processor
    odd = [name for name, value in _USUAL.items() if getattr(images, name) != value]
    if odd:
        raise ModelError(
            f"{folder} treats photos in a way of its own: {', '.join(odd)}", hint="restore its base's values"
        )
    template = processor.chat_template or processor.tokenizer.chat_template
    if template is None:
        raise ModelError(f"{folder} has no chat template", hint="copy chat_template.jinja from its base")
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
