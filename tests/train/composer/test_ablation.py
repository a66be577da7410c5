"""The ablation of the compact model: variants, cross-validation and table, on drawn photos."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.quality import ablation
from nano_recipes import write_nano_workshop
from shotcrop_train.composer import composer_sft
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.train_detector import save_detector


def test_variants_are_cross_validated_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nano_workshop(tmp_path)
    torch.manual_seed(0)
    save_detector(DetectorNetwork(width=8), tmp_path / "detector")
    arguments = [str(tmp_path / "data"), "--detector", str(tmp_path / "detector"), "--work", str(tmp_path / "work")]
    arguments += ["--config", str(tmp_path / "recipe.toml"), "--seeds", "1", "--folds", "2", "--triples", "15"]
    arguments += ["--variants", "teachers", "grpo-paper"]
    ablation.main(arguments)
    first = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in first.splitlines()]
    assert [row[0] for row in rows[2:]] == [
        "teachers' detections, geometry only",
        "+ GRPO-S, reward `paper`",
        "stage 1 with 15 triples",
    ]
    assert [row[1] for row in rows[2:]] == ["24", "24", "24"]  # every photo is held out once
    assert all(0 < float(cell) < 1 for row in rows[2:] for cell in row[2:7])
    assert len({row[3] for row in rows[2:]}) > 1
    monkeypatch.setattr(composer_sft, "fit", None)
    ablation.main(arguments)
    assert capsys.readouterr().out == first
