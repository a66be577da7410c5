"""Estimate the memory that a large model takes, and compare it with the free memory before loading gigabytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.model.bundle import WEIGHTS, Bundle
from shotcrop_cli.model.gpu import free_gpu_memory
from shotcrop_cli.model.kv_cache import Caching
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.network import ATTENTION_BYTES, ENGINE_BATCH
from shotcrop_cli.model.session import CUDA, Device, import_onnxruntime, short_name
from shotcrop_cli.model.tensorrt import LARGEST_BATCH, TENSORRT
from shotcrop_cli.resources import memory_limit, physical_memory

_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The memory that a model takes, in bytes.

    Args:
        weights: The loaded weights.
        scores: The attention scores of the vision tower per photo that shares a run of it.
        photo: Cache and tokens per photo of a batch, for photos of the largest size that the model takes.
    """

    weights: int
    scores: int
    photo: int

    def total(self, batch: int) -> int:
        """Return the bytes for a batch of this many photos."""
        together = min(batch * self.scores, max(self.scores, ATTENTION_BYTES))
        return self.weights + 2 * together + batch * self.photo  # the softmax needs as much again

    def max_batch(self, free: int) -> int:
        """Return the number of photos that fit into the free bytes, at least one."""
        return max((batch for batch in range(1, LARGEST_BATCH + 1) if self.total(batch) <= free), default=1)


def estimate(manifest: LargeManifest, weights: int, *, on_gpu: bool) -> Estimate:
    """Estimate the memory that a model takes.

    We measured a model of 0.6 billion parameters with one photo of 1 MP on a CPU: 3.1 GB in fp32, where this function
    says 3.1, and 3.3 GB in fp16, where it says 3.1.

    Args:
        manifest: The model's sizes and settings.
        weights: Bytes of the files with weights.
        on_gpu: Whether the model runs on a GPU. A CPU computes in single precision, whatever the weights are stored in.
    """
    vision, decoder = manifest.vision, manifest.decoder
    widened = manifest.precision is not Precision.FP32 and not on_gpu
    number = 4 if widened else manifest.precision.bytes
    tokens = manifest.prompt.text_tokens + vision.max_tokens
    patches = vision.max_tokens * vision.merge_size**2
    vision_bytes = 8 * patches * vision.width * number
    cache = 2 * decoder.layers * decoder.key_value_heads * decoder.head_size * manifest.precision.bytes
    decoder_bytes = tokens * (4 * decoder.width + 3 * decoder.inner_width) * number
    features = 2 * (1 + vision.deepstack) * tokens * decoder.width * 4
    if manifest.caching is Caching.GROWN:  # the old cache and the new one
        cache *= 2
    photo = (
        cache * (tokens + manifest.prompt.answer_tokens)
        + vision_bytes
        + decoder_bytes
        + features
        + 4 * decoder.vocabulary
    )
    if not on_gpu:  # attention on a GPU keeps no scores
        photo += 4 * decoder.heads * tokens**2
    # One more head for the mask.
    return Estimate(weights * (2 if widened else 1), (vision.heads + 1) * patches**2 * number, photo)


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """Whether a model fits into the free memory of its device.

    Args:
        batch_size: Number of photos that fit at once, at least one.
        fits: Whether one photo fits; True if the free memory is unknown.
        text: One line for the user: what the model takes and what is free.
    """

    batch_size: int
    fits: bool
    text: str


def check_memory(bundle: Bundle, manifest: LargeManifest, device: Device) -> MemoryCheck:
    """Compare the memory that a model takes with the free memory of its device.

    Args:
        bundle: The model folder.
        manifest: The model's sizes.
        device: Where the model will run.
    """
    first = device.providers[0] if device.providers else device.kind
    named = first in (short_name(CUDA), short_name(TENSORRT))
    offered = first == "auto" and CUDA in import_onnxruntime().get_available_providers()
    gpu = free_gpu_memory(device.index) if named or offered else None
    on_gpu = named or gpu is not None
    free = gpu if on_gpu else free_memory()
    weights = sum(bundle.path(name).stat().st_size for name in WEIGHTS)
    needed = estimate(manifest, weights, on_gpu=on_gpu)
    largest = ENGINE_BATCH if first == short_name(TENSORRT) else LARGEST_BATCH
    batch_size = largest if free is None else min(largest, needed.max_batch(free))
    text = (
        f"model {manifest.name} takes about {_gigabytes(needed.total(1))} of {'GPU ' if on_gpu else ''}memory, "
        f"{_gigabytes(needed.photo)} of it for each photo of a batch"
    )
    if free is None:
        return MemoryCheck(batch_size, True, f"{text}; how much is free is not known")
    if needed.total(1) > free:
        advice = "if it fails, export it with fewer pixels or fp16"
        return MemoryCheck(batch_size, False, f"{text}, and only {_gigabytes(free)} are free; {advice}")
    return MemoryCheck(batch_size, True, f"{text}; {_gigabytes(free)} are free, enough for {batch_size} at once")


def free_memory() -> int:
    """Return the bytes of memory that this process can still use."""
    free = physical_memory()
    if _MEMINFO.exists():
        figures = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = int(figures["MemAvailable"].split()[0]) * 1024
    limit = memory_limit()
    if limit is None:
        return free
    held = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return min(free, max(0, limit - held))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
