"""Mixtures of samples as the rows trl wants, and the collator of the compact model."""

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

from shotcrop_cli.model import grammar
from shotcrop_train.augmentation import Augmentation, augment
from shotcrop_train.nano.network import vocabulary_of
from shotcrop_train.nano.processing import NanoProcessor
from shotcrop_train.samples import Sample, load_pixels


class Mixture:
    """An endless mixture cut to `length` draws: draw k is a function of the seed and of k alone.

    A run that is cut and resumed therefore sees exactly the rows that it would have seen.

    Args:
        groups: Samples by group name.
        shares: Probability of each group; groups without samples must have none.
        length: Number of rows.
        size: Side of the square photos in pixels.
        augmentation: How strongly rows are varied.
        seed: Source of chance.
        cache: Keep every photo's pixels in memory once read.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Sample]],
        shares: Mapping[str, float],
        length: int,
        size: int,
        augmentation: Augmentation,
        seed: int,
        cache: bool = True,
    ) -> None:
        names = [name for name in groups if shares.get(name, 0.0) > 0.0]
        if not names:
            raise ValueError("a mixture needs a group with a share above 0")
        for name in names:
            if not groups[name]:
                raise ValueError(f"group '{name}' has a share of {shares[name]} but no samples")
        self.groups = [groups[name] for name in names]
        weights = np.array([shares[name] for name in names])
        self.shares = weights / weights.sum()
        self.length, self.size, self.augmentation, self.seed = length, size, augmentation, seed
        self.pixels: dict[Path, Image.Image] | None = {} if cache else None

    def dataset(self) -> Dataset:
        """Return the mixture as the `datasets.Dataset` that trl asks for; its rows are made when they are read."""

        def rows(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
            drawn = [self.draw(index) for index in batch["draw"]]
            return {key: [one[key] for one in drawn] for key in drawn[0]}

        return Dataset.from_dict({"draw": list(range(self.length))}).with_transform(rows)

    def draw(self, index: int) -> dict[str, Any]:
        """Return a row: `image`, `prompt` and `completion` as trl wants them, `shot_weight` and the `draw`'s number."""
        rng = np.random.default_rng((self.seed, index))
        group = self.groups[rng.choice(len(self.groups), p=self.shares)]
        sample = group[rng.integers(len(group))]
        sample, image = augment(sample, self._pixels(sample.path), self.size, self.augmentation, rng)
        return row(sample, image, rng) | {"draw": index}

    def _pixels(self, path: Path) -> Image.Image:
        if self.pixels is None:
            return load_pixels(path)
        if path not in self.pixels:
            self.pixels[path] = load_pixels(path)
        return self.pixels[path]


def row(sample: Sample, image: Image.Image, rng: np.random.Generator) -> dict[str, Any]:
    """Write a sample as a conversational prompt and completion; one of a shot's captions is drawn."""
    shots = [
        (shot.box, shot.captions[rng.integers(len(shot.captions))] if shot.captions else "") for shot in sample.shots
    ]
    answer = grammar.write(sample.grounding, shots)
    return {
        "image": image,
        "prompt": [{"role": "user", "content": grammar.aspect_token(sample.aspect)}],
        "completion": [{"role": "assistant", "content": answer}],
        "shot_weight": sample.shot_weight,
    }


@dataclass
class NanoCollator:
    """Makes a batch of rows for the compact model: what trl's own collator makes, plus weights and noise.

    Unknown parts of an answer carry no label. The weights of a row's shots follow its `shot_weight`. Location tokens
    are read with noise while their targets stay exact: when it decodes, the model reads its own, imperfect, tokens.

    Args:
        processor: The compact model's processor.
        location_noise: Standard deviation of the noise in bins.
        seed: Source of chance.
    """

    processor: NanoProcessor
    location_noise: float = 0.0
    seed: int = 0

    @cached_property
    def vocabulary(self) -> grammar.Vocabulary:
        """Where the control tokens lie."""
        return vocabulary_of(self.processor.tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask`, `labels`, `token_weights` (B, S) and `pixel_values` (B, 3, H, W)."""
        pad = self.vocabulary.id(grammar.PAD)
        prompts = [grammar.prompt(self.processor.num_image_tokens, one["prompt"][0]["content"]) for one in rows]
        answers = [one["completion"][0]["content"] + grammar.END for one in rows]
        tokenizer = self.processor.tokenizer
        prompt_ids = tokenizer(prompts)["input_ids"]
        answer_ids = tokenizer(answers)["input_ids"]
        lengths = [len(a) + len(b) for a, b in zip(prompt_ids, answer_ids, strict=True)]
        ids = np.full((len(rows), max(lengths)), pad, dtype=np.int64)
        labels = np.full_like(ids, -100)
        weights = np.zeros(ids.shape, dtype=np.float32)
        for index, (before, after) in enumerate(zip(prompt_ids, answer_ids, strict=True)):
            start, stop = len(before), len(before) + len(after)
            ids[index, :start], ids[index, start:stop] = before, after
            labels[index, start:stop] = after
            weights[index, start:stop] = self._weights(np.array(after), float(rows[index]["shot_weight"]))
        labels[labels == self.vocabulary.id(grammar.UNKNOWN)] = -100
        self._disturb(ids, [int(one["draw"]) for one in rows])
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy((ids != pad).astype(np.int64)),
            "labels": torch.from_numpy(labels),
            "token_weights": torch.from_numpy(weights),
            "pixel_values": self.processor.image_processor([one["image"] for one in rows], return_tensors="pt")[
                "pixel_values"
            ],
        }

    def _weights(self, answer: np.ndarray, shot_weight: float) -> np.ndarray:
        """Weigh the location tokens after the first shot's marker by the shot weight, all else by 1."""
        span = self.vocabulary.locations
        in_shots = np.cumsum(answer == self.vocabulary.id(grammar.SHOT_TOKENS[0])) > 0
        location = (answer >= span.start) & (answer < span.stop)
        return np.where(in_shots & location, shot_weight, 1.0)

    def _disturb(self, ids: np.ndarray, draws: Sequence[int]) -> None:
        """Move location tokens by noise, a third of the rows spared, the rest each by a strength of its own.

        Like all chance, the noise depends on the seed and the number of the draw alone.
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
