"""Batches of rows for vision-language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import BatchFeature, ProcessorMixin
from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

IGNORED = -100
"""The label without loss: torch's own `ignore_index`."""


@dataclass
class TextCollator:
    """Makes a batch of rows for a vision-language model: what trl's own collator makes, plus a weight for each token.

    Tokens of a shot of weight 0 have no label. A token that belongs to two entries gets the smaller weight.

    Args:
        processor: The model's processor, with a fast tokenizer.
        max_length: Longest sequence in tokens; None for no limit. Truncation may cut an answer, but must not cut a
            photo's tokens.
    """

    processor: ProcessorMixin
    max_length: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> BatchFeature:
        """Return trl's batch with `labels` masked and `token_weights` (B, S), 0 where there is no label.

        Raises:
            ValueError: The chat template changes an answer, or the labels are not the tokens of the answer. Then the
                weights cannot be assigned.
        """
        plain = [{key: row[key] for key in ("image", "prompt", "completion")} for row in rows]
        collate = DataCollatorForVisionLanguageModeling(self.processor, self.max_length, completion_only_loss=True)
        batch = collate(plain)
        labels = batch["labels"]
        weights = torch.zeros(labels.shape, dtype=torch.float32)
        for row, label, weight in zip(rows, labels, weights, strict=True):
            answer = (label != IGNORED).nonzero()[:, 0]
            ids, scale = self._weigh(row)
            if label[answer].tolist() != ids[: len(answer)] or (self.max_length is None and len(answer) < len(ids)):
                raise ValueError(f"the labels are not the answer's tokens: {row['completion'][0]['content'][:60]!r}")
            weight[answer] = torch.tensor(scale[: len(answer)])
        labels[weights == 0.0] = IGNORED
        batch["token_weights"] = weights
        return batch

    def _weigh(self, row: Mapping[str, Any]) -> tuple[list[int], list[float]]:
        """Tokenize a row's completion as the chat template writes it, and return the ids and a weight for each."""
        written = apply_chat_template(
            {
                "prompt": prepare_multimodal_messages(row["prompt"], images=[row["image"]]),
                "completion": prepare_multimodal_messages(row["completion"]),
            },
            self.processor,
        )
        answer, before = row["completion"][0]["content"], written["prompt"]
        # A template may start the answer itself, with `<think>`. Then the answer begins in the prompt.
        start = (before + written["completion"]).rfind(answer) - len(before)
        if start < -len(before):
            raise ValueError(f"the chat template changes the answer {answer[:60]!r}")
        tokens = self.processor.tokenizer(written["completion"], add_special_tokens=False, return_offsets_mapping=True)
        weights = []
        for first, last in tokens["offset_mapping"]:
            touched = (weight for low, high, weight in row["spans"] if first < high + start and low + start < last)
            weights.append(min(touched, default=1.0))
        return tokens["input_ids"], weights
