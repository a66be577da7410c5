from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train import sft
from shotcrop_train.composer.nano_recipe import load_nano_recipe
from shotcrop_train.data.contract import TextContract
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, load_recipe
from shotcrop_train.runs.run_log import read_log
from shotcrop_train.ssft import SsftRecipe, photos_per_expert, pseudo_samples, train
from training import write_dataset
from vlm import save_tiny_vlm

RECIPE = SsftRecipe(
    data=DataRecipe(experts=("experts",), empty=("empty",), shares={"expert": 0.9, "empty": 0.1}),
    optimisation=Optimisation(steps=4, batch_size=4, learning_rate=2e-3, warmup_steps=1),
    schedule=Schedule(log_every=1, evaluate_every=4, save_every=2),
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "experts", 24, "experts")
    write_dataset(tmp_path / "data" / "empty", 12, "empty")
    return tmp_path / "data"


@pytest.fixture
def pseudo(tmp_path: Path) -> Path:
    """Write labels of six photos: two with all shots accepted, two with the medium shot alone, two with none."""
    return write_pseudo(tmp_path / "pseudo", [(True, True, True), (False, True, False), (False, False, False)] * 2)


def write_pseudo(folder: Path, accepted: list[tuple[bool, bool, bool]]) -> Path:
    write_dataset(folder, len(accepted), "experts", seed=5)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    for row, flags in zip(rows, accepted, strict=True):
        for shot, flag in zip(SHOT_TYPES, flags, strict=True):
            row["annotation"]["shots"][shot.value]["accepted"] = flag
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "summary.json").write_text("{}", "utf-8")
    return folder


def test_only_photos_with_an_accepted_shot_are_learned_from_and_other_shots_weigh_nothing(pseudo: Path) -> None:
    samples = pseudo_samples(pseudo)
    assert [[shot.weight for shot in sample.shots] for sample in samples] == [[1.0] * 3, [0.0, 1.0, 0.0]] * 2


def test_as_many_accepted_shots_are_drawn_as_experts_shots(pseudo: Path) -> None:
    samples = pseudo_samples(pseudo)
    per_photo = sum(shot.weight for sample in samples for shot in sample.shots) / len(samples)
    assert photos_per_expert(samples) * per_photo == pytest.approx(3.0)


def test_rejected_shots_are_masked_for_models_that_answer_in_words(pseudo: Path) -> None:
    from shotcrop_cli.model.large.answer import CoordSpace

    _, half = pseudo_samples(pseudo)[:2]
    target = TextContract(CoordSpace.PERMILLE, True, lambda size: size).write(half, ["a", "b", "c"], (96, 72))
    assert [weight for _, _, weight in target.spans] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("family", ["qwen3-vl", "qwen2.5-vl"])
def test_a_large_model_learns_from_both_kinds(
    family: str, data: Path, pseudo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A random model answers with 512 tokens, which take longer than the training.
    monkeypatch.setattr(sft, "validate", lambda *_: {})
    start = save_tiny_vlm(tmp_path / "start", family)
    recipe = replace(RECIPE, model=ModelRecipe(max_pixels=0), optimisation=replace(RECIPE.optimisation, steps=6))
    final = train(recipe, data, pseudo, tmp_path / "run", start, offline=True)
    losses = [line["loss"] for line in read_log(tmp_path / "run" / "log.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]
    assert (final / "model.safetensors").is_file()
    run = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert run["stage"] == "ssft"
    assert str(pseudo) in run["datasets"]


def test_a_run_with_other_pseudo_labels_in_the_same_folder_is_refused(
    data: Path, pseudo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "validate", lambda *_: {})
    start = save_tiny_vlm(tmp_path / "start")
    recipe = replace(RECIPE, model=ModelRecipe(max_pixels=0), optimisation=replace(RECIPE.optimisation, steps=1))
    train(recipe, data, pseudo, tmp_path / "run", start)
    other = write_pseudo(tmp_path / "other", [(True, False, False)])
    with pytest.raises(ShotcropError, match="differs in"):
        train(recipe, data, other, tmp_path / "run", start)


def test_labels_that_are_not_complete_are_refused(pseudo: Path) -> None:
    (pseudo / "summary.json").unlink()
    with pytest.raises(ShotcropError, match="no complete pseudo labels"):
        pseudo_samples(pseudo)


def test_labels_without_an_accepted_shot_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match=r"no shot of .* was accepted"):
        pseudo_samples(write_pseudo(tmp_path / "none", [(False, False, False)]))


@pytest.mark.parametrize(
    "values", [{"ratio": 0.0}, {"data": DataRecipe(experts=("experts",), shares={"proposal": 1.0})}]
)
def test_a_recipe_without_a_ratio_or_experts_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(RECIPE, **values)


def test_shipped_recipes_mix_one_accepted_shot_to_one_of_an_expert() -> None:
    assert load_recipe("qwen3-vl-ssft", SsftRecipe).ratio == load_nano_recipe("nano").ssft.ratio == 1.0
