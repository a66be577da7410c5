"""How many photos a model is handed at once, found out while it works."""

from __future__ import annotations

from shotcrop_cli.model.multi_device import MultiDeviceComposer
from shotcrop_cli.model.tensorrt import LARGEST_BATCH

_ON_CPU = 8
"""A CPU gains nothing from more photos at once [O]."""
_TRIES = 3
"""Batches of each size that are timed, the fastest of which counts: the first one of a size also makes room for it in
the GPU's memory, and decoding disturbs some [O]."""
_WORTHWHILE = 1.1
"""A batch of twice the size must do so many times as many photos a second [O]."""


class Pace:
    """A batch size that is doubled as long as that makes the model faster.

    A size that does not fit into memory is done in parts, so that it is no faster either.

    Args:
        size: Photos at once to begin with.
        most: Never more; by default the size stays as it is.
    """

    def __init__(self, size: int, most: int | None = None) -> None:
        self.size = size
        self.rate = 0.0
        """Photos per second with the best size so far."""
        self._most = size if most is None else most
        self.learns = size < self._most
        """Whether the size is found out, and not given."""
        self.settled = not self.learns
        """Whether the size is final."""
        self._rates: list[float] = []

    def observe(self, photos: int, seconds: float) -> None:
        """Learn how long a batch took; one of another size, such as the last of a run, tells nothing.

        Args:
            photos: Size of the batch.
            seconds: What the model took for it.
        """
        if self.settled or photos != self.size:
            return
        self._rates.append(photos / max(seconds, 1e-9))
        if len(self._rates) < _TRIES:
            return
        rate, self._rates = max(self._rates), []
        if rate < self.rate * _WORTHWHILE:
            self.size //= 2
            self.settled = True
            return
        self.rate = rate
        if self.size * 2 > self._most:
            self.settled = True
        else:
            self.size *= 2


def pace_for(composer: MultiDeviceComposer | None, batch_size: int | None) -> Pace:
    """Return how many photos a model is handed at once.

    Args:
        composer: The model; None when no photo needs one, and the size only says how many are in flight.
        batch_size: Photos per device; None for what suits it: few on a CPU, and on a GPU as many as make it faster.
    """
    devices = 1 if composer is None else len(composer.devices)
    if batch_size is not None:
        return Pace(batch_size * devices)
    return Pace(_ON_CPU) if composer is None or composer.on_cpu else Pace(devices, LARGEST_BATCH * devices)
