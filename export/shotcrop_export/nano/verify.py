"""Torch against ONNX Runtime, on real photos: same logits, same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.bundle import Bundle, Manifest
from shotcrop_cli.model.nano.generate import Floats, Ids, Network
from shotcrop_cli.model.nano.grammar import aspect_token, prompt
from shotcrop_cli.model.nano.network import OnnxNetwork
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_cli.model.session import Device
from shotcrop_train.nano import NanoForConditionalGeneration, NanoProcessor
from shotcrop_train.nano.torch_network import TorchNetwork, decoder_of

BATCHES = (1, 4)
TOLERANCE = 2e-3
"""Largest difference of a logit that single precision explains; logits reach 23 on 64 training photos [O]."""


@dataclass(frozen=True)
class Difference:
    """What was compared and how far it lay apart."""

    photos: int
    answers: int
    tokens: int
    equal_tokens: int
    largest_logit_difference: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures for the export record."""
        return asdict(self)


class Recorder:
    """Passes a network through and keeps its logits.

    Args:
        network: The network.
        wide: Whether it is to take several tokens a step; two that are compared must step alike.
    """

    def __init__(self, network: Network, wide: bool) -> None:
        self.network, self.wide = network, wide
        self.logits: list[Floats] = []

    def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
        """Record the prompt's logits."""
        logits, spots = self.network.start(pixels, prompt)
        self.logits = [logits]
        return logits, spots

    def step(self, tokens: Ids) -> Floats:
        """Record a step's logits."""
        self.logits.append(self.network.step(tokens))
        return self.logits[-1]


def verify(
    model: NanoForConditionalGeneration, processor: NanoProcessor, bundle: Bundle, photos: Sequence[Path]
) -> Difference:
    """Decode photos with both, alone and in batches of four, and compare.

    Args:
        model: The torch model with the weights that were exported.
        processor: Its processor.
        bundle: The exported folder.
        photos: Real photos; with fewer than four, mirror images make up the batch.

    Raises:
        ModelError: A token differs, or a logit differs by more than `TOLERANCE`.
    """
    images = [upright(path) for path in photos]
    if not images:
        raise ModelError("an export is verified on real photos and none was given", hint="name some with --photos")
    images += [ImageOps.mirror(image) for image in islice(cycle(images), max(0, max(BATCHES) - len(images)))]
    manifest = bundle.manifest
    assert isinstance(manifest, Manifest)
    size = manifest.image_size
    pixels = pixel_values(np.stack([np.asarray(squash(image, size)) for image in images]))
    prompts = [prompt(manifest.image_tokens, aspect_token(one.width / one.height)) for one in images]
    ids = np.array(processor.tokenizer(prompts)["input_ids"], dtype=np.int64)
    network = OnnxNetwork(bundle, Device("cpu"))
    torch_network, onnx_network = (Recorder(one, network.wide) for one in (TorchNetwork(model), network))
    answers = tokens = equal = 0
    largest = 0.0
    decoder = decoder_of(processor.tokenizer, model.config)
    for batch in BATCHES:
        for first in range(0, len(images) - batch + 1, batch):
            part = slice(first, first + batch)
            expected = decoder.decode(torch_network, pixels[part], ids[part])
            found = decoder.decode(onnx_network, pixels[part], ids[part])
            for one, other in zip(expected, found, strict=True):
                answers += 1
                tokens += len(one.tokens)
                equal += sum(a == b for a, b in zip(one.tokens, other.tokens, strict=False))
            for one_step, other_step in zip(torch_network.logits, onnx_network.logits, strict=False):
                largest = max(largest, float(np.abs(one_step - other_step).max()))
    difference = Difference(len(photos), answers, tokens, equal, largest)
    if equal != tokens or largest > TOLERANCE:
        raise ModelError(
            f"the export differs from torch: {equal} of {tokens} tokens equal, logits apart by {largest:.2g}",
            hint="do not use it; report this with the versions in pip freeze",
        )
    return difference


def upright(path: Path) -> Image.Image:
    """Load a photo, turned as it was taken, mode RGB."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")
