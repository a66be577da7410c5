"""Random vision-language models of real classes, small enough to train within seconds, and their processors.

The processors are the real ones' image half: transformers' own processors of these models insist on a video half, which
needs torchvision. Importing this module registers them with `AutoProcessor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoProcessor,
    BatchFeature,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.prompts import instruction

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE, VIDEO, VISION_START, VISION_END = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

FAMILIES = ("qwen3-vl", "qwen2.5-vl")


class ImageOnlyQwenProcessor(ProcessorMixin):  # type: ignore[misc]
    """What Qwen's processors do to images and text, with each photo's placeholder as long as its grid of patches."""

    attributes = ["image_processor", "tokenizer"]  # noqa: RUF012
    image_processor_class = "AutoImageProcessor"
    tokenizer_class = "AutoTokenizer"

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)
        self.image_token = IMAGE
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE)

    def __call__(self, images: Any = None, text: str | Sequence[str] | None = None, **kwargs: Any) -> BatchFeature:
        return_tensors = kwargs.pop("return_tensors", None)
        for name in ("videos", "audio", "return_mm_token_type_ids", "return_metadata", "sanitize_control_tokens"):
            kwargs.pop(name, None)
        data: dict[str, Any] = {}
        photos = flatten(images)
        if photos:
            data.update(self.image_processor(images=photos, return_tensors="np"))
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if photos:
                merged = self.image_processor.merge_size**2
                lengths = iter((data["image_grid_thw"].prod(-1) // merged).tolist())
                texts = ["".join(self._widen(one, lengths)) for one in texts]
            data.update(self.tokenizer(texts, **kwargs))
            data["mm_token_type_ids"] = [
                [int(token == self.image_token_id) for token in row] for row in _rows(data["input_ids"])
            ]
        return BatchFeature(data, tensor_type=return_tensors)

    def _widen(self, text: str, lengths: Any) -> Any:
        before, *rest = text.split(IMAGE)
        yield before
        for after in rest:
            yield IMAGE * next(lengths) + after

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw"]


AutoProcessor.register(Qwen3VLConfig, ImageOnlyQwenProcessor, exist_ok=True)
AutoProcessor.register(Qwen2_5_VLConfig, ImageOnlyQwenProcessor, exist_ok=True)
AutoProcessor.register(Qwen3_5Config, ImageOnlyQwenProcessor, exist_ok=True)


def flatten(images: Any) -> list[Image.Image]:
    """Return the images of nested lists in order; trl passes one list per prompt."""
    if isinstance(images, (list, tuple)):
        return [image for item in images for image in flatten(item)]
    return [] if images is None else [images]


def _rows(ids: Any) -> list[list[int]]:
    return ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer to which the output contract's own words are short."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, START, END, VISION_START, VISION_END, IMAGE, VIDEO]
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=[AddedToken(token) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [instruction(space, think=think) for space in CoordSpace for think in (True, False)]
    corpus.append(
        '<think>\nscene: A field.\n</think>\n<answer>{"establishing": {"bbox_2d": [1, 2, 3, 4], "caption": ""}}'
    )
    tokenizer.train_from_iterator(corpus * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def tiny_vlm(family: str = "qwen3-vl", seed: int = 0) -> tuple[PreTrainedModel, ImageOnlyQwenProcessor]:
    """Return a random model of a family, weights about .1 M, and its processor: photos of 4 to 16 visual tokens."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    model = {"qwen3-vl": _qwen3, "qwen2.5-vl": _qwen25, "qwen3.5": _qwen35}[family](tokenizer)
    patch = model.config.vision_config.patch_size
    token = (2 * patch) ** 2
    processor = ImageOnlyQwenProcessor(
        Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": 4 * token, "longest_edge": 16 * token}),
        tokenizer,
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, processor


def save_tiny_vlm(folder: Path, family: str = "qwen3-vl", seed: int = 0) -> Path:
    """Write a tiny model and its processor as a checkpoint."""
    model, processor = tiny_vlm(family, seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    names = {
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "vision_start_token_id": VISION_START,
        "vision_end_token_id": VISION_END,
    }
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def _text(tokenizer: PreTrainedTokenizerFast, **rope: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, **rope},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }


def _qwen3(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    text = _text(tokenizer, mrope_section=[4, 2, 2], mrope_interleaved=True) | {"head_dim": 16}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **_ids(tokenizer))
    return Qwen3VLForConditionalGeneration(config)


def _qwen25(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": [1],
        "out_hidden_size": 64,
    }
    text = _text(tokenizer, mrope_section=[2, 3, 3])
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **_ids(tokenizer))
    return Qwen2_5_VLForConditionalGeneration(config)


def _qwen35(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
    }
    text = _text(tokenizer, mrope_section=[4, 2, 2], mrope_interleaved=True, partial_rotary_factor=1.0) | {
        "head_dim": 16,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "layer_types": ["linear_attention", "full_attention"],
    }
    config = Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=True, **_ids(tokenizer))
    return Qwen3_5ForConditionalGeneration(config)


def photo(width: int = 96, height: int = 72) -> Image.Image:
    """Return a grey photo with a red figure in it."""
    image = Image.new("RGB", (width, height), (90, 90, 90))
    image.paste((200, 30, 30), (width // 3, height // 4, width // 2, height))
    return image
