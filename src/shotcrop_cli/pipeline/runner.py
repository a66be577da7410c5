"""Carry out tasks on this machine: threads decode, the caller's thread asks the model, threads write.

    tasks -> [decode threads] -> batches -> model -> [write threads] -> report

Photos whose boxes are in a sidecar go from the decoders straight to the writers.

Pillow and the disk release Python's global lock, so decoding and writing continue while the model works.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from shotcrop_cli.library.plan import Task
from shotcrop_cli.library.results import PhotoResult
from shotcrop_cli.pipeline.batch_size import BatchSize
from shotcrop_cli.pipeline.loaded_photo import LoadedPhoto, RunContext
from shotcrop_cli.pipeline.steps import LOCAL_STEPS, Steps
from shotcrop_cli.shots import Composer

BYTES_PER_WORKER = 300_000_000
"""Memory for decoded photos per worker: three of 24 megapixels, one being decoded, one with the model, one being
written."""
_EXPECTED_BYTES = 96_000_000.0
"""Assumed size of a decoded photo before the first one is decoded: 24 megapixels in RGB, as Pillow stores them."""


def run(
    tasks: Iterable[Task],
    composer: Composer,
    context: RunContext,
    *,
    workers: int,
    batch_size: int | BatchSize,
    report: Callable[[PhotoResult], None],
    byte_budget: int | None = None,
    steps: Steps = LOCAL_STEPS,
) -> None:
    """Carry out every task and report each result as it comes.

    If an error or an interrupt ends the run early, photos that are being written are finished and reported. All others
    are left as they were.

    Args:
        tasks: What to do. They are taken one by one, so they need not all be in memory.
        composer: The model; not used if no task needs it.
        context: What is the same for all photos.
        workers: Threads that decode, and as many that write.
        batch_size: Photos per call of the model, given or found out. Batches are smaller if photos are so large that
            memory is short.
        report: Called in this thread once per photo. An exception it raises ends the run.
        byte_budget: Bytes of decoded photos to hold at once; None for `BYTES_PER_WORKER` each. A single photo that is
            larger is processed all the same.
        steps: What is done to a photo before and after the model sees it.

    Raises:
        OutputError: The output is full, gone or read-only.
    """
    size = BatchSize(batch_size) if isinstance(batch_size, int) else batch_size
    if byte_budget is None:
        byte_budget = workers * BYTES_PER_WORKER
    pipeline = _Pipeline(tasks, composer, context, workers, size, report, byte_budget, steps)
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
        batch_size: BatchSize,
        report: Callable[[PhotoResult], None],
        byte_budget: int,
        steps: Steps,
    ) -> None:
        self._steps = steps
        self._tasks = iter(tasks)
        self._waiting = next(self._tasks, None)
        self._composer, self._context, self._report = composer, context, report
        self._workers, self._batch_size, self._byte_budget = workers, batch_size, byte_budget
        self._decoders = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._writers = ThreadPoolExecutor(workers, thread_name_prefix="write")
        self._decoding: deque[Future[LoadedPhoto | PhotoResult]] = deque()
        self._writing: dict[Future[PhotoResult], int] = {}  # with the bytes each holds
        self._batch_bytes = 0
        self._expected_bytes = _EXPECTED_BYTES

    @property
    def _in_flight(self) -> int:
        """Photos that may be decoded ahead of the batch, and as many that may be written after it."""
        return self._batch_size.size + self._workers

    def work(self) -> None:
        while self._waiting is not None or self._decoding:
            self._compose(self._next_batch())
            self._collect(at_most=self._in_flight)
        self._collect(at_most=0)

    def close(self) -> None:
        """Finish the photos that are being written and drop the rest."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=True, cancel_futures=True)
        for future in self._writing:
            try:
                self._report(future.result())
            except Exception:
                continue  # the error that ended the run is being raised already, and must not be replaced

    def _next_batch(self) -> list[LoadedPhoto]:
        """Take decoded photos in order until the batch is full."""
        # Besides the batch, the budget has to hold one photo in each decoder and one that is being written.
        fits = int(self._byte_budget / self._expected_bytes) - self._workers - 1
        size = max(1, min(self._batch_size.size, fits))
        batch: list[LoadedPhoto] = []
        while len(batch) < size:
            self._admit()
            if self._decoding:
                self._take(self._decoding.popleft().result(), batch)
            elif self._waiting is not None and self._writing:
                self._collect(at_most=len(self._writing) - 1)  # to make room
            else:
                break
        return batch

    def _take(self, loaded: LoadedPhoto | PhotoResult, batch: list[LoadedPhoto]) -> None:
        if isinstance(loaded, PhotoResult):
            self._report(loaded)
            return
        # Up at once and down slowly, because a few small photos between large ones must not admit many.
        self._expected_bytes = max(loaded.bytes, self._expected_bytes + (loaded.bytes - self._expected_bytes) / 8)
        if loaded.thumbnail is None:
            self._write(loaded)
            return
        batch.append(loaded)
        self._batch_bytes += loaded.bytes

    def _admit(self) -> None:
        """Start decoding more photos while there is room for them."""
        self._collect(at_most=len(self._writing))
        while self._waiting is not None and len(self._decoding) < self._in_flight and self._has_room():
            task, self._waiting = self._waiting, next(self._tasks, None)
            size = self._composer.thumbnail_size if task.needs_model else None
            include_crops = self._context.include_crops
            max_pixels = self._context.max_pixels
            self._decoding.append(
                self._decoders.submit(self._steps.load, task, size, include_crops=include_crops, max_pixels=max_pixels)
            )

    def _has_room(self) -> bool:
        held = self._batch_bytes + sum(self._writing.values()) + sum(map(self._bytes, self._decoding))
        if held == 0:
            return True  # a photo that is larger than the budget has to be processed, too
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
        self._batch_size.observe(len(batch), seconds)
        share_ms = seconds * 1000 / len(batch)
        for photo, answer in zip(batch, answers, strict=True):
            self._write(replace(photo, answer=answer, model=self._composer.identity, compose_ms=share_ms))
        self._batch_bytes = 0

    def _write(self, photo: LoadedPhoto) -> None:
        future = self._writers.submit(self._steps.finish, photo, self._context)
        self._writing[future] = photo.bytes

    def _collect(self, at_most: int) -> None:
        """Report finished photos, and wait until at most this many are still being written."""
        while self._writing:
            timeout = None if len(self._writing) > at_most else 0
            done, _ = wait(self._writing, timeout=timeout, return_when=FIRST_COMPLETED)
            for future in done:
                # Removed first, because its result may raise.
                del self._writing[future]
                self._report(future.result())
            if not done:
                return
