from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from shotcrop_cli.errors import ShotcropError
from shotcrop_train import sft
from shotcrop_train.checkpoint_folders import UNFINISHED, last_checkpoint
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe
from shotcrop_train.weighted_trainer import WeightedTrainer
from training import NO_AUGMENTATION, write_dataset
from vlm import save_tiny_vlm

RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), shares={"expert": 1.0}),
    optimisation=Optimisation(steps=3, batch_size=2, learning_rate=1e-3, warmup_steps=1),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=9, save_every=1),
    model=ModelRecipe(max_pixels=0, lora_rank=4),
)


class Killed(BaseException):
    pass


def torn(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two checkpoints, next to its data and its start."""
    root = tmp_path_factory.mktemp("run")
    write_dataset(root / "data" / "experts", 8, "experts")
    start = save_tiny_vlm(root / "start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "validate", lambda *_: {})
        sft.train(RECIPE, root / "data", root / "run", start)
    return root / "run"


def again(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sft, "validate", lambda *_: {})
    return sft.train(RECIPE, run.parent / "data", folder, run.parent / "start")


def test_a_run_keeps_the_last_two_checkpoints_and_nothing_unfinished(run: Path) -> None:
    assert sorted(one.name for one in run.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]
    assert not (run / UNFINISHED).exists()


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "no state": lambda folder: (folder / "trainer_state.json").unlink(),
    "half a state": lambda folder: torn(folder / "trainer_state.json"),
    "half the weights": lambda folder: torn(next(folder.glob("*.safetensors"))),
    "no weights": lambda folder: next(folder.glob("*.safetensors")).unlink(),
    "half an optimizer": lambda folder: torn(folder / "optimizer.pt"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(
    run: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    DAMAGE[damage](copy / "checkpoint-3")
    assert last_checkpoint(copy) == str(copy / "checkpoint-2")
    said = capsys.readouterr().err
    assert "checkpoint-3 is damaged" in said
    assert "continues from checkpoint-2" in said


def test_a_run_with_a_torn_newest_checkpoint_ends_like_one_without(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "checkpoint-3" / "trainer_state.json").unlink()
    shutil.rmtree(copy / "final")
    final = again(run, copy, monkeypatch)
    whole, resumed = load_file(run / "final" / "model.safetensors"), load_file(final / "model.safetensors")
    assert all(whole[name].equal(resumed[name]) for name in whole)
    assert last_checkpoint(copy) == str(copy / "checkpoint-3")


def test_a_run_without_a_whole_checkpoint_says_what_to_delete(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    for folder in copy.glob("checkpoint-*"):
        torn(folder / "trainer_state.json")
    with pytest.raises(ShotcropError, match="all checkpoints"):
        last_checkpoint(copy)
    assert last_checkpoint(run.parent) is None


def test_a_run_killed_while_writing_leaves_no_half_checkpoint_under_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Any, folder: str) -> None:
        if self.state.global_step == 2:
            raise Killed
        saves(self, folder)

    saves = WeightedTrainer._save_rng_state
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(WeightedTrainer, "_save_rng_state", killed)
        again(run, tmp_path / "run", patch)
    assert [one.name for one in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-1"]
    assert (tmp_path / "run" / UNFINISHED).is_dir()
    again(run, tmp_path / "run", monkeypatch)
    assert not (tmp_path / "run" / UNFINISHED).exists()
