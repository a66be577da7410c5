"""Stream samples from datasets that are too large for the disk or the memory.

The parts of the datasets, such as shards, are read one after the other, in another order in each pass. The samples of
a few hundred rows are in memory at a time, and are shuffled. Every process reads parts of its own.

A run that continues goes to where it was: it reads the rows of at most every part once, without photos. So it sees
exactly the rows of a run without interruption.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.shards import Shard
from shotcrop_train.data.contract import TextContract
from shotcrop_train.data.mixture import Mixture
from shotcrop_train.data.samples import Sample, held_back
from shotcrop_train.data.skipped_photos import SkippedPhotos

BUFFER = 256
"""Rows that are shuffled together, unless the recipe says otherwise."""
VALIDATED = 256
"""Held-back photos of each group that a streamed run is measured on: the first ones."""

Photo = Callable[[], BinaryIO]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class StreamedGroup:
    """Samples that are read when they are needed.

    Args:
        parts: What they are read from.
        samples: Returns the samples of a row, mostly one or none.
    """

    parts: Sequence[Shard]
    samples: Callable[[Record], Sequence[Sample]]


@dataclass
class Stream:
    """An endless, shuffled walk of one process through a group. The sample at a place depends on the arguments alone.

    If there are at least as many parts as processes, each process reads parts of its own, otherwise rows of its own.

    Args:
        group: The group.
        wanted: Whether a sample can be used.
        seed: Random seed.
        process: Number of the process, from 0.
        processes: How many there are.
        buffer: Rows that are shuffled together.
    """

    group: StreamedGroup
    wanted: Callable[[Sample], bool]
    seed: int = 0
    process: int = 0
    processes: int = 1
    buffer: int = BUFFER
    _counts: dict[int, int] = field(default_factory=dict, init=False)
    _samples: Iterator[tuple[Sample, Photo]] | None = field(default=None, init=False)
    _block: list[tuple[Sample, Photo]] = field(default_factory=list, init=False)
    _number: int = field(default=-1, init=False)

    def at(self, place: int) -> tuple[Sample, Photo]:
        """Return the sample at a place, and what opens its photo. Places in ascending order are fast.

        Raises:
            ShotcropError: A part cannot be read, or there are no samples.
        """
        number, inside = divmod(place, self.buffer)
        if number != self._number:
            if self._samples is None or number != self._number + 1:
                self._samples = self._walk(number * self.buffer)
            self._block = []  # Do not keep two blocks in memory.
            block = list(islice(self._samples, self.buffer))
            order = np.random.default_rng((self.seed, self.process, number)).permutation(len(block))
            self._block, self._number = [block[index] for index in order], number
        return self._block[inside]

    def other(self, place: int, rng: np.random.Generator) -> tuple[Sample, Photo]:
        """Return a random sample of those that are shuffled with the one at a place."""
        self.at(place)
        return self._block[rng.integers(len(self._block))]

    def _walk(self, skipped: int) -> Iterator[tuple[Sample, Photo]]:
        """Yield samples without end, but not the first ones."""
        for turn in count():
            found = 0
            for part in self._own_parts(turn):
                first = 1
                if skipped:
                    if part not in self._counts:
                        self._counts[part] = sum(1 for _ in self._read(part, photos=False))
                    if self._counts[part] <= skipped:
                        skipped, found = skipped - self._counts[part], found + self._counts[part]
                        continue
                    numbers = (number for number, _, _ in self._read(part, photos=False))
                    first, skipped = next(islice(numbers, skipped, None)), 0
                for _, sample, photo in self._read(part, first):
                    found += 1
                    yield sample, photo
            if not found:
                raise ShotcropError(
                    f"{self.group.parts[0].name} and {len(self.group.parts) - 1} more hold nothing to learn from "
                    f"for process {self.process + 1} of {self.processes}",
                    hint="name other datasets, or set the share of their group to 0",
                )

    def _own_parts(self, turn: int) -> list[int]:
        order = np.random.default_rng((self.seed, turn)).permutation(len(self.group.parts))
        return [int(part) for part in (order[self.process :: self.processes] if self._splits_parts() else order)]

    def _splits_parts(self) -> bool:
        return len(self.group.parts) >= self.processes

    def _read(self, part: int, first: int = 1, *, photos: bool = True) -> Iterator[tuple[int, Sample, Photo]]:
        """Yield the usable samples of a part with the numbers of their rows; `first` is the number of a row."""
        for row in self.group.parts[part].rows(first, photos=photos):
            if not self._splits_parts() and row.number % self.processes != self.process:
                continue
            for sample in self.group.samples(row.record):
                if self.wanted(sample):
                    yield row.number, sample, lambda read=row.read: BytesIO(read())  # type: ignore[misc]


class StreamedMixture(Mixture):
    """A mixture of streams. As in `Mixture`, draw k depends on k alone; draws in ascending order are fast.

    Processes take the draws batch by batch in turn, as accelerate's loader deals them, and each has its own streams.

    Args:
        batch_size: Draws that a process takes at a time.
        processes: Number of processes.
        buffer: Rows that are shuffled together.
        arguments: Those of `Mixture`; its groups are streamed.
    """

    def __init__(self, *, batch_size: int, processes: int, buffer: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.batch_size, self.processes, self.buffer = batch_size, processes, buffer
        self.streams: dict[tuple[int, int], Stream] = {}
        self.plans: dict[int, tuple[Integers, Integers]] = {}

    def _prepared(self, groups: Mapping[str, StreamedGroup], contract: TextContract) -> list[StreamedGroup]:
        return list(groups.values())

    def _pick(self, index: int, attempt: int, rng: np.random.Generator) -> tuple[Sample, Photo]:
        batch, inside = divmod(index, self.batch_size)
        turn, process = divmod(batch, self.processes)
        groups, places = self._plan(process)
        own = turn * self.batch_size + inside
        stream = self._stream(process, int(groups[own]))
        place = int(places[own])
        return stream.other(place, rng) if attempt else stream.at(place)

    def _plan(self, process: int) -> tuple[Integers, Integers]:
        """Return the group of each draw of a process, and the place of the draw in the stream of this group."""
        if process not in self.plans:
            draws = -(-self.length // self.processes) + self.batch_size
            rng = np.random.default_rng((self.seed, process))
            groups = rng.choice(len(self.groups), size=draws, p=self.shares)
            places = np.zeros(draws, np.int64)
            for group in range(len(self.groups)):
                places[groups == group] = np.arange(np.count_nonzero(groups == group))
            self.plans[process] = groups, places
        return self.plans[process]

    def _stream(self, process: int, group: int) -> Stream:
        if (process, group) not in self.streams:
            self.streams[process, group] = Stream(
                self.groups[group], self.contract.has_targets, self.seed, process, self.processes, self.buffer
            )
        return self.streams[process, group]


def hold_back(
    parts: Sequence[Shard], wanted: Callable[[Record], bool], folder: Path, skipped: SkippedPhotos
) -> list[Record]:
    """Return the first wanted records that are held back. Copy their photos into a folder, unless they are files.

    Args:
        parts: What the records are read from, until there are enough: about ten times as many rows.
        wanted: Which records can be validated.
        folder: Where the photos are copied.
        skipped: Gets the photos that cannot be read.

    Raises:
        ShotcropError: A part cannot be read.
    """
    found: list[Record] = []
    for number, part in enumerate(parts):
        for row in part.rows():
            record = row.record
            if not (held_back(record) and wanted(record)):
                continue
            if not record.path.is_file():
                copy = folder / f"{number}-{row.number}-{record.path.name}"
                try:
                    content = row.read()
                except OSError as error:
                    skipped.add(record.path, error)
                    continue
                _write(copy, content)
                record = replace(record, path=copy)
            found.append(record)
            if len(found) == VALIDATED:
                return found
    return found


def _write(path: Path, content: bytes) -> None:
    """Write a file that other processes of the run write at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(content)
    new.replace(path)
