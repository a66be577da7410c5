"""A large model's ONNX graphs: photos and prompts in, the likeliest tokens out, step by step.

    vision.onnx    patches (B, N, ...) and their places -> visual tokens (B, T, H), and inner layers' (DeepStack)
    embed.onnx     token ids (B, S) and visual tokens -> embeddings (B, S, H), and what inner layers add to them
    decoder.onnx   embeddings, places and key-value cache -> logits and likeliest token behind each prompt, and cache
    rows.onnx      a layer's keys or values -> those of some rows of the batch

How the decoder keeps its cache is in the manifest; see `shotcrop_cli.model.kv_cache`. A photo's answer stands behind
its own prompt (in place) or behind what fills it up, which is masked (grown): prompts of any lengths share a batch.
Photos whose answers have ended leave it. Only visual tokens and token ids cross between a GPU and the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.errors import DeviceError, ModelError
from shotcrop_cli.model.bundle import DECODER, EMBED, ROWS, VISION, Bundle
from shotcrop_cli.model.kv_cache import Caching, past_tokens
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.patches import Patches
from shotcrop_cli.model.large.positions import Floats, Ids, PromptBatch, interpolation, patch_positions, segments
from shotcrop_cli.model.session import CUDA, Device, Session, import_onnxruntime, open_session, short_name
from shotcrop_cli.model.tensorrt import TENSORRT, Engine, Shapes

ATTENTION_BYTES = 2 << 30
"""Photos see the vision tower together while its attention scores fit in so much memory; one photo always does [O]."""
ENGINE_BATCH = 16
"""Photos that a TensorRT engine of a decoder takes at most [O]: its workspace grows with them and with the prompt."""
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
        # Lengths of prompts and numbers of patches vary from batch to batch; an engine is built for the decoder alone.
        others = device.without_tensorrt()
        self.embed, self.vision, self.rows = (
            _open(bundle, name, manifest, others, threads) for name in (EMBED, VISION, ROWS)
        )
        engine = Engine(bundle.sha256, decoder_shapes(manifest))
        self.decoder = _open(bundle, DECODER, manifest, device, threads, engine)
        self.in_place = manifest.caching is Caching.IN_PLACE
        self.place = ("cuda", device.index) if self.decoder.on_cuda else ("cpu", 0)
        self.past = past_tokens(manifest.caching, manifest.cache, self.place)
        inner = range(manifest.vision.deepstack)
        self.feature_names = ["image_features", *(f"deepstack_features.{number}" for number in inner)]
        self.embedding_names = ["inputs_embeds", *(f"deepstack_embeds.{number}" for number in inner)]

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
        self._embedding = self.embed.session.io_binding()
        with self.decoder.at_work():
            self._show(features)
            self.past.start(batch, length + self.manifest.prompt.answer_tokens)
        self._lengths, self._next = prompts.lengths.copy(), prompts.next_positions.copy()
        self._filled = (np.arange(length) < prompts.lengths[:, None]).astype(np.int64)
        return self._run(prompts.ids, prompts.positions)

    def step(self, tokens: Ids) -> NDArray[Any]:
        """Append one token (B,) to each answer and return what follows, by `output`."""
        positions = np.broadcast_to(self._next[None, :, None], (3, len(tokens), 1))
        self._lengths, self._next = self._lengths + 1, self._next + 1
        self._filled = np.pad(self._filled, ((0, 0), (0, 1)), constant_values=1)
        return self._run(tokens[:, None], positions)

    def keep(self, rows: Ids) -> None:
        """Go on with some rows of the batch alone.

        Args:
            rows: Their numbers, at least one.
        """
        self._lengths, self._next, self._filled = self._lengths[rows], self._next[rows], self._filled[rows]
        width = self.manifest.decoder.width
        with self.decoder.at_work():
            # No image token follows a prompt, so that nothing of a photo is read again.
            self._show([np.zeros((len(rows), 1, width), dtype=np.float32) for _ in self.feature_names])
            self.past.keep(rows, self.rows)

    def _show(self, features: Sequence[Floats]) -> None:
        """Bind visual tokens (B, T, H) until others are bound: steps do not read them, but the graph asks for them."""
        value = import_onnxruntime().OrtValue
        self._features = [value.ortvalue_from_numpy(one, *self.place) for one in features]
        for name, feature in zip(self.feature_names, self._features, strict=True):
            self._embedding.bind_ortvalue_input(name, feature)

    def _run(self, ids: Ids, positions: Ids) -> NDArray[Any]:
        # A binding does not own what it is given: the arrays must outlive the run.
        ids = np.ascontiguousarray(ids)
        inputs: dict[str, NDArray[Any]] = {
            "position_ids": np.ascontiguousarray(positions),
            "last_positions": (self._lengths - 1).astype(np.int32),
        }
        if self.in_place:
            inputs["length"] = np.array(self._lengths.max(), dtype=np.int32)
        else:
            inputs["attention_mask"] = self._filled
        decoding = self.decoder.session.io_binding()
        self._embedding.bind_cpu_input("input_ids", ids)
        for name in self.embedding_names:
            self._embedding.bind_output(name, *self.place)
        for name, array in inputs.items():
            decoding.bind_cpu_input(name, array)
        self.past.bind(decoding)
        decoding.bind_output(self.output, "cpu")
        with self.decoder.at_work():
            self.embed.session.run_with_iobinding(self._embedding)
            embeddings = self._embedding.get_outputs()
            for name, embedding in zip(self.embedding_names, embeddings, strict=True):
                decoding.bind_ortvalue_input(name, embedding)
            self.decoder.session.run_with_iobinding(decoding)
            # Outputs come in the order they were bound.
            *present, last = decoding.get_outputs()
            self.past.advance(present)
            # A copy, since the next step may write to the same memory.
            found: NDArray[Any] = last.numpy().copy()
            # Until ONNX Runtime 1.31 an output dies with its binding: each is kept until the next step has run.
            self._decoding = decoding
        return found


def decoder_shapes(manifest: LargeManifest) -> tuple[Shapes, ...]:
    """Return the shapes of a grown cache's graph: the longest step is the longest prompt, the usual one is a token.

    Args:
        manifest: The model's figures.
    """
    sizes, prompt = manifest.decoder, manifest.prompt.text_tokens + manifest.vision.most_tokens
    longest = prompt + manifest.prompt.answer_tokens
    usual = ENGINE_BATCH // 2

    def new(*sides: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        return (1, 1, *sides), (usual, 1, *sides), (ENGINE_BATCH, prompt, *sides)

    def cache(batch: int, positions: int) -> tuple[int, ...]:
        return batch, sizes.key_value_heads, positions, sizes.head_size

    least, most = cache(1, 0), cache(ENGINE_BATCH, longest)
    return (
        Shapes("inputs_embeds", *new(sizes.width)),
        Shapes("position_ids", (3, 1, 1), (3, usual, 1), (3, ENGINE_BATCH, prompt)),
        Shapes("last_positions", (1,), (usual,), (ENGINE_BATCH,)),
        Shapes("attention_mask", (1, 1), (usual, prompt), (ENGINE_BATCH, longest)),
        *(Shapes(f"past.{name}", least, cache(usual, prompt), most) for name in manifest.cache.names),
        *(Shapes(f"deepstack_embeds.{number}", *new(sizes.width)) for number in range(manifest.vision.deepstack)),
    )


def _padded(array: NDArray[Any], length: int, value: int) -> NDArray[Any]:
    """Fill an array up along its first axis."""
    margin = [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)]
    return np.pad(array, margin, constant_values=value)


def placed(device: Device, manifest: LargeManifest) -> Device:
    """Return where a model is to run, of what a device leaves open.

    ONNX Runtime's attention takes half precision alone on a GPU: in single precision it would run on the CPU, with the
    cache copied to and fro at every step. TensorRT takes single precision, too, and no other attention than its own.

    Args:
        device: What was asked for.
        manifest: The model's figures.

    Raises:
        DeviceError: The model does not run there.
    """
    names = device.providers[:1] or (device.kind,)
    if short_name(TENSORRT) in names:
        if manifest.caching is Caching.IN_PLACE:
            raise DeviceError(
                f"model {manifest.name} has a decoder that TensorRT cannot run",
                hint="export it with --decoder concat, or use --device cuda",
            )
        return device
    if manifest.precision is not Precision.FP32:
        return device
    if short_name(CUDA) in names:
        raise DeviceError(
            f"model {manifest.name} computes in fp32, which is for CPUs",
            hint="export it with --precision fp16 or bf16, or use --device cpu",
        )
    return replace(device, kind="cpu") if names == ("auto",) else device


def _open(
    bundle: Bundle,
    name: str,
    manifest: LargeManifest,
    device: Device,
    threads: int | None,
    engine: Engine | None = None,
) -> Session:
    try:
        return open_session(bundle.path(name), device, threads, engine=engine)
    except ModelError as error:
        if manifest.precision is not Precision.BF16:
            raise
        raise ModelError(
            f"model {bundle.folder} computes in bf16, which needs a GPU: {error.message}",
            hint="use --device cuda, or export it with --precision fp16 or fp32",
        ) from error
