"""A checkpoint of the compact model as a `Composer`: the run time's own code on networks of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.detector import INPUT, Detector
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_train.composer.held_out import TorchTransformer
from shotcrop_train.composer.nano_checkpoint import load_members, networks_of, read_manifest
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.train_detector import load_detector


class TorchDetector:
    """Runs a detector as ONNX Runtime runs its graph."""

    provider, on_cuda = "torch:cpu", False

    def __init__(self, network: DetectorNetwork) -> None:
        self.network, self.session = network, self

    def running(self) -> nullcontext[None]:
        """Return a context without effect."""
        return nullcontext()

    @torch.no_grad()
    def run(self, _names: Sequence[str], feed: Mapping[str, Any]) -> list[Floats]:
        """Return what `DetectorNetwork` returns for photos (N, S, S, 3) of bytes."""
        photos = torch.tensor(feed[INPUT]).permute(0, 3, 1, 2).float()
        return [one.numpy() for one in self.network((photos - 127) / 128)]


def load_checkpoint_composer(checkpoint: Path) -> NanoComposer:
    """Load a checkpoint of a stage of the composer.

    Args:
        checkpoint: Its folder; see `nano_checkpoint.find_checkpoint`.

    Raises:
        ShotcropError: It is not complete.
    """
    manifest = read_manifest(checkpoint)
    session: Any = TorchDetector(load_detector(checkpoint))
    no_bundle: Any = SimpleNamespace(sha256="")
    network = TorchTransformer(networks_of(load_members(checkpoint)))
    return NanoComposer(no_bundle, manifest, Detector(manifest, session), network)
