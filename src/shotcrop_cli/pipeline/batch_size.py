"""How many photos the model gets at once, found out while it works."""

from __future__ import annotations

from shotcrop_cli.model.multi_device import MultiDeviceComposer
from shotcrop_cli.model.tensorrt import LARGEST_BATCH

_ON_CPU = 8
"""Batch size on a CPU. In our measurements, larger batches were not faster there."""
_TRIES = 3
"""Batches of each size that are timed. The fastest counts: the first one also allocates memory on the GPU, and decoding
slows down some."""
_WORTHWHILE = 1.1
"""Twice the size has to be this many times as fast, or the smaller size is kept."""


class BatchSize:
    """A batch size that is doubled as long as this makes the model faster.

    If a batch does not fit into memory, the model splits it, which is not faster either.

    Args:
        size: Photos per batch to start with.
        limit: The largest size to try; by default the size stays as it is.
    """

    def __init__(self, size: int, limit: int | None = None) -> None:
        self.size = size
        self.rate = 0.0
        """Photos per second with the best size so far."""
        self._limit = size if limit is None else limit
        self.is_automatic = size < self._limit
        """Whether the size is found out, and not given."""
        self.is_final = not self.is_automatic
        """Whether the size does not change any more."""
        self._rates: list[float] = []

    def observe(self, photos: int, seconds: float) -> None:
        """Take into account how long a batch took. Batches of another size, such as the last one, are ignored.

        Args:
            photos: Size of the batch.
            seconds: Time that the model took for it.
        """
        if self.is_final or photos != self.size:
            return
        self._rates.append(photos / max(seconds, 1e-9))
        if len(self._rates) < _TRIES:
            return
        rate, self._rates = max(self._rates), []
        if rate < self.rate * _WORTHWHILE:
            self.size //= 2
            self.is_final = True
            return
        self.rate = rate
        if self.size * 2 > self._limit:
            self.is_final = True
        else:
            self.size *= 2


def choose_batch_size(model: MultiDeviceComposer | None, per_device: int | None) -> BatchSize:
    """Return the batch size for a model.

    Args:
        model: The model; None if no photo needs one. Then the size only limits how many photos are in memory.
        per_device: Photos per device; None to choose: a few on a CPU, and on a GPU as many as make it faster.
    """
    devices = 1 if model is None else len(model.devices)
    if per_device is not None:
        return BatchSize(per_device * devices)
    return BatchSize(_ON_CPU) if model is None or model.on_cpu else BatchSize(devices, LARGEST_BATCH * devices)
