"""Batches of rows for the compact model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from shotcrop_cli.model.nano import grammar
from shotcrop_train.data.text_collator import IGNORED
from shotcrop_train.nano.processing import NanoProcessor
from shotcrop_train.nano.torch_network import vocabulary_of


@dataclass
class NanoCollator:
    """Makes a batch of rows for the compact model: what trl's own collator makes, plus weights and noise.

    Unknown parts of an answer have no label, and neither has a shot of weight 0. Any other weight applies to the
    shot's box alone, since a proposed box may be wrong while a caption is right. The model reads location tokens with
    noise and learns them without: when it decodes, it reads its own, inexact, tokens.

    Args:
        processor: The compact model's processor.
        location_noise: Standard deviation of the noise in bins.
        seed: Random seed.
    """

    processor: NanoProcessor
    location_noise: float = 0.0
    seed: int = 0

    @cached_property
    def vocabulary(self) -> grammar.Vocabulary:
        """The ids of the control tokens."""
        return vocabulary_of(self.processor.tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return a batch.

        It holds `input_ids`, `attention_mask`, `labels`, `token_weights` (B, S), `bags` (B, T) over the T tokens of
        text, and `pixel_values` (B, 3, H, W).
        """
        pad = self.vocabulary.id(grammar.PAD)
        prompts = [grammar.prompt(self.processor.num_image_tokens, one["prompt"][0]["content"]) for one in rows]
        answers = [one["completion"][0]["content"] + grammar.END for one in rows]
        tokenizer = self.processor.tokenizer
        prompt_ids = tokenizer(prompts)["input_ids"]
        answer_ids = tokenizer(answers)["input_ids"]
        lengths = [len(a) + len(b) for a, b in zip(prompt_ids, answer_ids, strict=True)]
        ids = np.full((len(rows), max(lengths)), pad, dtype=np.int64)
        labels = np.full_like(ids, IGNORED)
        weights = np.zeros(ids.shape, dtype=np.float32)
        for index, (before, after) in enumerate(zip(prompt_ids, answer_ids, strict=True)):
            start, stop = len(before), len(before) + len(after)
            ids[index, :start], ids[index, start:stop] = before, after
            labels[index, start:stop] = after
            weights[index, start:stop] = self._weights(np.array(after), rows[index]["spans"])
        labels[(labels == self.vocabulary.id(grammar.UNKNOWN)) | (weights == 0.0)] = IGNORED
        self._add_location_noise(ids, [int(one["draw"]) for one in rows])
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy((ids != pad).astype(np.int64)),
            "labels": torch.from_numpy(labels),
            "token_weights": torch.from_numpy(weights),
            "bags": torch.from_numpy(np.stack([self._bag(one["captions"]) for one in rows])),
            "pixel_values": self.processor.image_processor([one["image"] for one in rows], return_tensors="pt")[
                "pixel_values"
            ],
        }

    def _bag(self, captions: Sequence[str]) -> np.ndarray:
        """Return each text token's share of the captions (T,). A token counts once per caption."""
        bag = np.zeros(self.vocabulary.text_tokens, dtype=np.float32)
        for ids in self.processor.tokenizer(list(captions))["input_ids"] if captions else ():
            bag[[index for index in set(ids) if index < len(bag)]] += 1.0
        bag /= max(bag.sum(), 1.0)
        return bag

    def _weights(self, answer: np.ndarray, spans: Sequence[tuple[int, int, float]]) -> np.ndarray:
        """Return token weights: a shot's weight on its location tokens; on all its tokens if that weight is 0."""
        markers = self.vocabulary.span(grammar.SHOT_TOKENS)
        shot = np.cumsum((answer >= markers.start) & (answer < markers.stop))
        weights = np.array([1.0, *(weight for _, _, weight in spans)])[shot]
        span = self.vocabulary.locations
        location = (answer >= span.start) & (answer < span.stop)
        # The end of the answer belongs to no shot.
        ends = answer == self.vocabulary.id(grammar.END)
        return np.where(~ends & (location | (weights == 0.0)), weights, 1.0)

    def _add_location_noise(self, ids: np.ndarray, draws: Sequence[int]) -> None:
        """Add noise to location tokens, in two thirds of the rows, of a different strength in each.

        The noise depends on the seed and the number of the draw alone.
        """
        if self.location_noise <= 0.0:
            return
        span = self.vocabulary.locations
        for row, draw in zip(ids, draws, strict=True):
            rng = np.random.default_rng((self.seed, draw, 1))
            strength = max(rng.uniform(-0.5, 1.0), 0.0) * 2.0 * self.location_noise
            moved = row + np.round(rng.normal(size=row.shape) * strength).astype(np.int64)
            location = (row >= span.start) & (row < span.stop)
            np.copyto(row, moved.clip(span.start, span.stop - 1), where=location)
