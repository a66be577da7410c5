"""The detector in 8-bit integers: where it runs, and that its shots are those of the one in single precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shotcrop_cli.errors import ModelError
from shotcrop_cli.geometry import iou
from shotcrop_cli.model.bundle import EXPORT_RECORD, Bundle, read_bundle
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano import detector
from shotcrop_cli.model.nano.detector import Detector
from shotcrop_cli.model.nano.manifest import DETECTOR, DETECTOR_INT8, NanoManifest
from shotcrop_cli.model.session import CPU, CUDA, Device, Session
from shotcrop_cli.shots import Composition

EXAMPLES = Path(__file__).parents[4] / "examples" / "photos"


@pytest.fixture(scope="module")
def in_single_precision(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model without its detector in 8-bit integers."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(find_model().folder, folder)
    record = json.loads((folder / EXPORT_RECORD).read_text("utf-8"))
    del record["sha256"][DETECTOR_INT8]
    (folder / EXPORT_RECORD).write_text(json.dumps(record), "utf-8")
    return read_bundle(folder)


def test_both_detectors_give_nearly_the_same_shots(in_single_precision: Bundle) -> None:
    photos = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.glob("*.jpg"))]
    aspects = [photo.width / photo.height for photo in photos]
    answers = [load_composer(bundle, "cpu").compose(photos, aspects) for bundle in (find_model(), in_single_precision)]
    overlaps = []
    for ours, theirs in zip(*answers, strict=True):
        assert isinstance(ours, Composition)
        assert isinstance(theirs, Composition)
        overlaps += [iou(a.box, b.box) for a, b in zip(ours.shots, theirs.shots, strict=True)]
    assert min(overlaps) > 0.8
    assert 0.9 < float(np.mean(overlaps)) < 1.0  # below 1: two different graphs ran


@pytest.mark.parametrize(
    ("device", "provider", "opened"),
    [
        (Device("cpu"), CPU, [DETECTOR_INT8]),
        (Device("auto"), CPU, [DETECTOR_INT8]),
        (Device("auto", providers=("cpu",)), CPU, [DETECTOR_INT8]),
        (Device("cuda"), CUDA, [DETECTOR]),
        (Device("auto", providers=("openvino",)), "OpenVINOExecutionProvider", [DETECTOR]),
    ],
)
def test_a_cpu_gets_the_detector_in_bytes(
    monkeypatch: pytest.MonkeyPatch, device: Device, provider: str, opened: list[str]
) -> None:
    paths: list[str] = []

    def open_session(path: Path, *_: Any, **__: Any) -> Session:
        paths.append(path.name)
        return Session(None, provider)

    monkeypatch.setattr(detector, "open_session", open_session)
    bundle = find_model()
    assert isinstance(bundle.manifest, NanoManifest)
    Detector.load(bundle, bundle.manifest, device, None)
    assert paths == opened


def test_auto_takes_the_detector_in_bytes_when_the_gpu_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []

    def open_session(path: Path, *_: Any, **__: Any) -> Session:
        paths.append(path.name)
        return Session(None, CPU)

    monkeypatch.setattr(detector, "uses_cpu", lambda device: False)
    monkeypatch.setattr(detector, "open_session", open_session)
    bundle = find_model()
    assert isinstance(bundle.manifest, NanoManifest)
    Detector.load(bundle, bundle.manifest, Device("auto"), None)
    assert paths == [DETECTOR, DETECTOR_INT8]


def test_a_recorded_detector_in_bytes_must_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model().folder, folder)
    (folder / DETECTOR_INT8).unlink()
    with pytest.raises(ModelError, match=r"has no readable detector\.int8\.onnx"):
        read_bundle(folder)
