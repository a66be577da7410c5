"""The compact model from data to a model folder that crops, with a recipe so small that it learns next to nothing."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from nano_recipes import write_nano_workshop
from shotcrop_cli.commands.train import train_command
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.model.bundle import read_bundle
from shotcrop_cli.model.load import load_composer
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_cli.shots import Composition
from shotcrop_train.composer.nano_checkpoint import find_checkpoint, load_members
from shotcrop_train.composer.torch_nano import load_checkpoint_composer
from shotcrop_train.runs.run_log import read_log

NAMES = ("detector", "sft", "labels", "ssft", "grpo", "export")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nano_workshop(tmp_path_factory.mktemp("nano"))


def _run(workshop: Path) -> Result:
    arguments = ["run", "--config", str(workshop / "pipeline.toml"), "--data", str(workshop / "data"), "--offline"]
    return CliRunner().invoke(train_command, [*arguments, "-o", str(workshop / "runs")], catch_exceptions=False)


def test_one_command_goes_from_data_to_a_verified_model_that_crops_and_repeats_nothing(workshop: Path) -> None:
    first = _run(workshop)
    assert first.exit_code == 0
    results = first.stdout.splitlines()[-len(NAMES) :]
    assert [line.split(":")[0] for line in results] == list(NAMES)
    runs = workshop / "runs"

    bundle = read_bundle(runs / "export" / "model")
    assert isinstance(bundle.manifest, NanoManifest)
    assert bundle.manifest.uses_pixels and len(bundle.manifest.fallback) == 3
    assert {"snow", "dog"} <= {concept.name for concept in bundle.manifest.concepts}
    record = json.loads((bundle.folder / "shotcrop_export.json").read_text("utf-8"))
    assert record["networks"] == 2 and record["figures"]["held_photos"] == 24
    assert record["torch_onnx_difference"]["photos"] == 24
    composer = load_composer(bundle, "cpu")
    photos = [Image.open(one.path) for one in read_dataset(workshop / "data" / "experts")]
    answers = composer.compose(photos, [photo.width / photo.height for photo in photos])
    assert any(isinstance(answer, Composition) for answer in answers)
    checkpoint = find_checkpoint(runs / "grpo")
    assert checkpoint is not None
    unexported = load_checkpoint_composer(checkpoint).compose(photos, [photo.width / photo.height for photo in photos])
    for one, other in zip(answers, unexported, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Composition) and isinstance(other, Composition):
            for shot, same in zip(one.shots, other.shots, strict=True):
                assert tuple(shot.box) == pytest.approx(tuple(same.box), abs=1e-3)

    lines = {name: read_log(runs / name / "log.jsonl") for name in NAMES[:-1]}
    assert all(any("held_iou" in line for line in lines[name]) for name in ("sft", "ssft", "grpo"))
    assert any("acceptance_rate" in line for line in lines["labels"])
    assert any("reward" in line and "kl" in line and "reward_loc" in line for line in lines["grpo"])
    weights = [load_members(runs / name / "final")[0].network.state_dict() for name in ("sft", "ssft", "grpo")]
    moved = [(a["main.weight"] - b["main.weight"]).abs().max() for a, b in pairwise(weights)]
    assert min(moved) > 0

    again = _run(workshop)
    assert again.stdout.splitlines() == results
    assert again.stderr.count("complete, kept") == len(NAMES)
