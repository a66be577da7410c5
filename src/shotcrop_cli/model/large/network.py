"""A large model's three ONNX graphs: photos and prompts in, the likeliest tokens out, step by step.

    vision.onnx    patches (B, N, ...) and their places -> visual tokens (B, T, H), and inner layers' (DeepStack)
    embed.onnx     token ids (B, S) and visual tokens -> embeddings (B, S, H), and what inner layers add to them
    decoder.onnx   embeddings, places and key-value cache -> logits and likeliest token behind each prompt, and cache

The key-value cache is one pair of buffers per layer, as long as the longest prompt and answer together. The decoder
writes each step into them in place (ONNX Runtime's GroupQueryAttention), each photo behind its own last token, so
prompts of different lengths share a batch and a step copies nothing that grows. Only visual tokens and token ids cross
between a GPU and the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.errors import DeviceError, ModelError
from shotcrop_cli.model.bundle import DECODER, EMBED, VISION, Bundle
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.patches import Patches
from shotcrop_cli.model.large.positions import Floats, Ids, PromptBatch, interpolation, patch_positions, segments
from shotcrop_cli.model.session import CUDA, Device, Session, import_onnxruntime, open_session, short_name
from shotcrop_cli.model.tensorrt import TENSORRT

ATTENTION_BYTES = 2 << 30
"""Photos see the vision tower together while its attention scores fit in so much memory; one photo always does [O]."""
_CACHE_STEP = 256
"""Cache buffers are made longer by so many positions at a time, so that most batches can share them [O]."""
_PADDING = -1
"""Segment of patches that only fill up a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class VisualTokens:
    """What the vision tower makes of a photo: its visual tokens, then those of inner layers, each (T, H)."""

    layers: tuple[Floats, ...]


class LargeNetwork:
    """Runs a bundle's graphs.

    Args:
        bundle: The model folder.
        manifest: Its figures.
        device: Where to run.
        threads: Threads within an operator; None for one per physical core.
        output: What `start` and `step` return: `tokens`, the likeliest (B,), or `logits` (B, vocabulary).

    Raises:
        ModelError: A graph cannot be loaded.
        DeviceError: The device cannot be had.
    """

    def __init__(
        self,
        bundle: Bundle,
        manifest: LargeManifest,
        device: Device,
        threads: int | None = None,
        output: str = "tokens",
    ) -> None:
        self.manifest, self.output = manifest, output
        self.embed, self.decoder, self.vision = (
            _open(bundle, name, manifest, device, threads) for name in (EMBED, DECODER, VISION)
        )
        self.place = ("cuda", device.index) if self.decoder.on_cuda else ("cpu", 0)
        self.cache_names = [f"{layer}.{kind}" for layer in range(manifest.decoder.layers) for kind in ("key", "value")]
        inner = range(manifest.vision.deepstack)
        self.feature_names = ["image_features", *(f"deepstack_features.{number}" for number in inner)]
        self.embedding_names = ["inputs_embeds", *(f"deepstack_embeds.{number}" for number in inner)]
        self._buffers: list[Any] = []
        self._buffer_shape = (0, 0)

    @property
    def provider(self) -> str:
        """The provider that runs the decoder."""
        return self.decoder.provider

    def see(self, photos: Sequence[Patches]) -> list[VisualTokens]:
        """Run the vision tower; photos of any sizes share a batch."""
        seen: list[VisualTokens] = []
        for group in self._groups(photos):
            with self.vision.at_work():
                outputs = self.vision.session.run(self.feature_names, self._patch_inputs(group))
            for number, photo in enumerate(group):
                tokens = photo.grid.patches // self.manifest.vision.merge_size**2
                seen.append(VisualTokens(tuple(output[number, :tokens] for output in outputs)))
        return seen

    def _groups(self, photos: Sequence[Patches]) -> Iterator[Sequence[Patches]]:
        """Part photos into batches whose attention scores fit in memory."""
        first, most = 0, 0
        for number, photo in enumerate(photos):
            most = max(most, photo.grid.patches)
            scores = (number + 1 - first) * self.manifest.vision.heads * most**2 * 4
            if scores > ATTENTION_BYTES and number > first:
                yield photos[first:number]
                first, most = number, photo.grid.patches
        yield photos[first:]

    def _patch_inputs(self, photos: Sequence[Patches]) -> dict[str, NDArray[Any]]:
        vision = self.manifest.vision
        rows: list[dict[str, NDArray[Any]]] = []
        for photo in photos:
            row: dict[str, NDArray[Any]] = {
                "pixel_values": photo.pixels,
                "positions": patch_positions(photo.grid, vision),
                "segments": segments(photo.grid, vision),
            }
            if vision.grid_side:
                row["table_entries"], row["table_weights"] = interpolation(photo.grid, vision)
            rows.append(row)
        most = max(photo.grid.patches for photo in photos)
        return {
            name: np.stack([_padded(row[name], most, _PADDING if name == "segments" else 0) for row in rows])
            for name in rows[0]
        }

    def start(self, prompts: PromptBatch, photos: Sequence[VisualTokens]) -> NDArray[Any]:
        """Read prompts with their photos.

        Args:
            prompts: Of a batch.
            photos: What `see` made of each prompt's photo.

        Returns:
            What stands first in each answer, by `output`.
        """
        batch, length = prompts.ids.shape
        most = max(len(photo.layers[0]) for photo in photos)
        layers = zip(*(photo.layers for photo in photos), strict=True)
        features = [np.stack([_padded(one, most, 0) for one in layer]) for layer in layers]
        runtime = import_onnxruntime()
        with self.decoder.at_work():
            # Bound once for the whole batch: steps do not read them, but the graph asks for them.
            self._features = [runtime.OrtValue.ortvalue_from_numpy(one, *self.place) for one in features]
            caches = self._cache(batch, length + self.manifest.prompt.answer_tokens)
        self._embedding, self._decoding = self.embed.session.io_binding(), self.decoder.session.io_binding()
        for name, feature in zip(self.feature_names, self._features, strict=True):
            self._embedding.bind_ortvalue_input(name, feature)
        for name, cache in zip(self.cache_names, caches, strict=True):
            self._decoding.bind_ortvalue_input(f"past.{name}", cache)
            self._decoding.bind_ortvalue_output(f"present.{name}", cache)
        self._lengths, self._next = prompts.lengths.copy(), prompts.next_positions.copy()
        return self._run(prompts.ids, prompts.positions, length)

    def step(self, tokens: Ids) -> NDArray[Any]:
        """Append one token (B,) to each answer and return what follows, by `output`."""
        positions = np.broadcast_to(self._next[None, :, None], (3, len(tokens), 1))
        self._lengths, self._next = self._lengths + 1, self._next + 1
        return self._run(tokens[:, None], positions, int(self._lengths.max()))

    def _run(self, ids: Ids, positions: Ids, length: int) -> NDArray[Any]:
        # A binding does not own what it is given: the arrays must outlive the run.
        ids = np.ascontiguousarray(ids)
        inputs = {
            "position_ids": np.ascontiguousarray(positions),
            "last_positions": (self._lengths - 1).astype(np.int32),
            "length": np.array(length, dtype=np.int32),
        }
        self._embedding.bind_cpu_input("input_ids", ids)
        for name in self.embedding_names:
            self._embedding.bind_output(name, *self.place)
        for name, array in inputs.items():
            self._decoding.bind_cpu_input(name, array)
        self._decoding.bind_output(self.output, "cpu")
        with self.decoder.at_work():
            self.embed.session.run_with_iobinding(self._embedding)
            embeddings = self._embedding.get_outputs()
            for name, embedding in zip(self.embedding_names, embeddings, strict=True):
                self._decoding.bind_ortvalue_input(name, embedding)
            self.decoder.session.run_with_iobinding(self._decoding)
            # A copy, since the next step writes to the same memory. Outputs come in the order they were bound.
            found: NDArray[Any] = self._decoding.get_outputs()[len(self.cache_names)].numpy().copy()
        return found

    def _cache(self, batch: int, positions: int) -> list[Any]:
        """Return the cache buffers (B, heads, positions, head size); what an older batch left there is masked."""
        if self._buffer_shape[0] != batch or self._buffer_shape[1] < positions:
            self._buffers.clear()  # before the new ones are made: both need not fit
            positions = -(-positions // _CACHE_STEP) * _CACHE_STEP
            self._buffer_shape = (batch, positions)
            sizes = self.manifest.decoder
            shape = (batch, sizes.key_value_heads, positions, sizes.head_size)
            self._buffers = [self._buffer(shape) for _ in self.cache_names]
        return self._buffers

    def _buffer(self, shape: tuple[int, ...]) -> Any:
        value, precision = import_onnxruntime().OrtValue, self.manifest.precision
        if self.place[0] != "cpu":
            return value.ortvalue_from_shape_and_type(shape, precision.onnx_type, *self.place)
        # On the CPU an OrtValue shares its array's memory, which zeros do not take before it is written to.
        return value.ortvalue_from_numpy(np.zeros(shape, np.float32 if precision is Precision.FP32 else np.float16))


def _padded(array: NDArray[Any], length: int, value: int) -> NDArray[Any]:
    """Fill an array up along its first axis."""
    margin = [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)]
    return np.pad(array, margin, constant_values=value)


def placed(device: Device, manifest: LargeManifest) -> Device:
    """Return where a model is to run, of what a device leaves open.

    ONNX Runtime's attention takes half precision alone on a GPU: in single precision it would run on the CPU, with the
    cache copied to and fro at every step.

    Args:
        device: What was asked for.
        manifest: The model's figures.

    Raises:
        DeviceError: The model does not run there.
    """
    names = device.providers[:1] or (device.kind,)
    if short_name(TENSORRT) in names:  # it would build an engine for every new length of a prompt
        raise DeviceError("large models do not run on TensorRT", hint="use --device cuda")
    if manifest.precision is not Precision.FP32:
        return device
    if short_name(CUDA) in names:
        raise DeviceError(
            f"model {manifest.name} computes in fp32, which is for CPUs",
            hint="export it with --precision fp16 or bf16, or use --device cpu",
        )
    return replace(device, kind="cpu") if names == ("auto",) else device


def _open(bundle: Bundle, name: str, manifest: LargeManifest, device: Device, threads: int | None) -> Session:
    try:
        return open_session(bundle.path(name), device, threads)
    except ModelError as error:
        if manifest.precision is not Precision.BF16:
            raise
        raise ModelError(
            f"model {bundle.folder} computes in bf16, which needs a GPU: {error.message}",
            hint="use --device cuda, or export it with --precision fp16 or fp32",
        ) from error
