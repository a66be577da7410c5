"""Run the ONNX graphs of a large model: from photos and prompts to the likeliest next token, step by step.

    vision.onnx    patches (B, N, ...) and their positions -> visual tokens (B, T, H), also of inner layers (DeepStack)
    embed.onnx     token ids (B, S) and visual tokens -> embeddings (B, S, H), and what inner layers add to them
    decoder.onnx   embeddings, positions and key-value cache -> logits and likeliest next token, and the cache
    rows.onnx      keys or values of a layer -> those of some rows of the batch

The manifest names the form of the cache; see `shotcrop_cli.model.kv_cache`. Prompts of any lengths share a batch. The
answer of a photo follows its own prompt (in-place cache), or the padding after it, which is masked (growing cache).
Photos whose answers have ended leave the batch. Only visual tokens and token ids move between a GPU and the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.errors import DeviceError, ModelError
from shotcrop_cli.model.bundle import DECODER, EMBED, ROWS, VISION, Bundle
from shotcrop_cli.model.kv_cache import Caching, make_kv_cache
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.patches import Patches
from shotcrop_cli.model.large.positions import Floats, Ids, PromptBatch, interpolation, patch_positions, segments
from shotcrop_cli.model.session import CUDA, Device, Session, import_onnxruntime, open_session, short_name
from shotcrop_cli.model.tensorrt import TENSORRT, Engine, Shapes

ATTENTION_BYTES = 2 << 30
"""Photos share a run of the vision tower if its attention scores fit into these bytes (our choice). One always runs."""
ENGINE_BATCH = 16
"""Largest batch of a decoder's TensorRT engine (our choice). Its workspace grows with the batch and the prompt."""
_PADDING = -1
"""Segment number of padding patches."""


@dataclass(frozen=True, slots=True, eq=False)
class VisualTokens:
    """The output of the vision tower for a photo: visual tokens, then those of inner layers, each (T, H), float32."""

    layers: tuple[Floats, ...]

    @classmethod
    def joined(cls, pictures: Sequence[VisualTokens]) -> VisualTokens:
        """Return the tokens of several pictures in one prompt, one after the other."""
        return cls(tuple(np.concatenate(layer) for layer in zip(*(one.layers for one in pictures), strict=True)))


class LargeNetwork:
    """Runs the graphs of a large model. It holds the state of one batch, so only one thread may use it at a time.

    Args:
        bundle: The model folder.
        manifest: The model's sizes and settings.
        device: Where to run.
        threads: Threads within an operator; None for one per physical core.
        output: What `start` and `step` return: likeliest `tokens` (B,), int64, or `logits` (B, vocabulary), float32.

    Raises:
        ModelError: A graph cannot be loaded.
        DeviceError: The device is not available.
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
        # Prompt lengths and numbers of patches vary from batch to batch, so only the decoder gets a TensorRT engine.
        others = device.without_tensorrt()
        self.embed, self.vision, self.rows = (
            _open(bundle, name, manifest, others, threads) for name in (EMBED, VISION, ROWS)
        )
        engine = Engine(bundle.sha256, decoder_shapes(manifest))
        self.decoder = _open(bundle, DECODER, manifest, device, threads, engine)
        self.in_place = manifest.caching is Caching.IN_PLACE
        self.place = ("cuda", device.index) if self.decoder.on_cuda else ("cpu", 0)
        self.kv_cache = make_kv_cache(manifest.caching, manifest.cache, self.place)
        inner = range(manifest.vision.deepstack)
        self.feature_names = ["image_features", *(f"deepstack_features.{number}" for number in inner)]
        self.embedding_names = ["inputs_embeds", *(f"deepstack_embeds.{number}" for number in inner)]

    @property
    def provider(self) -> str:
        """The provider that runs the decoder."""
        return self.decoder.provider

    def encode_photos(self, photos: Sequence[Patches]) -> list[VisualTokens]:
        """Run the vision tower on photos of any sizes."""
        encoded: list[VisualTokens] = []
        for group in self._groups(photos):
            with self.vision.running():
                outputs = self.vision.session.run(self.feature_names, self._patch_inputs(group))
            for number, photo in enumerate(group):
                tokens = photo.grid.patches // self.manifest.vision.merge_size**2
                encoded.append(VisualTokens(tuple(output[number, :tokens] for output in outputs)))
        return encoded

    def _groups(self, photos: Sequence[Patches]) -> Iterator[Sequence[Patches]]:
        """Split photos into batches whose attention scores fit into memory."""
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
        """Begin a batch: run the prompts with their photos through the decoder.

        Args:
            prompts: The prompts of the batch.
            photos: The result of `encode_photos` for the photo of each prompt.

        Returns:
            The first token of each answer or its logits; see `output`.
        """
        batch, length = prompts.ids.shape
        most = max(len(photo.layers[0]) for photo in photos)
        layers = zip(*(photo.layers for photo in photos), strict=True)
        features = [np.stack([_padded(one, most, 0) for one in layer]) for layer in layers]
        self._embedding = self.embed.session.io_binding()
        with self.decoder.running():
            self._bind_features(features)
            self.kv_cache.start(batch, length + self.manifest.prompt.answer_tokens)
        self._lengths, self._next = prompts.lengths.copy(), prompts.next_positions.copy()
        self._filled = (np.arange(length) < prompts.lengths[:, None]).astype(np.int64)
        return self._run(prompts.ids, prompts.positions)

    def step(self, tokens: Ids) -> NDArray[Any]:
        """Append one token (B,) to each answer and return the next one or its logits; see `output`."""
        positions = np.broadcast_to(self._next[None, :, None], (3, len(tokens), 1))
        self._lengths, self._next = self._lengths + 1, self._next + 1
        self._filled = np.pad(self._filled, ((0, 0), (0, 1)), constant_values=1)
        return self._run(tokens[:, None], positions)

    def keep_rows(self, rows: Ids) -> None:
        """Keep only some rows of the batch.

        Args:
            rows: Numbers of the rows (N,), int64, at least one.
        """
        self._lengths, self._next, self._filled = self._lengths[rows], self._next[rows], self._filled[rows]
        width = self.manifest.decoder.width
        with self.decoder.running():
            # No image token follows a prompt, so the features are not read again.
            self._bind_features([np.zeros((len(rows), 1, width), dtype=np.float32) for _ in self.feature_names])
            self.kv_cache.keep_rows(rows, self.rows)

    def _bind_features(self, features: Sequence[Floats]) -> None:
        """Bind visual tokens (B, T, H). Steps do not read them, but the graph requires the input."""
        value = import_onnxruntime().OrtValue
        self._features = [value.ortvalue_from_numpy(one, *self.place) for one in features]
        for name, feature in zip(self.feature_names, self._features, strict=True):
            self._embedding.bind_ortvalue_input(name, feature)

    def _run(self, ids: Ids, positions: Ids) -> NDArray[Any]:
        # A binding does not own its arrays: they must outlive the run.
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
        self.kv_cache.bind(decoding)
        decoding.bind_output(self.output, "cpu")
        with self.decoder.running():
            self.embed.session.run_with_iobinding(self._embedding)
            embeddings = self._embedding.get_outputs()
            for name, embedding in zip(self.embedding_names, embeddings, strict=True):
                decoding.bind_ortvalue_input(name, embedding)
            self.decoder.session.run_with_iobinding(decoding)
            # Outputs come in the order in which they were bound.
            *present, last = decoding.get_outputs()
            self.kv_cache.advance(present)
            # A copy, since the next step may write to the same memory.
            found: NDArray[Any] = last.numpy().copy()
            # Until ONNX Runtime 1.31 an output dies with its binding: each is kept until the next step has run.
            self._decoding = decoding
        return found


def decoder_shapes(manifest: LargeManifest) -> tuple[Shapes, ...]:
    """Return the input shapes of a decoder with a growing cache. The longest step is a prompt, the typical one a token.

    Args:
        manifest: The model's sizes and settings.
    """
    sizes, prompt = manifest.decoder, manifest.prompt.text_tokens + manifest.vision.max_tokens
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
    """Pad an array along its first axis."""
    margin = [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)]
    return np.pad(array, margin, constant_values=value)


def resolve_device(device: Device, manifest: LargeManifest) -> Device:
    """Return the device on which a model can run; `auto` becomes `cpu` for a model in single precision.

    On a GPU, ONNX Runtime's attention supports only half precision. In single precision it would run on the CPU and
    copy the cache back and forth at every step. TensorRT also supports single precision, but only its own attention.

    Args:
        device: The device that the user chose.
        manifest: The model's sizes and settings.

    Raises:
        DeviceError: The model cannot run on the device.
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
