"""One model on one or several devices, as one `Composer`.

Each batch is split among the devices. A device that runs out of memory gets smaller batches from then on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.cache import recall_batch_size, remember_batch_size
from shotcrop_cli.model.notices import NO_NOTICES, Notices
from shotcrop_cli.model.session import (
    CPU,
    Device,
    MemoryShortage,
    device_cache_folder,
    parse_devices,
    short_name,
    with_providers,
)
from shotcrop_cli.model.tensorrt import LARGEST_BATCH, TENSORRT, announce_building
from shotcrop_cli.shots import Answer, Composer


class MultiDeviceComposer:
    """Splits each batch among copies of a model, one copy per device.

    Args:
        composers: The model, loaded once per device.
        devices: The devices, in the same order.
        notices: Receives a line when a device gets smaller batches.
    """

    def __init__(self, composers: Sequence[Composer], devices: Sequence[Device], notices: Notices = NO_NOTICES) -> None:
        self.devices = tuple(devices)
        # The copies have the same identity, hash and provider.
        self.identity = composers[0].identity
        self.thumbnail_size = composers[0].thumbnail_size
        self._workers = tuple(_DeviceWorker(composer, notices) for composer in composers)
        self._threads = ThreadPoolExecutor(len(self._workers), thread_name_prefix="compose")

    def __str__(self) -> str:
        model = self.identity
        places = ", ".join(map(str, self.devices)) if len(self.devices) > 1 else ""
        return f"{model.id} ({model.sha256[:12]}) runs on {model.provider}" + (f" of {places}" if places else "")

    @property
    def on_cpu(self) -> bool:
        """Whether the model runs on the CPU."""
        return short_name(self.identity.provider) == short_name(CPU)

    @property
    def cache_folders(self) -> tuple[Path, ...]:
        """The folders that keep data between runs: one for each kind of GPU, none for a CPU."""
        if self.on_cpu:
            return ()
        model = self.identity
        return tuple(
            dict.fromkeys(device_cache_folder(model.sha256, model.provider, device.index) for device in self.devices)
        )

    def recall_batch_size(self) -> int | None:
        """Return the photos per device that an earlier run found best; the smallest number where the GPUs differ."""
        return min(filter(None, map(recall_batch_size, self.cache_folders)), default=None)

    def remember_batch_size(self, size: int) -> None:
        """Keep the best number of photos per device for later runs."""
        for folder in self.cache_folders:
            remember_batch_size(folder, size)

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch, an equal part on each device; see `shots.Composer`.

        Raises:
            DeviceError: A device fails for another reason than a lack of memory.
        """
        if len(self._workers) == 1:  # in the caller's thread
            return self._workers[0].compose(thumbnails, aspects)

        def compose_part(worker: _DeviceWorker, part: slice) -> list[Answer]:
            return worker.compose(thumbnails[part], aspects[part])

        size = max(1, math.ceil(len(thumbnails) / len(self._workers)))
        parts = [slice(start, start + size) for start in range(0, len(thumbnails), size)]
        return [answer for answers in self._threads.map(compose_part, self._workers, parts) for answer in answers]


class _DeviceWorker:
    """Runs a model on one device, in batches that fit into its memory."""

    def __init__(self, composer: Composer, notices: Notices) -> None:
        self._composer, self._notices = composer, notices
        self._limit = LARGEST_BATCH

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch, in smaller parts where memory runs out.

        If a single photo does not fit into memory, its answer is an `AnswerError`. That photo caused the shortage, so
        later batches are as large as before.
        """
        answers: list[Answer] = []
        limit_before = self._limit
        while (done := len(answers)) < len(thumbnails):
            size = min(self._limit, len(thumbnails) - done)
            part = slice(done, done + size)
            try:
                answers += self._composer.compose(thumbnails[part], aspects[part])
            except (MemoryShortage, MemoryError):
                if size > 1:
                    self._limit = size // 2
                    continue
                answers.append(
                    AnswerError("the model runs out of memory with this photo alone", hint="use --device cpu")
                )
                self._limit = limit_before
        if self._limit < limit_before:
            self._notices.info(f"the model ran out of memory: it gets at most {self._limit} photos at once from now on")
        return answers


def load_on_devices(
    bundle: Bundle, device: str, providers: Sequence[str], notices: Notices = NO_NOTICES
) -> MultiDeviceComposer:
    """Load a model on each of the given devices.

    Args:
        bundle: The model folder.
        device: One or several devices, in the form that `parse_devices` reads.
        providers: Execution providers in order of preference; empty to choose by device.
        notices: Receives what the user should know while the model loads, and later when memory runs out.

    Raises:
        ModelError: The model cannot be read.
        DeviceError: A device, or the first of the providers, is not available.
    """
    from shotcrop_cli.model.load import load_composer

    devices = parse_devices(device)
    composers = []
    for one in devices:
        if short_name(TENSORRT) in with_providers(one, providers).providers:
            announce_building(device_cache_folder(bundle.sha256, TENSORRT, one.index), notices)
        composers.append(load_composer(bundle, str(one), providers=providers, notices=notices))
    return MultiDeviceComposer(composers, devices, notices)
