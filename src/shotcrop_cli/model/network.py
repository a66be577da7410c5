"""The compact model's two ONNX graphs behind the decoding loop's `Network` interface.

The key-value cache is one pair of buffers per layer, as long as the longest answer. The decoder graph writes each
step into them in place (ONNX Runtime's GroupQueryAttention), so a step copies nothing that grows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shotcrop_cli.model.bundle import DECODER, VISION, Bundle, Manifest
from shotcrop_cli.model.generate import MAX_CAPTION_TOKENS, Floats, Ids
from shotcrop_cli.model.grammar import LAYOUT, SHOT_TOKENS
from shotcrop_cli.model.session import Device, import_onnxruntime, open_session
from shotcrop_cli.model.tensorrt import Engine

ANSWER_TOKENS = len(LAYOUT) + len(SHOT_TOKENS) * MAX_CAPTION_TOKENS
"""No answer is longer: every slot once, every caption at its longest."""


class OnnxNetwork:
    """Runs a bundle's graphs.

    Args:
        bundle: The model folder.
        device: Where to run.
        threads: Threads within an operator; None for one per physical core.
    """

    def __init__(self, bundle: Bundle, device: Device, threads: int | None = None) -> None:
        assert isinstance(bundle.manifest, Manifest)
        self.manifest = bundle.manifest
        size = self.manifest.image_size
        engine = Engine(bundle.sha256, (("pixel_values", (3, size, size)),))
        self.vision = open_session(bundle.path(VISION), device, threads, engine=engine)
        # Its attention is ONNX Runtime's own, so that TensorRT would build an engine for every scrap between.
        self.decoder = open_session(bundle.path(DECODER), device.without_tensorrt(), threads)
        self.place = ("cuda", device.index) if self.decoder.on_cuda else ("cpu", 0)
        names = [f"{layer}.{kind}" for layer in range(self.manifest.layers) for kind in ("key", "value")]
        self.cache_names = names
        self.caches: dict[int, list[Any]] = {}
        self.binding: Any = None
        self.length = 0

    @property
    def provider(self) -> str:
        """The provider that runs the decoder."""
        return self.decoder.provider

    def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
        """Read photos and prompts; see `shotcrop_cli.model.generate.Network`."""
        batch = len(prompt)
        with self.vision.at_work():
            features, spots = self.vision.session.run(["image_features", "spots"], {"pixel_values": pixels})
        self.length = 0
        self.binding = self.decoder.session.io_binding()
        runtime = import_onnxruntime()
        with self.decoder.at_work():
            # Bound once for the whole batch: steps do not read the features, but the graph asks for them.
            self.features = runtime.OrtValue.ortvalue_from_numpy(features, *self.place)
            caches = self._cache(batch)
        self.binding.bind_ortvalue_input("image_features", self.features)
        for name, cache in zip(self.cache_names, caches, strict=True):
            self.binding.bind_ortvalue_input(f"past.{name}", cache)
            self.binding.bind_ortvalue_output(f"present.{name}", cache)
        self.binding.bind_output("logits", "cpu")
        return self._run(prompt), spots

    def step(self, tokens: Ids) -> Floats:
        """Append one token per photo; see `shotcrop_cli.model.generate.Network`."""
        return self._run(tokens[:, None])

    def _run(self, ids: Ids) -> Floats:
        self.length += ids.shape[1]
        # The binding does not own what it is given: the arrays must outlive the run.
        inputs = {
            "input_ids": np.ascontiguousarray(ids),
            "last_positions": np.full(len(ids), self.length - 1, dtype=np.int32),
            "length": np.array(self.length, dtype=np.int32),
        }
        for name, array in inputs.items():
            self.binding.bind_cpu_input(name, array)
        with self.decoder.at_work():
            self.decoder.session.run_with_iobinding(self.binding)
        # A copy, since the next step writes to the same memory. Outputs come in the order they were bound.
        logits: Floats = self.binding.get_outputs()[len(self.cache_names)].numpy().copy()
        return logits

    def _cache(self, batch: int) -> list[Any]:
        """Return the cache buffers (batch, heads, positions, head size); what an older batch left there is masked."""
        if batch not in self.caches:
            one = self.manifest
            length = min(one.context, one.image_tokens + 8 + ANSWER_TOKENS)
            shape = (batch, one.key_value_heads, length, one.head_size)
            runtime = import_onnxruntime()
            # Only the latest two sizes are kept: full batches, and the last one of a run.
            while len(self.caches) > 1:
                self.caches.pop(next(iter(self.caches)))
            # On the CPU an OrtValue shares its array's memory, so each buffer needs an array of its own.
            self.caches[batch] = [
                runtime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=np.float32), *self.place)
                for _ in self.cache_names
            ]
        return self.caches[batch]
