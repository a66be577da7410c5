"""Mixtures of samples as rows for trl, and a collator for each family of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from transformers import BatchFeature, ProcessorMixin
from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from shotcrop_cli.model.nano import grammar
from shotcrop_train.data.augmentation import Augmentation, augment
from shotcrop_train.data.contract import Contract
from shotcrop_train.data.samples import Sample, load_photo, load_pixels
from shotcrop_train.nano.processing import NanoProcessor
from shotcrop_train.nano.torch_network import vocabulary_of

IGNORED = -100
"""The label without loss: torch's own `ignore_index`."""


class Mixture:
    """A random mixture of `length` draws. Draw k depends on the seed and on k alone.

    So a run that is interrupted and continued sees exactly the same rows as one without interruption.

    Args:
        groups: Samples by group name.
        shares: Probability of each group; groups without samples must have none.
        length: Number of rows.
        size: Side in pixels of the square that photos are squashed to; None keeps their shape.
        augmentation: How strongly rows are varied.
        seed: Random seed.
        contract: How rows are written. Samples without the targets that it needs are left out.
        cache: Keep every photo's pixels in memory once they are read.
        max_side: Longer side in pixels of a photo that keeps its shape; None for no limit.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Sample]],
        shares: Mapping[str, float],
        length: int,
        size: int | None,
        augmentation: Augmentation,
        seed: int,
        contract: Contract,
        cache: bool = True,
        max_side: int | None = None,
    ) -> None:
        names = [name for name in groups if shares.get(name, 0.0) > 0.0]
        if not names:
            raise ValueError("a mixture needs a group with a share above 0")
        self.groups = [[sample for sample in groups[name] if contract.has_targets(sample)] for name in names]
        for name, group in zip(names, self.groups, strict=True):
            if not group:
                raise ValueError(f"group '{name}' has a share of {shares[name]} but no samples to draw")
        weights = np.array([shares[name] for name in names])
        self.shares = weights / weights.sum()
        self.length, self.size, self.augmentation, self.seed = length, size, augmentation, seed
        self.contract, self.max_side = contract, max_side
        self.pixels: dict[Path, Image.Image] | None = {} if cache else None

    def dataset(self) -> Dataset:
        """Return the mixture as the `datasets.Dataset` that trl needs. Its rows are made when they are read."""

        def rows(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
            drawn = [self.draw(index) for index in batch["draw"]]
            return {key: [one[key] for one in drawn] for key in drawn[0]}

        return Dataset.from_dict({"draw": list(range(self.length))}).with_transform(rows)

    def draw(self, index: int) -> dict[str, Any]:
        """Return a row.

        It holds `image`, `prompt` and `completion` in trl's form, the shots' `spans`, the `captions` of the widest
        shot, and the `draw` itself.
        """
        rng = np.random.default_rng((self.seed, index))
        group = self.groups[rng.choice(len(self.groups), p=self.shares)]
        sample = group[rng.integers(len(group))]
        photo = self._pixels(sample.path)
        sample, image = augment(sample, photo, self.size, self.augmentation, rng, self.contract.has_targets)
        return row(sample, image, self.contract, rng) | {"draw": index}

    def _pixels(self, path: Path) -> Image.Image:
        if self.pixels is not None and path in self.pixels:
            return self.pixels[path]
        image = load_pixels(path) if self.size is not None else load_photo(path, self.max_side)
        if self.pixels is not None:
            self.pixels[path] = image
        return image


def row(sample: Sample, image: Image.Image, contract: Contract, rng: np.random.Generator) -> dict[str, Any]:
    """Write a sample as a conversation of prompt and completion, with a random one of each shot's captions."""
    captions = [shot.captions[rng.integers(len(shot.captions))] if shot.captions else "" for shot in sample.shots]
    target = contract.write(sample, captions, image.size)
    return {
        "image": image,
        "prompt": [{"role": "user", "content": contract.prompt(sample.aspect)}],
        "completion": [{"role": "assistant", "content": target.text}],
        "spans": target.spans,
        "captions": sample.shots[0].captions if sample.shots else (),
    }


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
