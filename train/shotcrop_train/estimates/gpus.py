"""Memory and speed of some GPUs, from their makers' data sheets."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from shotcrop_cli.errors import ShotcropError


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Args:
        name: Its name.
        memory: Memory in GB.
        tflops: Dense bfloat16 operations per second, in 10^12; None if unknown.
        bandwidth: Bandwidth of its memory in GB/s; None if unknown.
    """

    name: str
    memory: float
    tflops: float | None = None
    bandwidth: float | None = None


GPUS = {
    "rtx4090": Gpu("rtx4090", 24, 165, 1008),
    "l4": Gpu("l4", 24, 121, 300),
    "a10g": Gpu("a10g", 24, 70, 600),
    "l40s": Gpu("l40s", 48, 362, 864),
    "a100-40": Gpu("a100-40", 40, 312, 1555),
    "a100-80": Gpu("a100-80", 80, 312, 2039),
    "h100": Gpu("h100", 80, 989, 3350),
    "h200": Gpu("h200", 141, 989, 4800),
    "b200": Gpu("b200", 180, 2250, 8000),
}
"""GPUs by name. Speeds are those without sparsity."""


def find_gpu(name: str) -> Gpu:
    """Return a GPU by name, or one of unknown speed by its memory in GB.

    Raises:
        ShotcropError: There is no such GPU.
    """
    if name.lower() in GPUS:
        return GPUS[name.lower()]
    try:
        memory = float(name)
    except ValueError:
        close = get_close_matches(name.lower(), GPUS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ShotcropError(
            f"there is no GPU '{name}' in the table",
            hint=f"{hint}give its memory in GB, or one of {', '.join(GPUS)}",
        ) from None
    return Gpu("a GPU", memory)
