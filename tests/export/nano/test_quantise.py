from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from large import write_noise
from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.bundle import DECODER, EXPORT_RECORD, VISION
from shotcrop_cli.model.load import load_composer
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, NoSubject, Reasoning, Shot
from shotcrop_export.nano.export import NanoExportOptions, export_nano
from shotcrop_export.nano.quantise import compare
from training import save_tiny_model


def test_a_model_that_sees_in_8_bit_integers_is_verified_before_and_measured_after(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import onnx

    photos = sorted(write_noise(tmp_path / "photos", [(64, 48), (48, 64), (90, 60)]).iterdir())
    bundle, difference = export_nano(
        save_tiny_model(tmp_path / "checkpoint"), tmp_path / "model", photos, NanoExportOptions(int8=True)
    )
    assert difference.equal_tokens == difference.tokens
    record = json.loads((bundle.folder / EXPORT_RECORD).read_text("utf-8"))
    assert record["weights"].startswith("vision: int8")
    assert record["int8_agreement"]["photos"] == 3
    assert 0.95 <= record["int8_agreement"]["mean_iou"] <= 1.0
    operators = {
        name: {node.op_type for node in onnx.load(str(bundle.path(name))).graph.node} for name in (VISION, DECODER)
    }
    assert "QuantizeLinear" in operators[VISION]
    assert not {"QuantizeLinear", "DynamicQuantizeLinear"} & operators[DECODER]  # or answers would depend on the batch
    (answer,) = load_composer(bundle, "cpu").compose([Image.open(photos[0]).convert("RGB").resize((64, 64))], [1.5])
    assert isinstance(answer, (Composition, NoSubject))
    assert not [one for one in caplog.records if one.name == "root"]  # the quantiser prints nothing


def composed(box: Box) -> Composition:
    return Composition(tuple(Shot(kind, box, "") for kind in SHOT_TYPES), Reasoning("", "", ""))


def test_answers_that_move_too_far_are_refused() -> None:
    near, far = composed(Box(0.0, 0.0, 1.0, 1.0)), composed(Box(0.0, 0.0, 1.0, 0.5))
    assert compare([near, NoSubject(0.9)], [near, NoSubject(0.8)]).mean_iou == 1.0
    for after in (far, NoSubject(0.9)):
        with pytest.raises(ModelError, match=r"8-bit integers move the boxes too far: a mean IoU of 0\.[057]"):
            compare([near, near], [near, after])
