"""Configuration of `shotcrop-nano`."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import LlamaConfig
from transformers.configuration_utils import PretrainedConfig

MODEL_TYPE = "shotcrop_nano"


class NanoConfig(PretrainedConfig):
    """Sizes of the compact model.

    Args:
        text_config: The decoder, a `LlamaConfig` or its dict.
        image_size: Side of the square input in pixels; the photo is squashed to it, so that one batch has one shape
            and a relative coordinate means the same everywhere.
        neck_width: Channels of the fused feature map at stride 16.
        neck_blocks: Residual blocks on that map.
        image_token_id: Id of the token whose embedding the image features replace.
        no_subject_threshold: A photo counts as one of nobody from this probability of the token `<people_0>` on.
            At .5 none of 456 views of held-back photos with people counts as empty, and of 184 without people 8 % do
            not [O].
        think: Whether it was taught to write the chain of thought before the shots.
        words: Whether captions must be decoded for the boxes after them to be good: False for a model that was trained
            with caption dropout.
    """

    model_type = MODEL_TYPE
    auto_map: ClassVar[dict[str, str]] = {}  # trl reads it from the class when it reloads a reference model
    sub_configs: ClassVar[dict[str, type]] = {"text_config": LlamaConfig}

    def __init__(
        self,
        text_config: LlamaConfig | dict[str, Any] | None = None,
        image_size: int = 256,
        neck_width: int = 160,
        neck_blocks: int = 2,
        image_token_id: int = 0,
        no_subject_threshold: float = 0.5,
        think: bool = True,
        words: bool = True,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        if isinstance(text_config, dict):
            text_config = LlamaConfig(**{key: value for key, value in text_config.items() if key != "model_type"})
        self.text_config: LlamaConfig = text_config if text_config is not None else default_text_config(4096)
        self.image_size = image_size
        self.neck_width = neck_width
        self.neck_blocks = neck_blocks
        self.image_token_id = image_token_id
        self.no_subject_threshold = no_subject_threshold
        self.think = think
        self.words = words
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)

    @property
    def grid(self) -> int:
        """Visual tokens along one side: one for each 32 pixels."""
        return self.image_size // 32

    @property
    def num_image_tokens(self) -> int:
        """Visual tokens of a photo."""
        return image_tokens(self.image_size)


SPOTTED = 2
"""What the neck looks for, each with a visual token of its own: the lead and the lead's head."""


def image_tokens(image_size: int) -> int:
    """Return the visual tokens of a photo: one for each 32 x 32 pixels, then the spotted ones."""
    return (image_size // 32) ** 2 + SPOTTED


def default_text_config(vocab_size: int) -> LlamaConfig:
    """Return the decoder's sizes; `modelling` says why they are what they are."""
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        attention_dropout=0.0,
    )
