"""Sizes of two families of large models: their vision towers, and a whole model of 4 billion parameters."""

from __future__ import annotations

from shotcrop_cli.model.kv_cache import Caching
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.manifest import FORMAT, Decoder, Family, LargeManifest, Precision, Prompt, Vision

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
QWEN3 = Vision(16, 2, 2, 4 * 32**2, 64 * 32**2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 0, 16, 1024, 3)
QWEN2_5 = Vision(14, 2, 2, 4 * 28**2, 64 * 28**2, _MEAN, _STD, 0, 4, 16, 1280, 0)

MANIFEST = LargeManifest(
    FORMAT,
    Family.QWEN3_VL,
    "qwen3-vl-4b",
    Precision.FP16,
    Caching.IN_PLACE,
    Prompt("", "", 400, 151655, (151645,), 512, CoordSpace.PERMILLE, True),
    Vision(16, 2, 2, 65536, 1 << 20, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 0, 16, 1024, 3),
    Decoder(36, 32, 8, 128, 2560, 9728, 262144, 151936),
)
