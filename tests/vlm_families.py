"""Random models of families other than Qwen's, small enough to train within seconds, with their image processing.

Gemma 3 and SmolVLM keep transformers' own processors (SmolVLM the image half, Idefics 3's). That of InternVL insists on
a video half, which needs torchvision; here it has only the image half.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import trl
from transformers import (
    AutoProcessor,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Idefics3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from vlm import CHAT_TEMPLATE, tiny_tokenizer

SIDE = 64
"""Side in pixels of the square that these models see, 16 patches."""
OTHER_FAMILIES = ("gemma-3", "smolvlm", "internvl")

_TEMPLATES = Path(trl.__file__).parent / "chat_templates"


class ImageOnlyInternVLProcessor(InternVLProcessor):  # type: ignore[misc]
    """InternVL's processor without its video half."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_length: int = 4,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        self.image_seq_length = image_seq_length
        self.start_image_token, self.end_image_token, self.image_token = "<img>", "</img>", "<IMG_CONTEXT>"
        for name in ("start_image_token", "end_image_token", "image_token"):
            setattr(self, f"{name}_id", tokenizer.convert_tokens_to_ids(getattr(self, name)))
        self.video_token = "<video>"
        self.multimodal_pattern = re.compile("(?P<image><IMG_CONTEXT>)|(?P<video><video>)")


AutoProcessor.register(InternVLConfig, ImageOnlyInternVLProcessor, exist_ok=True)
AutoProcessor.register(SmolVLMConfig, Idefics3Processor, exist_ok=True)


def tiny_other_vlm(family: str, seed: int = 0) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Return a random model of a family and its processor."""
    torch.manual_seed(seed)
    model, processor = {"gemma-3": _gemma3, "smolvlm": _smolvlm, "internvl": _internvl}[family](tiny_tokenizer())
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model, processor


def save_tiny_other_vlm(folder: Path, family: str, seed: int = 0) -> Path:
    """Write a tiny model and its processor as a checkpoint."""
    model, processor = tiny_other_vlm(family, seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _text(tokenizer: PreTrainedTokenizerFast, model_type: str, **more: Any) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
        **more,
    }


def _vision(**more: Any) -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, **more}


def _gemma3(tokenizer: PreTrainedTokenizerFast) -> tuple[PreTrainedModel, ProcessorMixin]:
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    tokenizer = _with_tokens(tokenizer, tokens)
    text = _text(tokenizer, "gemma3_text", head_dim=16, sliding_window=512)
    config = Gemma3Config(
        text_config=text,
        vision_config=_vision(image_size=SIDE, patch_size=16) | {"model_type": "siglip_vision_model"},
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        tie_word_embeddings=True,
    )
    images = Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    template = (_TEMPLATES / "gemma3.jinja").read_text("utf-8")
    processor = Gemma3Processor(images, tokenizer, chat_template=template, image_seq_length=4)
    return Gemma3ForConditionalGeneration(config), processor


def _smolvlm(tokenizer: PreTrainedTokenizerFast) -> tuple[PreTrainedModel, ProcessorMixin]:
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
    )
    template = (_TEMPLATES / "smolvlm.jinja").read_text("utf-8")
    # The processor adds its own tokens to the tokenizer.
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)
    config = SmolVLMConfig(
        text_config=_text(tokenizer, "llama"),
        vision_config=_vision(image_size=SIDE, patch_size=16),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    return SmolVLMForConditionalGeneration(config), processor


def _internvl(tokenizer: PreTrainedTokenizerFast) -> tuple[PreTrainedModel, ProcessorMixin]:
    tokenizer.add_special_tokens({"additional_special_tokens": ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"]})
    config = InternVLConfig(
        text_config=_text(tokenizer, "qwen2"),
        vision_config=_vision(image_size=[SIDE, SIDE], patch_size=[16, 16]),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=True,
    )
    images = GotOcr2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, max_patches=2)
    template = CHAT_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n")
    processor = ImageOnlyInternVLProcessor(images, tokenizer, 4, template)
    return InternVLForConditionalGeneration(config), processor


def _with_tokens(tokenizer: PreTrainedTokenizerFast, tokens: dict[str, str]) -> PreTrainedTokenizerFast:
    """Return the tokenizer with tokens that processors read as its attributes."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=tokenizer.pad_token,
        eos_token=tokenizer.eos_token,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        extra_special_tokens=tokens,
        bos_token="<bos>",
    )
