"""Compare torch's `.generate` with ONNX Runtime on real photos: same patches, same prompts, same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from transformers import GenerationConfig

from shotcrop_cli.errors import ModelError
from shotcrop_cli.imaging.thumbnail import shrink_to_long_side
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.large.composer import LargeComposer
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.network import LargeNetwork
from shotcrop_cli.model.large.patches import make_patches
from shotcrop_cli.model.large.positions import PromptBatch
from shotcrop_cli.model.session import Device
from shotcrop_export.large.checkpoint import Checkpoint

BATCHES = (1, 4)
STEPS = 48
"""Number of tokens of each answer that are compared (our choice)."""
_TOLERANCES = {Precision.FP32: 1e-4, Precision.FP16: 3e-2, Precision.BF16: 1e-1}
"""Largest difference of a logit that the precision explains, as a fraction of the largest logit (our choice). Tiny
models in half precision, trained with one or two threads for 100 to 400 steps, had between 3e-3 and 1.5e-2. They had
0.36 after one of their norms was scaled by 1.05."""


@dataclass(frozen=True)
class LargeDifference:
    """What was compared, and the differences.

    `tied_tokens` counts tokens where ONNX Runtime chose another one that torch finds equally likely, within the limits
    of the precision. In single precision there are none.
    """

    photos: int
    answers: int
    tokens: int
    equal_tokens: int
    tied_tokens: int
    distinct_tokens: int
    largest_logit: float
    largest_logit_difference: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures for the export record."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The output of `.generate`: tokens (B, STEPS), int64, and their logits (B, STEPS, vocabulary), float32."""

    tokens: NDArray[np.int64]
    logits: NDArray[np.float32]


def verify(checkpoint: Checkpoint, bundle: Bundle, photos: Sequence[Path]) -> LargeDifference:
    """Let torch and ONNX Runtime answer photos, one at a time and in batches of four different sizes, and compare.

    ONNX Runtime gets the tokens that torch chose and must choose the same one at every step. Two free answers would say
    less, because they can differ for good after one tie. End tokens do not stop an answer here.

    Args:
        checkpoint: The torch model with the exported weights, in single precision.
        bundle: The exported folder.
        photos: Real photos. If there are fewer than four, mirror images fill the batch.

    Raises:
        ModelError: A token differs, or a logit differs by more than the precision explains.
    """
    manifest = bundle.manifest
    assert isinstance(manifest, LargeManifest)
    images = [_load(path, manifest.vision.long_side) for path in photos]
    if not images:
        raise ModelError("no photos to verify the export with", hint="give a folder of photos with --photos")
    images += [ImageOps.mirror(image) for image in islice(cycle(images), max(0, max(BATCHES) - len(images)))]
    network = LargeNetwork(bundle, manifest, Device("cpu"), output="logits")
    composer = LargeComposer(bundle, manifest, network, max(BATCHES))
    answers = tokens = equal = tied = 0
    largest = apart = 0.0
    distinct: set[int] = set()
    for batch in BATCHES:
        for first in range(0, len(images) - batch + 1, batch):
            part = images[first : first + batch]
            expected = _generate(checkpoint, manifest, part)
            found = _logits_along(composer, part, expected.tokens)
            chosen = found.argmax(-1)
            margin = _TOLERANCES[manifest.precision] * float(np.abs(expected.logits).max())
            gap = expected.logits.max(-1) - np.take_along_axis(expected.logits, chosen[..., None], -1)[..., 0]
            answers += batch
            tokens += chosen.size
            equal += int((chosen == expected.tokens).sum())
            tied += int(((chosen != expected.tokens) & (gap <= margin)).sum())
            largest = max(largest, float(np.abs(expected.logits).max()))
            apart = max(apart, float(np.abs(found - expected.logits).max()))
            distinct |= set(expected.tokens.ravel().tolist())
    difference = LargeDifference(len(photos), answers, tokens, equal, tied, len(distinct), largest, apart)
    if manifest.precision is Precision.FP32:
        tied = 0
    if equal + tied != tokens or apart > _TOLERANCES[manifest.precision] * largest:
        raise ModelError(
            f"the export differs from torch: {equal} of {tokens} tokens equal, logits of up to {largest:.3g} "
            f"apart by {apart:.2g}",
            hint="do not use it; report this with the output of `pip freeze`",
        )
    return difference


def _load(path: Path, long_side: int) -> Image.Image:
    with Image.open(path) as image:
        return shrink_to_long_side(ImageOps.exif_transpose(image).convert("RGB"), long_side)


@torch.no_grad()
def _generate(checkpoint: Checkpoint, manifest: LargeManifest, images: Sequence[Image.Image]) -> Reference:
    """Let torch answer, with the checkpoint's own image processor and tokenizer."""
    model, prompt = checkpoint.model, manifest.prompt
    seen = checkpoint.image_processor(images=list(images), return_tensors="pt")
    token = checkpoint.tokenizer.convert_ids_to_tokens(prompt.image_token)
    lengths = (seen["image_grid_thw"].prod(-1) // manifest.vision.merge_size**2).tolist()
    texts = [prompt.prefix + token * length + prompt.suffix for length in lengths]
    # The padding is masked, so any token will do.
    checkpoint.tokenizer.pad_token = checkpoint.tokenizer.pad_token or checkpoint.tokenizer.eos_token
    inputs = checkpoint.tokenizer(
        texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt"
    )
    ids = inputs["input_ids"]
    before = model.generation_config
    model.generation_config = GenerationConfig(pad_token_id=checkpoint.tokenizer.pad_token_id)
    try:
        output = model.generate(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            mm_token_type_ids=(ids == prompt.image_token).int(),
            pixel_values=seen["pixel_values"],
            image_grid_thw=seen["image_grid_thw"],
            max_new_tokens=STEPS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    finally:
        model.generation_config = before
    logits: Any = torch.stack(output.logits, dim=1).float().numpy()
    return Reference(output.sequences[:, ids.shape[1] :].numpy(), logits)


def _logits_along(
    composer: LargeComposer, images: Sequence[Image.Image], tokens: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the runtime's logits (B, STEPS, vocabulary) when it gets the given tokens."""
    photos = [make_patches(image, composer.manifest.vision) for image in images]
    prompts = PromptBatch.from_rows([composer.prompt(photo) for photo in photos])
    logits = [composer.network.start(prompts, composer.network.encode_photos(photos))]
    logits += [composer.network.step(tokens[:, step]) for step in range(tokens.shape[1] - 1)]
    return np.stack(logits, axis=1)
