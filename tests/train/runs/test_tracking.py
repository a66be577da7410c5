"""Experiment trackers: a stand-in with Trackio's interface, behind transformers' own callback."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers.integrations import integration_utils
from trl.extras import profiling
from trl.trainer import grpo_trainer

import vlm
from shotcrop_cli.errors import ShotcropError
from shotcrop_train import grpo, sft
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe, Tracking
from shotcrop_train.rewards.photo_pool import GrpoData
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.runs.tracking import tracking_settings
from training import NO_AUGMENTATION, vary_experts, write_dataset

TRACKIO = Tracking(to=("trackio",), name="first try", project="crops")
RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), shares={"expert": 1.0}),
    optimisation=Optimisation(steps=2, batch_size=2, learning_rate=1e-3, warmup_steps=0),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=1, save_every=9),
    model=ModelRecipe(max_pixels=0, lora_rank=4),
    tracking=TRACKIO,
)


class Settings(dict):  # type: ignore[type-arg]
    def update(self, values: Any, allow_val_change: bool = False) -> None:
        super().update(values)


@dataclass
class Trackio:
    """Stands for the package `trackio`: what transformers' callback calls."""

    __version__ = "0.43.0"
    __spec__ = ModuleSpec("trackio", None)
    started: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    ended: int = 0
    config: Settings = field(default_factory=Settings)

    @property
    def context_vars(self) -> Any:
        none = SimpleNamespace(get=lambda: None)
        return SimpleNamespace(current_space_id=none, current_project=none, current_run=none)

    def init(self, **settings: Any) -> None:
        self.started.append(settings)

    def log(self, figures: dict[str, Any], step: int | None = None) -> None:
        if step is None:  # trl logs its own timings, with the step
            self.lines.append(figures)

    def finish(self) -> None:
        self.ended += 1


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> Trackio:
    made = Trackio()
    monkeypatch.setitem(sys.modules, "trackio", made)  # type: ignore[arg-type]
    monkeypatch.setattr(integration_utils, "is_trackio_available", lambda: True)
    monkeypatch.setattr(profiling, "trackio", made, raising=False)
    monkeypatch.setattr(grpo_trainer, "trackio", made, raising=False)
    monkeypatch.setenv("WANDB_PROJECT", "kept")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "experts", 24, "experts")
    vary_experts(root / "experts")
    vlm.save_tiny_vlm(root / "start")
    return root


def check(trackio: Trackio, run: Path, figure: str) -> None:
    """Check that the tracker has the figures of the log, and those of the held-back photos at their steps."""
    assert [(one["project"], one["name"]) for one in trackio.started] == [("crops", "first try")]
    assert trackio.ended == 1
    held = [(one["train/global_step"], one["eval/held_iou"]) for one in trackio.lines if "eval/held_iou" in one]
    assert held == [(1, 0.25), (2, 0.75)]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["held_iou"] for line in log if "held_iou" in line] == [0.25, 0.75]
    ours = [line[figure] for line in log if figure in line]
    assert [one[f"train/{figure}"] for one in trackio.lines if f"train/{figure}" in one] == ours
    assert len(ours) == 2
    assert (run / "best").is_dir()


def test_stage_1_reports_its_figures_and_those_of_held_back_photos(
    data: Path, tmp_path: Path, trackio: Trackio, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = iter([{"held_iou": 0.25}, {"held_iou": 0.75}])
    monkeypatch.setattr(sft, "validate", lambda *_: next(held))
    sft.train(RECIPE, data, tmp_path / "run", data / "start")
    check(trackio, tmp_path / "run", "loss")


def test_stage_3_does_the_same_and_keeps_its_best_model(
    data: Path, tmp_path: Path, trackio: Trackio, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = iter([{"held_iou": 0.25}, {"held_iou": 0.75}])
    monkeypatch.setattr(grpo, "validate", lambda *_: next(held))
    monkeypatch.setattr(grpo, "draw_curves", lambda *_: None)
    recipe = grpo.GrpoRecipe(
        GrpoData(("experts",)),
        model=RECIPE.model,
        reward=RewardRecipe(preset="cinema", aesthetic="composition", captions="words"),
        optimisation=grpo.Policy(steps=2, photos=1, group=2, batch_size=2, max_tokens=4),
        schedule=RECIPE.schedule,
        tracking=TRACKIO,
    )
    grpo.train(recipe, data, tmp_path / "run", data / "start")
    check(trackio, tmp_path / "run", "format_rate")


def test_a_run_is_named_after_its_folder_and_reports_nowhere_by_default(tmp_path: Path) -> None:
    assert tracking_settings(Tracking(), tmp_path / "rate-1e-5") == {"report_to": [], "run_name": "rate-1e-5"}


def test_the_project_is_that_of_each_tracker_unless_the_environment_names_one(
    tmp_path: Path, trackio: Trackio, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"WANDB_PROJECT": "kept"}
    monkeypatch.setattr("shotcrop_train.runs.tracking.os.environ", environ)
    assert tracking_settings(TRACKIO, tmp_path)["project"] == "crops"
    assert environ == {"WANDB_PROJECT": "kept", "MLFLOW_EXPERIMENT_NAME": "crops"}


def test_unknown_and_absent_trackers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShotcropError, match="no tracker 'wandbb'") as caught:
        tracking_settings(Tracking(to=("wandbb",)), tmp_path)
    assert caught.value.hint == "did you mean 'wandb'?"
    monkeypatch.setattr(integration_utils, "is_mlflow_available", lambda: False)
    with pytest.raises(ShotcropError, match="mlflow needs the package mlflow") as caught:
        tracking_settings(Tracking(to=("mlflow",)), tmp_path)
    assert "install mlflow" in (caught.value.hint or "")


def test_a_run_may_continue_with_other_trackers(tmp_path: Path, data: Path) -> None:
    for recipe in (RECIPE, replace(RECIPE, tracking=Tracking())):
        provenance.record(tmp_path / "run", stage="sft", recipe=recipe, datasets=[data / "experts"])
    assert len((provenance.read(tmp_path / "run") or {})["parts"]) == 2
