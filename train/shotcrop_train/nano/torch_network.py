"""The compact model in torch behind the runtime's `Network` interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from shotcrop_cli.model.nano.generate import Decoder, Floats, Ids, caption_masks
from shotcrop_cli.model.nano.grammar import Vocabulary
from shotcrop_train.nano.configuration import NanoConfig
from shotcrop_train.nano.modelling import NanoForConditionalGeneration, cache_of


class TorchNetwork:
    """Runs prompt and steps with transformers' own key-value cache."""

    wide = True

    def __init__(self, model: NanoForConditionalGeneration) -> None:
        self.model = model
        self.cache: dict[str, Any] = {}

    @torch.inference_mode()
    def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
        """Read photos and prompts; see `shotcrop_cli.model.nano.generate.Network`."""
        device = self.model.device
        self.cache = {}
        features, spots = self.model.model.ground(torch.from_numpy(pixels).to(device))
        logits = self._run(input_ids=torch.from_numpy(prompt).to(device), image_features=features)
        return logits, spots.float().cpu().numpy()

    @torch.inference_mode()
    def step(self, tokens: Ids) -> Floats:
        """Append tokens to each photo; see `shotcrop_cli.model.nano.generate.Network`."""
        return self._run(input_ids=torch.from_numpy(tokens).to(self.model.device))

    def _run(self, **inputs: torch.Tensor) -> Floats:
        output = self.model(**inputs, **self.cache, use_cache=True, logits_to_keep=1)
        self.cache = cache_of(output)
        logits: Floats = output.logits[:, -1].float().cpu().numpy().astype(np.float32)
        return logits


def decoder_of(tokenizer: PreTrainedTokenizerFast, config: NanoConfig) -> Decoder:
    """Return the decoding rules of a model and its tokenizer."""
    vocabulary = vocabulary_of(tokenizer)
    pieces = [tokenizer.decode([index]) for index in range(vocabulary.text_tokens)]
    return Decoder(
        vocabulary,
        *caption_masks(pieces),
        no_subject_threshold=config.no_subject_threshold,
        think=config.think,
        words=config.words,
    )


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """Return where the control tokens of a tokenizer lie.

    Raises:
        ValueError: The tokenizer's control tokens are not those of the grammar, in its order.
    """
    from shotcrop_cli.model.nano.grammar import CONTROL_TOKENS

    first = tokenizer.convert_tokens_to_ids(CONTROL_TOKENS[0])
    ids = tokenizer.convert_tokens_to_ids(list(CONTROL_TOKENS))
    if ids != list(range(first, first + len(CONTROL_TOKENS))):
        raise ValueError("the tokenizer's control tokens do not follow the grammar's order")
    return Vocabulary(first)
