"""Mixtures of samples as rows for trl."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from datasets import Dataset
from PIL import Image

from shotcrop_train.data.augmentation import Augmentation, augment
from shotcrop_train.data.contract import TextContract
from shotcrop_train.data.samples import Sample, load_photo
from shotcrop_train.data.skipped_photos import ATTEMPTS, UNREADABLE, SkippedPhotos, none_left


class Mixture:
    """A random mixture of `length` draws. Draw k depends on the seed and on k alone.

    So a run that is interrupted and continued sees exactly the same rows as one without interruption.

    Args:
        groups: Samples by group name: sequences, or in `StreamedMixture` groups that are streamed.
        shares: Probability of each group; groups without samples must have none.
        length: Number of rows.
        augmentation: How strongly rows are varied.
        seed: Random seed.
        contract: How rows are written. Samples without the targets that it needs are left out.
        max_side: Longer side of a photo in pixels; None for no limit.
        skipped: Gets the photos that cannot be opened. Another row is drawn in the place of theirs.
    """

    def __init__(
        self,
        groups: Mapping[str, Any],
        shares: Mapping[str, float],
        length: int,
        augmentation: Augmentation,
        seed: int,
        contract: TextContract,
        max_side: int | None = None,
        skipped: SkippedPhotos | None = None,
    ) -> None:
        names = [name for name in groups if shares.get(name, 0.0) > 0.0]
        if not names:
            raise ValueError("a mixture needs a group with a share above 0")
        self.groups = self._prepared({name: groups[name] for name in names}, contract)
        weights = np.array([shares[name] for name in names])
        self.shares = weights / weights.sum()
        self.length, self.augmentation, self.seed = length, augmentation, seed
        self.contract, self.max_side = contract, max_side
        self.skipped = SkippedPhotos() if skipped is None else skipped

    def _prepared(self, groups: Mapping[str, Any], contract: TextContract) -> list[Any]:
        """Return the groups to draw from."""
        usable = {name: [one for one in samples if contract.has_targets(one)] for name, samples in groups.items()}
        for name, samples in usable.items():
            if not samples:
                raise ValueError(f"group '{name}' has a share above 0 but no samples to draw")
        return list(usable.values())

    def dataset(self) -> Dataset:
        """Return the mixture as the `datasets.Dataset` that trl needs. Its rows are made when they are read."""

        def rows(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
            drawn = [self.draw(index) for index in batch["draw"]]
            return {key: [one[key] for one in drawn] for key in drawn[0]}

        return Dataset.from_dict({"draw": list(range(self.length))}).with_transform(rows)

    def draw(self, index: int) -> dict[str, Any]:
        """Return a row.

        It holds `image`, `prompt` and `completion` in trl's form, the shots' `spans`, and the `draw` itself.

        Raises:
            ShotcropError: No photo that was drawn can be opened.
        """
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt) if attempt else (self.seed, index))
            sample, opened = self._pick(index, attempt, rng)
            try:
                photo = load_photo(opened(), self.max_side)
            except UNREADABLE as error:
                self.skipped.add(sample.path, error)
                continue
            sample, image = augment(sample, photo, self.augmentation, rng, self.contract.has_targets)
            return row(sample, image, self.contract, rng) | {"draw": index}
        raise none_left()

    def _pick(self, index: int, attempt: int, rng: np.random.Generator) -> tuple[Sample, Callable[[], Path | BinaryIO]]:
        """Return the sample of a draw, or at a later attempt another one, and what its photo is loaded from."""
        group = self.groups[rng.choice(len(self.groups), p=self.shares)]
        sample = group[rng.integers(len(group))]
        return sample, lambda: sample.path


def row(sample: Sample, image: Image.Image, contract: TextContract, rng: np.random.Generator) -> dict[str, Any]:
    """Write a sample as a conversation of prompt and completion, with a random one of each shot's captions."""
    captions = [shot.captions[rng.integers(len(shot.captions))] if shot.captions else "" for shot in sample.shots]
    target = contract.write(sample, captions, image.size)
    return {
        "image": image,
        "prompt": [{"role": "user", "content": contract.prompt(sample.aspect, contract.parts(sample))}],
        "completion": [{"role": "assistant", "content": target.text}],
        "spans": target.spans,
    }
