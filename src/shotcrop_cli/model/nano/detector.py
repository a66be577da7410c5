"""The detector: photos in, scenes and tags out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.nano.decoding import decode
from shotcrop_cli.model.nano.manifest import DETECTOR, DETECTOR_INT8, NanoManifest
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_cli.model.session import CPU, Device, Session, open_session, uses_cpu
from shotcrop_cli.model.tensorrt import Engine, Shapes

INPUT, OUTPUTS = "pixels", ("cells", "tags", "middle", "pooled")
"""Names in the graph: uint8 photos (N, S, S, 3); raw cells (N, cells, channels), logits of the tags (N, tags), a
feature map (N, c, S / 16, S / 16) and features of the whole photo (N, q)."""
CONCEPTS_OUTPUT = "concepts"
"""The output of detectors that recognise concepts: their logits (N, k, c, c) in the cells of a coarse grid. The mean of
all cells is the photo's logit."""
NO_CONCEPTS = np.zeros((0, 1, 1), np.float32)
AT_ONCE_ON_CPU = 4
"""Photos that a CPU sees at once. More are not faster, and take more memory: at 288 pixels and one thread, 1 to 16
photos at once took 30 to 34 ms each."""


@dataclass(frozen=True, eq=False)
class Detection:
    """What the detector saw in a photo.

    Args:
        scene: People and things.
        tags: Logits (tags,) of the manifest's tags.
        concepts: Logits (k, c, c) of the manifest's concepts in the cells of a grid.
    """

    scene: Scene
    tags: Floats
    concepts: Floats = field(default_factory=lambda: NO_CONCEPTS)


class Detector:
    """Runs the detector's graph.

    Args:
        manifest: The model's manifest.
        session: The graph, loaded.
    """

    def __init__(self, manifest: NanoManifest, session: Session) -> None:
        self.manifest, self.session = manifest, session

    @classmethod
    def load(cls, bundle: Bundle, manifest: NanoManifest, device: Device, threads: int | None) -> Detector:
        """Load the graph of a model folder: on a CPU the one in 8-bit integers, if there is one.

        Args:
            bundle: The model folder.
            manifest: Its manifest.
            device: Where to run.
            threads: Threads within an operator; None for one per physical core.
        """
        size = manifest.image_size
        engine = Engine(bundle.sha256, (Shapes.per_photo(INPUT, (size, size, 3)),))
        has_int8 = DETECTOR_INT8 in bundle.hashes
        if not (has_int8 and uses_cpu(device)):
            session = open_session(bundle.path(DETECTOR), device, threads, engine=engine)
            if not (has_int8 and session.provider == CPU):  # `auto` found no GPU that works
                return cls(manifest, session)
        return cls(manifest, open_session(bundle.path(DETECTOR_INT8), Device("cpu"), threads))

    def detect(self, photos: NDArray[np.uint8], aspects: Sequence[float]) -> list[Detection]:
        """Detect people and things.

        Args:
            photos: (N, S, S, 3), squashed RGB, see `preprocess.squash`.
            aspects: Width / height of each photo before it was squashed.
        """
        at_once = len(photos) if self.session.on_cuda else AT_ONCE_ON_CPU
        wanted = [*OUTPUTS, CONCEPTS_OUTPUT] if self.manifest.concepts else list(OUTPUTS)
        with self.session.running():
            parts = [
                self.session.session.run(wanted, {INPUT: photos[start : start + at_once]})
                for start in range(0, len(photos), at_once)
            ]
        one_by_one = chain.from_iterable(zip(*part, strict=True) for part in parts)
        detections = []
        for aspect, (cells, tags, feature_map, photo_features, *rest) in zip(aspects, one_by_one, strict=True):
            one = self.manifest
            scene = decode(cells, feature_map, photo_features, one.image_size, aspect, one.decoding)
            concepts = rest[0] if rest else NO_CONCEPTS
            detections.append(Detection(scene if one.uses_pixels else _without_features(scene), tags, concepts))
        return detections


def _without_features(scene: Scene) -> Scene:
    nothing = np.zeros((len(scene), 0), np.float32)
    return replace(scene, person_features=nothing, photo_features=nothing[:0].reshape(0))
