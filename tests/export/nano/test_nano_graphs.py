"""The exported graphs of the second design answer what the trained networks answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from figures import Figure, manifest, scene_of
from shotcrop_cli.model.nano.candidates import list_candidates
from shotcrop_cli.model.nano.composer import input_shapes, stack
from shotcrop_export.nano.graphs import COMPOSER_OUTPUTS, export_composer, export_detector
from shotcrop_train.nano.composer_network import ComposerEnsemble, ComposerNetwork, ComposerOptions
from shotcrop_train.nano.detector_network import DetectorNetwork

SIDE = 64


def open_graph(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_the_detectors_graph_is_the_network_for_any_number_of_photos(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DetectorNetwork(width=8).eval()
    export_detector(network, tmp_path / "detector.onnx", SIDE)
    session = open_graph(tmp_path / "detector.onnx")
    for count in (1, 3):
        photos = np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
        with torch.no_grad():
            expected = network((torch.from_numpy(photos).permute(0, 3, 1, 2).float() - 127) / 128)
        answer = session.run(["cells", "tags", "middle", "pooled"], {"pixels": photos})
        for ours, theirs in zip(answer, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-4)


@pytest.mark.parametrize(("person", "photo"), [(0, 0), (6, 5)])
def test_the_composers_graph_is_the_ensemble(tmp_path: Path, person: int, photo: int) -> None:
    torch.manual_seed(0)
    options = ComposerOptions(features=130, person_features=person, photo_features=photo, width=16, layers=1)
    networks = [ComposerNetwork(options).eval() for _ in range(2)]
    for network in networks:
        torch.nn.init.normal_(network.boxes[-1].weight)
        network.half().float()  # the graph stores weights in half precision
    export_composer(networks, tmp_path / "composer.onnx")
    session = open_graph(tmp_path / "composer.onnx")
    wanted = input_shapes(manifest(person_features=person, photo_features=photo))
    assert {one.name: tuple(one.shape[1:]) for one in session.get_inputs()} == wanted
    views = [
        list_candidates(scene_of(Figure(0.3, 0.2, 0.1), Figure(0.7, 0.2, 0.1))),
        list_candidates(scene_of(Figure(0.5, 0.1, 0.2))),
    ]
    for count in (1, 2):
        feed = stack([view for view in views[:count] if view is not None])
        rng = np.random.default_rng(count)
        feed |= {
            "pixels": rng.normal(size=(count, 14, person)).astype(np.float32),
            "photo": rng.normal(size=(count, photo)).astype(np.float32),
        }
        with torch.no_grad():
            expected = ComposerEnsemble(networks)(**{name: torch.from_numpy(value) for name, value in feed.items()})
        answer = session.run(list(COMPOSER_OUTPUTS), {name: feed[name] for name in wanted})
        for ours, theirs in zip(answer, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
