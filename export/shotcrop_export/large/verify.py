"""`.generate` against ONNX Runtime, on real photos: same patches, same prompts, same tokens."""

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
from shotcrop_cli.model.large.patches import cut
from shotcrop_cli.model.large.positions import PromptBatch
from shotcrop_cli.model.session import Device
from shotcrop_export.large.checkpoint import Checkpoint

BATCHES = (1, 4)
STEPS = 48
"""Tokens of each answer that are compared [O]."""
_TOLERANCES = {Precision.FP32: 1e-4, Precision.FP16: 3e-2, Precision.BF16: 1e-1}
"""Largest difference of a logit that a precision explains, as a share of the largest logit [O]. In half precision tiny
models, taught with one thread or two for 100 to 400 steps, had between 3e-3 and 1.5e-2, and .36 once one norm of theirs
was scaled by 1.05."""


@dataclass(frozen=True)
class LargeDifference:
    """What was compared and how far it lay apart.

    `tied_tokens` counts those where ONNX Runtime chose another token that torch finds as likely, as near as the
    precision can tell; in single precision there are none.
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
    """What `.generate` wrote: tokens (B, STEPS) and their logits (B, STEPS, vocabulary)."""

    tokens: NDArray[np.int64]
    logits: NDArray[np.float32]


def verify(checkpoint: Checkpoint, bundle: Bundle, photos: Sequence[Path]) -> LargeDifference:
    """Let both answer photos, alone and in batches of four sizes mixed, and compare.

    ONNX Runtime is led along the tokens that torch chose and must choose the same at every step, which says more than
    two answers that may part once and for all at a tie. Answers do not end: their ends are tokens like all others.

    Args:
        checkpoint: The torch model with the weights that were exported, in single precision.
        bundle: The exported folder.
        photos: Real photos; with fewer than four, mirror images make up the batch.

    Raises:
        ModelError: A token differs, or a logit differs by more than the precision explains.
    """
    manifest = bundle.manifest
    assert isinstance(manifest, LargeManifest)
    images = [_load(path, manifest.vision.long_side) for path in photos]
    if not images:
        raise ModelError("an export is verified on real photos and none was given", hint="name some with --photos")
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
            found = _follow(composer, part, expected.tokens)
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
            hint="do not use it; report this with the versions in pip freeze",
        )
    return difference


def _load(path: Path, long_side: int) -> Image.Image:
    with Image.open(path) as image:
        return shrink_to_long_side(ImageOps.exif_transpose(image).convert("RGB"), long_side)


@torch.no_grad()
def _generate(checkpoint: Checkpoint, manifest: LargeManifest, images: Sequence[Image.Image]) -> Reference:
    """Let torch answer, by way of the checkpoint's own image processor and tokenizer."""
    model, prompt = checkpoint.model, manifest.prompt
    seen = checkpoint.image_processor(images=list(images), return_tensors="pt")
    token = checkpoint.tokenizer.convert_ids_to_tokens(prompt.image_token)
    lengths = (seen["image_grid_thw"].prod(-1) // manifest.vision.merge_size**2).tolist()
    texts = [prompt.prefix + token * length + prompt.suffix for length in lengths]
    # The padding is masked, so that any token does.
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


def _follow(composer: LargeComposer, images: Sequence[Image.Image], tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the runtime's logits (B, STEPS, vocabulary) where it is led along given tokens."""
    photos = [cut(image, composer.manifest.vision) for image in images]
    prompts = PromptBatch.of([composer.row(photo) for photo in photos])
    logits = [composer.network.start(prompts, composer.network.see(photos))]
    logits += [composer.network.step(tokens[:, step]) for step in range(tokens.shape[1] - 1)]
    return np.stack(logits, axis=1)
