"""Run a list of tasks on this machine: threads decode, the caller's thread composes, threads write.

    tasks -> [decode threads] -> batches -> composer -> [write threads] -> report

Tasks whose boxes are on record go from the decoders straight to the writers.

Pillow and the disk release the interpreter lock, so that decoding and writing go on while the model works.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait

from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.results import PhotoResult
from shotcrop_cli.pipeline.batch_size import Pace
from shotcrop_cli.pipeline.steps import finish, load
from shotcrop_cli.pipeline.task import LoadedPhoto, RunContext, Task, Verdict
from shotcrop_cli.shots import Composer

BYTES_PER_WORKER = 300_000_000
"""Decoded photos held at once, three of 24 megapixels: one being decoded, one with the model, one being written [O]."""
_EXPECTED_BYTES = 96_000_000.0
"""What a photo is taken to hold before the first one was decoded: 24 megapixels of RGB [O]."""


def run(
    tasks: Iterable[Task],
    composer: Composer,
    context: RunContext,
    *,
    workers: int,
    batch_size: int | Pace,
    report: Callable[[PhotoResult], None],
    byte_budget: int | None = None,
) -> None:
    """Do every task and report each result as it comes.

    When the run is ended early, by an error or an interrupt, photos being written are finished and reported,
    all others are left as they were.

    Args:
        tasks: What to do; taken one by one, so that they need not all be in memory.
        composer: The model; never touched when no task has to be composed.
        context: What is the same for every photo.
        workers: Threads that decode, and as many that write.
        batch_size: Photos per call of the composer, or how they are found out; fewer when they are so large that memory
            is short.
        report: Called in this thread once per photo; what it raises ends the run.
        byte_budget: Bytes of decoded photos to hold at once, None for `BYTES_PER_WORKER` each; a single larger one is
            still done.

    Raises:
        OutputError: The output is full, gone or read-only.
    """
    pace = Pace(batch_size) if isinstance(batch_size, int) else batch_size
    if byte_budget is None:
        byte_budget = workers * BYTES_PER_WORKER
    pipeline = _Pipeline(tasks, composer, context, workers, pace, report, byte_budget)
    try:
        pipeline.work()
    finally:
        pipeline.close()


class _Pipeline:
    def __init__(
        self,
        tasks: Iterable[Task],
        composer: Composer,
        context: RunContext,
        workers: int,
        pace: Pace,
        report: Callable[[PhotoResult], None],
        byte_budget: int,
    ) -> None:
        self._tasks = iter(tasks)
        self._waiting = next(self._tasks, None)
        self._composer, self._context, self._report = composer, context, report
        self._workers, self._pace, self._byte_budget = workers, pace, byte_budget
        self._decoders = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._writers = ThreadPoolExecutor(workers, thread_name_prefix="write")
        self._decoding: deque[Future[LoadedPhoto | PhotoResult]] = deque()
        self._writing: dict[Future[PhotoResult], int] = {}  # with the bytes each holds
        self._batch_bytes = 0
        self._expected_bytes = _EXPECTED_BYTES

    @property
    def _in_flight(self) -> int:
        """Photos that are decoded ahead of the batch, and as many that are written behind it."""
        return self._pace.size + self._workers

    def work(self) -> None:
        while self._waiting is not None or self._decoding:
            self._compose(self._next_batch())
            self._collect(at_most=self._in_flight)
        self._collect(at_most=0)

    def close(self) -> None:
        """Let the photos being written be finished, drop the rest."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=True, cancel_futures=True)
        for future in self._writing:
            try:
                self._report(future.result())
            except (CancelledError, OutputError, BrokenPipeError):
                continue  # the error that ended the run is on its way already

    def _next_batch(self) -> list[LoadedPhoto]:
        """Take decoded photos in order until the batch is full."""
        # What the batch leaves of the budget is enough for a photo in each decoder, and one that is written.
        fits = int(self._byte_budget / self._expected_bytes) - self._workers - 1
        size = max(1, min(self._pace.size, fits))
        batch: list[LoadedPhoto] = []
        while len(batch) < size:
            self._admit()
            if self._decoding:
                self._take(self._decoding.popleft().result(), batch)
            elif self._waiting is not None and self._writing:
                self._collect(at_most=len(self._writing) - 1)  # which makes room
            else:
                break
        return batch

    def _take(self, loaded: LoadedPhoto | PhotoResult, batch: list[LoadedPhoto]) -> None:
        if isinstance(loaded, PhotoResult):
            self._report(loaded)
            return
        # Up at once, and down bit by bit: a few small photos between large ones must not make room for many.
        self._expected_bytes = max(loaded.bytes, self._expected_bytes + (loaded.bytes - self._expected_bytes) / 8)
        if loaded.thumbnail is None:
            self._write(loaded, None)
            return
        batch.append(loaded)
        self._batch_bytes += loaded.bytes

    def _admit(self) -> None:
        """Start decoding more photos while there is room for them."""
        self._collect(at_most=len(self._writing))
        while self._waiting is not None and len(self._decoding) < self._in_flight and self._has_room():
            task, self._waiting = self._waiting, next(self._tasks, None)
            size = self._composer.thumbnail_size if task.composes else None
            self._decoding.append(self._decoders.submit(load, task, size))

    def _has_room(self) -> bool:
        held = self._batch_bytes + sum(self._writing.values()) + sum(map(self._bytes, self._decoding))
        if held == 0:
            return True  # a photo larger than the budget must be done, too
        return len(self._writing) <= self._in_flight and held + self._expected_bytes <= self._byte_budget

    def _bytes(self, future: Future[LoadedPhoto | PhotoResult]) -> float:
        if not future.done():
            return self._expected_bytes
        loaded = future.result()
        return 0 if isinstance(loaded, PhotoResult) else loaded.bytes

    def _compose(self, batch: list[LoadedPhoto]) -> None:
        if not batch:
            return
        start = time.perf_counter()
        thumbnails = [photo.thumbnail for photo in batch if photo.thumbnail is not None]
        answers = self._composer.compose(thumbnails, [photo.aspect for photo in batch])
        seconds = time.perf_counter() - start
        self._pace.observe(len(batch), seconds)
        share_ms = seconds * 1000 / len(batch)
        for photo, answer in zip(batch, answers, strict=True):
            self._write(photo, Verdict(answer, self._composer.identity, share_ms))
        self._batch_bytes = 0

    def _write(self, photo: LoadedPhoto, verdict: Verdict | None) -> None:
        future = self._writers.submit(finish, photo, verdict, self._context)
        self._writing[future] = photo.bytes

    def _collect(self, at_most: int) -> None:
        """Report finished photos, waiting until at most so many are still being written."""
        while self._writing:
            patience = None if len(self._writing) > at_most else 0
            done, _ = wait(self._writing, timeout=patience, return_when=FIRST_COMPLETED)
            for future in done:
                # Forgotten before its result is looked at, since that may raise.
                del self._writing[future]
                self._report(future.result())
            if not done:
                return
