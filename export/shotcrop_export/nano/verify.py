"""Compare the exported graphs with torch on real photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from shotcrop_cli.errors import ModelError
from shotcrop_cli.geometry import iou
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.load import load_composer
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.detector import INPUT, OUTPUTS
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.shots import Composition
from shotcrop_train.composer.held_out import TorchTransformer
from shotcrop_train.data.samples import load_photo
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.detector_network import DetectorNetwork

AT_ONCE = 4
LARGEST_RAW, LARGEST_BOX = 5e-3, 2e-3
"""Largest difference of the detector's raw output, in logits and strides, and of a box's side, as a share of the
photo's."""
LEAST_AGREEMENT = 0.9
"""Least mean IoU between the shots with the detector in 8-bit integers and those in single precision."""


@dataclass(frozen=True)
class Difference:
    """How much the graphs differ from torch.

    Args:
        photos: Photos that were compared.
        triples: Those that got a triple.
        largest_raw_difference: Of the detector's raw output.
        largest_box_difference: Of the sides of the boxes before the refinement.
        int8_agreement: Mean IoU of the final shots with those of the detector in 8-bit integers; 0 where not measured.
    """

    photos: int
    triples: int
    largest_raw_difference: float
    largest_box_difference: float
    int8_agreement: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Return the values for the export record."""
        return asdict(self)


def verify(
    detector: DetectorNetwork, networks: Sequence[ComposerNetwork], bundle: Bundle, photos: Sequence[Path]
) -> Difference:
    """Run the exported model and torch on photos.

    Raises:
        ModelError: They differ, or there are no photos.
    """
    if not photos:
        raise ModelError("an export needs photos to be verified on", hint="name a folder that holds some")
    composer = load_composer(bundle, "cpu")
    assert isinstance(composer, NanoComposer)
    graph, transformer = composer.detector.session.session, TorchTransformer(networks)
    raw, box, triples = 0.0, 0.0, 0
    for first, last in pairwise([0, *range(1, len(photos), AT_ONCE), len(photos)]):  # one alone, then several at once
        seen = [load_photo(path) for path in photos[first:last]]
        aspects = [photo.width / photo.height for photo in seen]
        pixels = np.stack([np.asarray(squash(photo, composer.manifest.image_size)) for photo in seen])
        with torch.no_grad():
            expected = detector((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128)
        for ours, theirs in zip(graph.run(list(OUTPUTS), {INPUT: pixels}), expected, strict=True):
            raw = max(raw, float(np.abs(ours - theirs.numpy()).max()))
        scenes = [one.scene for one in composer.detector.detect(pixels, aspects)]
        for ours, theirs in zip(composer.network.propose(scenes), transformer.propose(scenes), strict=True):
            if ours is not None and theirs is not None:
                box = max(box, float(np.abs(ours.boxes - theirs.boxes).max()))
        triples += sum(isinstance(answer, Composition) for answer in composer.compose(seen, aspects))
    if raw > LARGEST_RAW or box > LARGEST_BOX:
        raise ModelError(
            f"the graphs differ from torch: raw output by {raw:.1e}, boxes by {box:.1e}",
            hint="export with another version of torch",
        )
    return Difference(len(photos), triples, raw, box)


def agreement_of(one: Bundle, other: Bundle, photos: Sequence[Path]) -> float:
    """Return the mean IoU of the shots of two models on a CPU; a photo that only one calls empty counts as 0."""
    composers = [load_composer(bundle, "cpu") for bundle in (one, other)]
    values = []
    for first in range(0, len(photos), AT_ONCE):
        seen = [load_photo(path) for path in photos[first : first + AT_ONCE]]
        aspects = [photo.width / photo.height for photo in seen]
        for ours, theirs in zip(*(composer.compose(seen, aspects) for composer in composers), strict=True):
            if isinstance(ours, Composition) and isinstance(theirs, Composition):
                overlaps = [iou(a.box, b.box) for a, b in zip(ours.shots, theirs.shots, strict=True)]
                values.append(float(np.mean(overlaps)))
            else:
                values.append(float(type(ours) is type(theirs)))
    return float(np.mean(values))
