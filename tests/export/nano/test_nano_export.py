"""The export of the compact model: a verified model folder from a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import hub_stand_in
from figures import manifest
from hub_stand_in import commit_of
from shotcrop_cli.commands.export_onnx import export_onnx_command
from shotcrop_cli.errors import ModelError, OutputError, ShotcropError
from shotcrop_cli.main import cli
from shotcrop_cli.model.bundle import EXPORT_RECORD, read_bundle
from shotcrop_cli.model.nano.manifest import COMPOSER, DETECTOR, DETECTOR_INT8, DecodingLimits
from shotcrop_export.nano import export, verify
from shotcrop_export.nano.export import export_nano
from shotcrop_train.composer.nano_checkpoint import MEMBER, Member, save_member, write_checkpoint
from shotcrop_train.nano.composer_network import ComposerNetwork, ComposerOptions
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.nano.folds import NO_FOLD
from shotcrop_train.runs import provenance
from shotcrop_train.runs.model_repository import write_repository
from shotcrop_train.train_detector import save_detector

EVERYTHING = DecodingLimits(score=(0.0, 0.0, 0.5, 0.5, 0.5), lonely=0.0, most=3)
"""An untrained detector is sure of nothing, so let everything pass."""


def write_run(folder: Path) -> Path:
    """Write a run of a stage whose networks are random."""
    torch.manual_seed(0)
    save_detector(DetectorNetwork(width=8), folder / "detector")
    final = folder / "final"
    final.mkdir()
    for number in range(2):
        network = ComposerNetwork(ComposerOptions(features=130, width=32, layers=1))
        torch.nn.init.normal_(network.boxes[-1].weight)
        network.usual[:] = torch.tensor([[0.0, 0.0, 1.0, 1.0], [-2.0, -1.0, 2.0, 4.0], [-1.0, -1.0, 1.0, 2.0]])
        save_member(Member(network, NO_FOLD), final / MEMBER.format(number))
    write_checkpoint(final, folder / "detector", manifest(name="shotcrop-nano", decoding=EVERYTHING))
    lines = [{"step": 0, "network": 0, "held_iou": 0.1}, {"time": "t", "step": 0, "held_iou": 0.75}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(6):
        noise = rng.integers(0, 255, (48 + 4 * index, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("export") / "model"
    arguments = [str(run), str(target), "--photos", str(photos)]
    result = CliRunner().invoke(export_onnx_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "boxes of 6 photos differ by at most" in " ".join(result.stdout.split())
    return target


@pytest.mark.slow
def test_a_checkpoint_of_the_hub_is_exported_and_crops(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    provenance.record(tmp_path / "run", stage="sft", recipe={}, datasets=[])
    provenance.finish(tmp_path / "run", tmp_path / "run" / "final")
    write_repository(tmp_path / "run", "org/nano", tmp_path / "repo")
    model = tmp_path / "model"
    with hub_stand_in.running() as hub:
        hub.add("models/org/nano", tmp_path / "repo")
        hub.use(tmp_path / "home", monkeypatch)
        command = ["export-onnx", "org/nano", str(model), "--photos", str(photos)]
        assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    assert {path.name for path in (tmp_path / "home" / "models--org--nano" / "snapshots").iterdir()} == {
        commit_of("models/org/nano", 0)
    }
    command = ["crop", str(photos), "-o", str(tmp_path / "shots"), "--model", str(model), "--device", "cpu"]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    assert len(list((tmp_path / "shots").glob("*.json"))) == 6


def test_an_export_is_verified_and_says_what_it_measured(exported: Path) -> None:
    record = json.loads((exported / EXPORT_RECORD).read_text("utf-8"))
    assert record["figures"] == {"held_iou": 0.75}
    assert record["networks"] == 2
    difference = record["torch_onnx_difference"]
    assert difference["photos"] == 6
    assert 0 < difference["largest_raw_difference"] < verify.LARGEST_RAW
    assert 0 < difference["largest_box_difference"] < verify.LARGEST_BOX
    assert 0 < difference["int8_agreement"] <= 1
    assert read_bundle(exported).manifest.name == "shotcrop-nano"


def test_the_detectors_weights_are_stored_in_half_the_space(exported: Path) -> None:
    graph = onnx.load(str(exported / DETECTOR)).graph
    large = [one for one in graph.initializer if np.prod(one.dims) >= 4096]
    assert large
    assert {one.data_type for one in large} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize(("least", "kept"), [(0.0, True), (1.1, False)])
def test_a_detector_in_bytes_is_kept_only_if_it_agrees(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float, kept: bool
) -> None:
    monkeypatch.setattr(export, "LEAST_AGREEMENT", least)
    bundle, _ = export_nano(run, tmp_path / "model", sorted(photos.iterdir()), verified=1)
    assert (DETECTOR_INT8 in bundle.hashes) is kept
    assert (tmp_path / "model" / DETECTOR_INT8).exists() is kept
    if kept:
        graph = onnx.load(str(tmp_path / "model" / DETECTOR_INT8)).graph
        assert {node.op_type for node in graph.node} >= {"QuantizeLinear", "DequantizeLinear"}


def test_an_export_contains_no_path_of_this_machine(exported: Path) -> None:
    for path in exported.iterdir():
        assert b"site-packages" not in path.read_bytes()


def test_a_model_that_answers_otherwise_is_not_exported(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export.export_composer

    def moved(networks: list[ComposerNetwork], target: Path) -> None:
        real(networks, target)
        networks[0].usual += 0.1

    monkeypatch.setattr(export, "export_composer", moved)
    with pytest.raises(ModelError, match="the graphs differ from torch"):
        export_nano(run, tmp_path / "model", sorted(photos.iterdir())[:1])
    assert not (tmp_path / "model").exists()


def test_other_folders_are_neither_exported_nor_replaced(run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError, match="is not a model folder"):
        export_nano(run, tmp_path / "mine", sorted(photos.iterdir()))
    with pytest.raises(ShotcropError, match="holds no compact model"):
        export_nano(photos, tmp_path / "model", sorted(photos.iterdir()))
    with pytest.raises(ModelError, match="needs photos"):
        export_nano(run, tmp_path / "model", [])


@pytest.mark.parametrize(
    ("flags", "name"),
    [(["--precision", "fp16"], "precision"), (["--no-think"], "think"), (["--decoder", "gqa"], "decoder")],
)
def test_options_of_large_models_are_refused(
    run: Path, photos: Path, tmp_path: Path, flags: list[str], name: str
) -> None:
    arguments = [str(run), str(tmp_path / "model"), "--photos", str(photos), *flags]
    result = CliRunner().invoke(export_onnx_command, arguments)
    assert isinstance(result.exception, ShotcropError)
    assert f"--{name} is only for large models" in str(result.exception)


def test_a_damaged_or_incomplete_model_is_refused_and_the_file_named(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(exported, copy)
    (copy / COMPOSER).write_bytes((copy / COMPOSER).read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"composer\.onnx is altered or damaged"):
        read_bundle(copy)
    (copy / DETECTOR).unlink()
    with pytest.raises(ModelError, match=r"detector\.onnx"):
        read_bundle(copy)
