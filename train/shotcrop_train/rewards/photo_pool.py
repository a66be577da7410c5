"""The photos of stage 3 and what is known of each: experts' photos, hard cases of stage 2, photos without people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import Record, read_row
from shotcrop_train.data.contract import Parts
from shotcrop_train.data.grounding import guess_aspect
from shotcrop_train.data.samples import expert_samples, load_photo
from shotcrop_train.data.skipped_photos import ATTEMPTS, UNREADABLE, SkippedPhotos, none_left
from shotcrop_train.rewards.terms import Evidence
from shotcrop_train.scorers import Photo
from shotcrop_train.text_base import TextBase

RECENT = 256
"""Photos that stay in memory, since every row is read once for each answer of its group. Our own choice."""


@dataclass(frozen=True)
class GrpoData:
    """The datasets of stage 3.

    Args:
        experts: Datasets with expert triples; the held-back tenth is never drawn.
        hard_share: Share of hard cases among the draws, if a run of stage 2 provides any.
        empty: Datasets of photos without people; the held-back tenth is never drawn.
        empty_share: Share of these photos among the draws.
    """

    experts: tuple[str, ...] = ()
    hard_share: float = 0.1
    empty: tuple[str, ...] = ()
    empty_share: float = 0.06

    def __post_init__(self) -> None:
        if not self.experts:
            raise ValueError("name datasets under `experts`")
        for name in ("hard_share", "empty_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be within 0..1, not {getattr(self, name)}")
        if self.hard_share + self.empty_share >= 1.0:
            raise ValueError("hard_share and empty_share leave nothing for the experts' photos")


class PhotoPool:
    """The photos that stage 3 draws, and what is known of each: experts' photos, hard cases, photos without people.

    Args:
        experts: Records with an expert's triple.
        hard: Records of hard cases. Their triples come from models and are ignored.
        base: The base whose contract and limit of pixels the rows follow.
        hard_share: Share of the hard cases among the draws, if there are any.
        seed: Random seed.
        skipped: Gets the photos that cannot be opened. Another photo is drawn in their place.
        empty: Records of photos without people.
        empty_share: Share of these photos among the draws, if there are any.
    """

    def __init__(
        self,
        experts: Sequence[Record],
        hard: Sequence[Record],
        base: TextBase,
        hard_share: float,
        seed: int,
        skipped: SkippedPhotos | None = None,
        empty: Sequence[Record] = (),
        empty_share: float = 0.0,
    ) -> None:
        if not experts:
            raise ShotcropError(
                "the datasets hold no expert triple to learn from", hint="name other datasets under `experts`"
            )
        self.records = [*experts, *hard, *empty]
        self.experts, self.hard = len(experts), len(hard)
        self.hard_share, self.empty_share = hard_share if hard else 0.0, empty_share if empty else 0.0
        self.contract, self.seed = base.contract, seed
        self.skipped = SkippedPhotos() if skipped is None else skipped
        self.known: dict[int, Parts] = {}
        max_side = base.max_side

        @lru_cache(maxsize=RECENT)
        def pixels(path: Path) -> Image.Image:
            return load_photo(path, max_side)

        self.pixels = pixels

    def evidence(self, case: int) -> Evidence:
        """Return what is known of a photo."""
        record = self.records[case]
        truth = record.composition if case < self.experts else None
        aspect = None if record.squashed else record.aspect
        parts = self.parts(case)
        think = self.contract.think and parts.think
        empty = case >= self.experts + self.hard
        return Evidence(truth, record.detections, aspect, think, parts.captions, record.accepted, empty)

    def parts(self, case: int) -> Parts:
        """Return what a photo's answer should hold beside boxes: of an expert's photo, what the expert gave."""
        if case not in self.known:
            expert = expert_samples(self.records[case : case + 1]) if case < self.experts else []
            self.known[case] = self.contract.parts(expert[0]) if expert else Parts()
        return self.known[case]

    def photo(self, case: int) -> Photo:
        """Return a photo in the form that scorers take."""
        record = self.records[case]
        aspect = guess_aspect(record.detections.faces) if record.squashed else record.aspect
        return Photo(self.pixels(record.path), aspect, record.detections)

    def draw(self, index: int) -> dict[str, Any]:
        """Return a row in trl's form: `image`, `prompt`, and the number of the `case`.

        Raises:
            ShotcropError: No photo that was drawn can be opened.
        """
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt) if attempt else (self.seed, index))
            case = self._case(rng)
            record = self.records[case]
            try:
                image = self.pixels(record.path)
            except UNREADABLE as error:
                self.skipped.add(record.path, error)
                continue
            prompt = self.contract.prompt(None if record.squashed else record.aspect, self.parts(case))
            return {"image": image, "prompt": [{"role": "user", "content": prompt}], "case": case}
        raise none_left()

    def _case(self, rng: np.random.Generator) -> int:
        kind, first = rng.random(), self.experts + self.hard
        if kind < self.hard_share:
            return int(rng.integers(self.experts, first))
        if kind < self.hard_share + self.empty_share:
            return int(rng.integers(first, len(self.records)))
        return int(rng.integers(self.experts))

    def dataset(self, length: int) -> Dataset:
        """Return `length` draws as the `datasets.Dataset` that trl needs. Rows are made when they are read."""

        def rows(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
            drawn = [self.draw(index) for index in batch["draw"]]
            return {key: [one[key] for one in drawn] for key in drawn[0]}

        return Dataset.from_dict({"draw": list(range(length))}).with_transform(rows)


def read_hard_cases(path: Path) -> list[Record]:
    """Read the `hard.jsonl` of a pseudo-label run; its photos are next to it.

    Raises:
        ShotcropError: It cannot be read, or a row is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ShotcropError(
            f"{path} cannot be read: {error}", hint="name the hard.jsonl of a `train pseudo-label` run"
        ) from None
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(read_row(path.parent, line))
        except (ValueError, OverflowError, RecursionError) as error:
            raise ShotcropError(f"{path}, line {number}: {error}", hint="fix or delete that line") from None
    return records
