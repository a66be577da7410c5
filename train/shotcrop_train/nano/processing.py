"""Processor of `shotcrop-nano`: photos to square tensors, prompts to tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BatchFeature, PreTrainedTokenizerFast, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from shotcrop_cli.model.nano import grammar
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_train.nano.configuration import image_tokens

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The user's turn is `<image>` and `<aspect>`; the assistant's turn is the answer in the compact model's grammar."""


class NanoImageProcessor(BaseImageProcessor):
    """Squashes photos to the model's square and scales their values."""

    model_input_names = ["pixel_values"]  # noqa: RUF012 - transformers reads it from the class

    def __init__(self, image_size: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_size = image_size

    def fetch_images(self, images: Any) -> Any:
        """Return the images as they are: no path or address is ever opened."""
        return images

    def __call__(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """Turn PIL images, nested in lists as they may be, into `pixel_values` (N, 3, S, S), float32, about -1..1."""
        batch = np.stack([np.asarray(squash(image, self.image_size)) for image in flatten(images)])
        return BatchFeature({"pixel_values": pixel_values(batch)}, tensor_type=return_tensors)

    preprocess = __call__


def flatten(images: Any) -> list[Image.Image]:
    """Return the images of nested lists in order; trl passes one list per prompt."""
    if isinstance(images, (list, tuple)):
        return [image for item in images for image in flatten(item)]
    return [] if images is None else [images]


class NanoProcessor(ProcessorMixin):
    """Tokenizer and image processor as one, with the photo's aspect told to the model by a token."""

    def __init__(
        self,
        image_processor: NanoImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)
        self.image_token = grammar.IMAGE
        self.image_token_id = self.tokenizer.convert_tokens_to_ids(grammar.IMAGE)

    @property
    def num_image_tokens(self) -> int:
        """Visual tokens of a photo."""
        return image_tokens(int(self.image_processor.image_size))

    def __call__(self, images: Any = None, text: str | Sequence[str] | None = None, **kwargs: Any) -> BatchFeature:
        """Tokenize prompts and prepare their photos.

        Each `<image>` becomes as many tokens as the photo has visual tokens. Each `<aspect>` becomes the token of the
        width / height of the photo at the same index; a text that names an aspect token itself keeps it.
        """
        return_tensors = kwargs.pop("return_tensors", None)
        # Options of multimodal processors that have no meaning for one square image.
        for name in (
            "videos",
            "audio",
            "return_mm_token_type_ids",
            "return_metadata",
            "sanitize_control_tokens",
        ):
            kwargs.pop(name, None)
        data: dict[str, Any] = {}
        photos = flatten(images)
        if photos:
            data.update(self.image_processor(photos))
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            aspects = [grammar.aspect_token(photo.width / photo.height) for photo in photos]
            aspects += [grammar.ASPECT_UNKNOWN] * (len(texts) - len(aspects))
            texts = [
                one.replace(grammar.ASPECT, aspect).replace(grammar.IMAGE, grammar.IMAGE * self.num_image_tokens)
                for one, aspect in zip(texts, aspects, strict=False)
            ]
            data.update(self.tokenizer(texts, **kwargs))
        return BatchFeature(data, tensor_type=return_tensors)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors the model takes."""
        return ["input_ids", "attention_mask", "pixel_values"]


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE over captions and append the control tokens.

    Args:
        captions: Texts; they are folded as `grammar.normalise_caption` does.
        vocabulary: Size of the whole vocabulary, control tokens included. With few captions it may come out smaller.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(grammar.CONTROL_TOKENS),
        min_frequency=3,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {grammar.normalise_caption(caption)}" for caption in captions), trainer)
    # All but the five special tokens must survive `skip_special_tokens`, with which trl decodes completions before it
    # rewards them.
    tokenizer.add_special_tokens([AddedToken(token) for token in grammar.SPECIAL_TOKENS])
    tokenizer.add_tokens(
        [AddedToken(token, normalized=False) for token in grammar.CONTROL_TOKENS[len(grammar.SPECIAL_TOKENS) :]]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=grammar.PAD,
        eos_token=grammar.END,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
