"""One model on one device or several, as one `Composer`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.cache import recall_batch_size, remember_batch_size
from shotcrop_cli.model.halving import Halving
from shotcrop_cli.model.session import CPU, Device, kept_in, parse_devices, short_name, with_providers
from shotcrop_cli.model.tensorrt import TENSORRT, announce_building
from shotcrop_cli.shots import Answer, Composer, ModelIdentity


class Fleet:
    """Shares each batch out among sessions of a model, one per device.

    Args:
        composers: The model, loaded once per device.
        devices: The devices, in the same order.
    """

    def __init__(self, composers: Sequence[Composer], devices: Sequence[Device]) -> None:
        self.devices = tuple(devices)
        self._composers = tuple(composers)
        # A session stays in one thread at a time, and with a single one that is the caller's.
        self._threads = ThreadPoolExecutor(len(self._composers), thread_name_prefix="compose")

    def __str__(self) -> str:
        one = self.identity
        places = ", ".join(map(str, self.devices)) if len(self.devices) > 1 else ""
        return f"{one.id} ({one.sha256[:12]}) runs on {one.provider}" + (f" of {places}" if places else "")

    @property
    def identity(self) -> ModelIdentity:
        """See `shots.Composer`; the sessions differ in nothing that it tells."""
        return self._composers[0].identity

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """See `shots.Composer`."""
        return self._composers[0].thumbnail_size

    @property
    def on_cpu(self) -> bool:
        """Whether the model runs on the CPU."""
        return short_name(self.identity.provider) == short_name(CPU)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where things are kept between runs; equal GPUs share a folder, and a CPU has nothing to keep."""
        if self.on_cpu:
            return ()
        one = self.identity
        return tuple(dict.fromkeys(kept_in(one.sha256, one.provider, device.index) for device in self.devices))

    def recall_batch_size(self) -> int | None:
        """Return how many photos per device an earlier run found best, the fewest where the GPUs differ."""
        return min(filter(None, map(recall_batch_size, self.folders)), default=None)

    def remember_batch_size(self, size: int) -> None:
        """Keep how many photos per device are best."""
        for folder in self.folders:
            remember_batch_size(folder, size)

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch, an equal part on each device; see `shots.Composer`."""
        if len(self._composers) == 1:
            return self._composers[0].compose(thumbnails, aspects)

        def work(composer: Composer, part: slice) -> list[Answer]:
            return composer.compose(thumbnails[part], aspects[part])

        size = max(1, math.ceil(len(thumbnails) / len(self._composers)))
        parts = [slice(start, start + size) for start in range(0, len(thumbnails), size)]
        return [answer for answers in self._threads.map(work, self._composers, parts) for answer in answers]


def load_fleet(bundle: Bundle, device: str, providers: Sequence[str], tell: Callable[[str], None]) -> Fleet:
    """Load a model on each device that is named.

    Args:
        bundle: The model folder.
        device: As `parse_devices` reads it.
        providers: Execution providers by preference, empty to choose by device.
        tell: Called with a line of what the user should know while loading, and later when memory runs short.

    Raises:
        ModelError: The model cannot be read.
        DeviceError: A device, or the first of the providers, cannot be had.
    """
    from shotcrop_cli.model.load import load_composer

    devices = parse_devices(device)
    composers = []
    for one in devices:
        if short_name(TENSORRT) in with_providers(one, providers).providers:
            announce_building(kept_in(bundle.sha256, TENSORRT, one.index), tell)
        composers.append(Halving(load_composer(bundle, str(one), providers=providers), tell))
    return Fleet(composers, devices)
