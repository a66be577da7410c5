"""The compact model's two ONNX graphs behind the decoding loop's `Network` interface.

Which of two decoder graphs a model has is in its manifest; see `shotcrop_cli.model.kv_cache`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shotcrop_cli.model.bundle import DECODER, VISION, Bundle, Manifest
from shotcrop_cli.model.kv_cache import CacheShape, Caching, make_kv_cache
from shotcrop_cli.model.nano.generate import MAX_CAPTION_TOKENS, Floats, Ids
from shotcrop_cli.model.nano.grammar import LAYOUT, SHOT_TOKENS
from shotcrop_cli.model.session import Device, import_onnxruntime, open_session
from shotcrop_cli.model.tensorrt import LARGEST_BATCH, USUAL_BATCH, Engine, Shapes

PROMPT_TEXT = 4
"""Tokens of a prompt beside the visual ones; see `grammar.prompt`."""
ANSWER_TOKENS = len(LAYOUT) + len(SHOT_TOKENS) * MAX_CAPTION_TOKENS
"""No answer is longer: every slot once, every caption at its longest."""
SEEN_AT_ONCE = 4
"""On a CPU more photos at once no longer fit its caches: 32 cost a tenth more each than 4, one by one they cost as much
[O]."""


class OnnxNetwork:
    """Runs a bundle's graphs.

    Args:
        bundle: The model folder.
        device: Where to run.
        threads: Threads within an operator; None for one per physical core.
    """

    def __init__(self, bundle: Bundle, device: Device, threads: int | None = None) -> None:
        assert isinstance(bundle.manifest, Manifest)
        self.manifest = one = bundle.manifest
        self._looks = 2 if one.mirror else 1
        self.longest = min(one.context, one.image_tokens + PROMPT_TEXT + ANSWER_TOKENS)
        size = one.image_size
        engine = Engine(bundle.sha256, (Shapes.per_photo("pixel_values", (3, size, size), self._looks),))
        self.vision = open_session(bundle.path(VISION), device, threads, engine=engine)
        # TensorRT does not know ONNX Runtime's own attention, and would build an engine for every scrap between.
        self.wide = Caching(one.caching) is Caching.GROWN
        self.decoder = open_session(
            bundle.path(DECODER),
            device if self.wide else device.without_tensorrt(),
            threads,
            engine=Engine(bundle.sha256, self._decoder_shapes()),
        )
        place = ("cuda", device.index) if self.decoder.on_cuda else ("cpu", 0)
        self.kv_cache = make_kv_cache(
            Caching(one.caching), CacheShape(one.layers, one.key_value_heads, one.head_size), place
        )
        self.binding: Any = None
        self.length = 0
        self.words: Floats = np.zeros((0, 0), dtype=np.float32)
        """Logits (B, W) of the manifest's lexicon for the photos last read."""

    @property
    def provider(self) -> str:
        """The provider that runs the decoder."""
        return self.decoder.provider

    def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
        """Read photos and prompts; see `shotcrop_cli.model.nano.generate.Network`."""
        features, spots = self._see(pixels)
        self.length = 0
        with self.decoder.running():
            # Copied once for the whole batch: later steps do not read the features, but the graph asks for them.
            self.features = import_onnxruntime().OrtValue.ortvalue_from_numpy(features, *self.kv_cache.place)
            self.kv_cache.start(len(prompt), self.longest)
        return self.step(prompt), spots

    def step(self, tokens: Ids) -> Floats:
        """Append tokens to each photo; see `shotcrop_cli.model.nano.generate.Network`."""
        self.length += tokens.shape[1]
        binding = self.decoder.session.io_binding()
        binding.bind_ortvalue_input("image_features", self.features)
        # The binding does not own what it is given: the arrays must outlive the run.
        inputs: dict[str, Any] = {"input_ids": np.ascontiguousarray(tokens)}
        if not self.wide:
            inputs["last_positions"] = np.full(len(tokens), self.length - 1, dtype=np.int32)
            inputs["length"] = np.array(self.length, dtype=np.int32)
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        self.kv_cache.bind(binding)
        binding.bind_output("logits", "cpu")
        with self.decoder.running():
            self.decoder.session.run_with_iobinding(binding)
        # Outputs come in the order they were bound.
        *present, last = binding.get_outputs()
        self.kv_cache.advance(present)
        # A copy, since the next step may write to the same memory.
        logits: Floats = last.numpy().copy()
        # Until ONNX Runtime 1.31 an output dies with its binding, so each binding is kept until the next step has run.
        self.binding = binding
        return logits

    def _see(self, pixels: Floats) -> tuple[Floats, Floats]:
        """Run the vision graph: on a CPU few photos at a time."""
        at_once = len(pixels) if self.vision.on_cuda else SEEN_AT_ONCE
        names = ["image_features", "spots", *(["words"] if self.manifest.lexicon else [])]
        with self.vision.running():
            seen = [
                self.vision.session.run(names, {"pixel_values": pixels[first : first + at_once]})
                for first in range(0, len(pixels), at_once)
            ]
        features, spots, *words = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        self.words = words[0] if words else np.zeros((len(pixels), 0), dtype=np.float32)
        return features, spots

    def _decoder_shapes(self) -> tuple[Shapes, ...]:
        """Return the shapes of the grown cache's graph: the longest step is a prompt, the usual one is a token."""
        one = self.manifest
        prompt = one.image_tokens + PROMPT_TEXT
        usual, most = self._looks * USUAL_BATCH, self._looks * LARGEST_BATCH
        head = (one.key_value_heads, one.head_size)
        names = CacheShape(one.layers, *head).names

        def cache(photos: int, positions: int) -> tuple[int, ...]:
            return photos, one.key_value_heads, positions, one.head_size

        return (
            Shapes("input_ids", (1, 1), (usual, 1), (most, prompt)),
            Shapes.per_photo("image_features", (one.image_tokens, one.hidden_size), self._looks),
            *(Shapes(f"past.{name}", cache(1, 0), cache(usual, prompt), cache(most, self.longest)) for name in names),
        )
