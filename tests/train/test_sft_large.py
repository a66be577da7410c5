from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText
from trl import SFTConfig

import vlm
from shards import write_tars
from shotcrop_cli.errors import AnswerError, ShotcropError
from shotcrop_cli.evaluation.bootstrap import MEASURES
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_train import sft
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data.mixture import Mixture
from shotcrop_train.data.samples import Sample, held_back
from shotcrop_train.data.text_collator import TextCollator
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe, load_recipe
from shotcrop_train.runs.validation import validate
from shotcrop_train.text_base import load_text_base
from shotcrop_train.weighted_trainer import WeightedTrainer
from training import NO_AUGMENTATION, write_dataset
from training_page import documented

RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), empty=("empty",), shares={"expert": 0.8, "empty": 0.2}),
    optimisation=Optimisation(steps=4, batch_size=4, learning_rate=8e-3, warmup_steps=1),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=4, save_every=4),
    model=ModelRecipe(max_pixels=0),
)
LORA = replace(RECIPE, model=ModelRecipe(max_pixels=0, lora_rank=8))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for kind, photos in (("experts", 24), ("empty", 12)):
        write_dataset(folder / kind, photos, kind)
    return folder


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("starts")
    return {family: vlm.save_tiny_vlm(root / family, family) for family in vlm.FAMILIES}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_base(folder).model.state_dict())


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in log_of(run) if "loss" in line]


def quick(monkeypatch: pytest.MonkeyPatch, *figures: float) -> None:
    """Have evaluation give these figures, without composing anything, and end the run behind the last of them."""
    given = iter(figures)

    def validate(*_: object) -> dict[str, float]:
        return {"held_iou": next(given)}

    monkeypatch.setattr(sft, "validate", validate)


@pytest.mark.parametrize("family", vlm.FAMILIES)
def test_full_training_lowers_the_loss_and_leaves_the_vision_tower_as_it_was(
    data: Path, starts: dict[str, Path], tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch, 0.2)
    final = sft.train(RECIPE, data, tmp_path / "run", starts[family])
    found = losses(tmp_path / "run")
    assert found[-1] < found[0] - 0.3
    before, after = weights(starts[family]), weights(final)
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]) == ("visual" in name), name


def test_evaluation_writes_the_methods_metrics_and_keeps_the_best_model(
    data: Path, starts: dict[str, Path], tmp_path: Path
) -> None:
    recipe = replace(LORA, schedule=Schedule(log_every=1, evaluate_every=2, save_every=4))
    recipe = replace(recipe, optimisation=replace(RECIPE.optimisation, steps=2))
    final = sft.train(recipe, data, tmp_path / "run", starts["qwen3-vl"])
    (line,) = (line for line in log_of(tmp_path / "run") if "held_iou" in line)
    names = {name.removeprefix("held_") for name in line if name.startswith("held_")}
    measured = {measure.name for measure in MEASURES}
    assert {"iou", "acc@0.5", "acc@0.85", "complete", "triple_hit", "no_subject_recall"} <= names & measured
    assert {*documented("figure", stage=1)} <= {name for line in log_of(tmp_path / "run") for name in line}
    best = load_base(tmp_path / "run" / "best").model.state_dict()
    assert all(torch.equal(best[name], value) for name, value in weights(final).items())
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_lora_run_continues_and_ends_exactly_like_one_without_interruption(
    data: Path, starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(LORA, schedule=Schedule(log_every=1, evaluate_every=3, save_every=2))
    quick(monkeypatch, 0.1, 0.3)
    whole = weights(sft.train(recipe, data, tmp_path / "whole", starts["qwen3-vl"]))
    quick(monkeypatch)
    with pytest.raises(StopIteration):
        sft.train(recipe, data, tmp_path / "interrupted", starts["qwen3-vl"])
    assert (tmp_path / "interrupted" / "checkpoint-2").is_dir()
    quick(monkeypatch, 0.1, 0.3)
    resumed = weights(sft.train(recipe, data, tmp_path / "interrupted", starts["qwen3-vl"]))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    assert losses(tmp_path / "whole")[2:] == losses(tmp_path / "interrupted")[-2:]


def test_an_interrupted_streamed_run_ends_exactly_like_one_without_interruption(
    data: Path, starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for kind in ("experts", "empty"):
        write_tars(data / kind, str(tmp_path / "data" / f"{kind}-{{}}.tar"), 3)
    recipe = replace(
        LORA,
        data=replace(RECIPE.data, streaming=True, buffer=4),
        schedule=Schedule(log_every=1, evaluate_every=3, save_every=2),
    )
    quick(monkeypatch, 0.1, 0.3)
    whole = weights(sft.train(recipe, tmp_path / "data", tmp_path / "whole", starts["qwen3-vl"]))
    quick(monkeypatch)
    with pytest.raises(StopIteration):
        sft.train(recipe, tmp_path / "data", tmp_path / "interrupted", starts["qwen3-vl"])
    quick(monkeypatch, 0.1, 0.3)
    resumed = weights(sft.train(recipe, tmp_path / "data", tmp_path / "interrupted", starts["qwen3-vl"]))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    assert losses(tmp_path / "whole")[2:] == losses(tmp_path / "interrupted")[-2:]
    facts = json.loads((tmp_path / "whole" / "run.json").read_text("utf-8"))["datasets"]
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "data").glob("experts*")}
    shards = facts[str(tmp_path / "data" / "experts")]["shards"]
    assert {name: about["bytes"] for name, about in shards.items()} == sizes
    assert list((tmp_path / "whole" / "validation").iterdir())
    assert not (tmp_path / "cache" / "shotcrop").exists()
    write_tars(data / "empty", str(tmp_path / "data" / "empty-{}.tar"), 2)
    with pytest.raises(ShotcropError, match=r"holds a run that differs in datasets.*empty-0.tar"):
        sft.train(recipe, tmp_path / "data", tmp_path / "whole", starts["qwen3-vl"])


def test_damaged_photos_are_skipped_counted_and_named(
    starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sft, "validate", lambda _, records, skipped: validate(Wordless(), records, skipped))
    write_dataset(tmp_path / "data" / "experts", 24, "experts")
    records = read_dataset(tmp_path / "data" / "experts")
    training = [record.path for record in records if not held_back(record)]
    held = [record.path for record in records if held_back(record)]
    broken = [*training[: len(training) // 2], held[0]]
    for path in broken:
        path.write_bytes(path.read_bytes()[:200])
    recipe = replace(LORA, data=DataRecipe(experts=("experts",), shares={"expert": 1.0}))
    sft.train(recipe, tmp_path / "data", tmp_path / "run", starts["qwen3-vl"])
    listed = (tmp_path / "run" / "skipped_photos.jsonl").read_text("utf-8").splitlines()
    named = {json.loads(line)["photo"] for line in listed}
    assert str(held[0]) in named and len(named) == len(listed) > 1
    assert named <= set(map(str, broken))
    said = capsys.readouterr().err
    assert all(f"{path}: skipped" in said for path in named)
    counts = [line["photos_skipped"] for line in log_of(tmp_path / "run") if "photos_skipped" in line]
    assert counts[0] <= counts[-1] == len(named)


class Wordless:
    """A composer that answers nothing readable."""

    batch_size = 4
    base = SimpleNamespace(max_side=None)

    def compose(self, images: list[Any], _: Any) -> list[AnswerError]:
        return [AnswerError("no words")] * len(images)


def test_a_dataset_of_damaged_photos_ends_the_run(starts: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path / "data" / "experts", 4, "experts")
    for path in (tmp_path / "data" / "experts").glob("*.jpg"):
        path.write_bytes(b"no picture")
    recipe = replace(LORA, data=DataRecipe(experts=("experts",), shares={"expert": 1.0}))
    with pytest.raises(ShotcropError, match="cannot be opened"):
        sft.train(recipe, tmp_path / "data", tmp_path / "run", starts["qwen3-vl"])


def test_the_merged_model_needs_no_other_folder(
    data: Path, starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch, 0.2)
    final = sft.train(LORA, data, tmp_path / "run", starts["qwen2.5-vl"])
    assert not (final / "adapter_config.json").exists()
    plain = AutoModelForImageTextToText.from_pretrained(final, use_safetensors=True).state_dict()
    before, adapted = weights(starts["qwen2.5-vl"]), weights(tmp_path / "run" / "adapter")
    moved = {name for name in before if not torch.equal(before[name], plain[name])}
    assert moved
    assert all("language_model" in name and name.endswith("_proj.weight") for name in moved)
    assert all(torch.equal(plain[name], adapted[name]) for name in plain)


def test_new_location_rows_are_trained_and_old_rows_are_not(
    data: Path, starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch, 0.2)
    model = replace(LORA.model, location_tokens=True)
    final = sft.train(replace(LORA, model=model), data, tmp_path / "run", starts["qwen3-vl"])
    fresh = load_base(starts["qwen3-vl"]).configured(model)
    name = "model.language_model.embed_tokens.weight"
    before, after = fresh.model.state_dict()[name], weights(final)[name]
    first = fresh.processor.tokenizer.convert_tokens_to_ids("<loc_0>")
    assert torch.equal(before[:first], after[:first])
    # Those of the figures stand in every second box; a bin that no box names may stay where it is.
    assert int((before[first:] != after[first:]).any(1).sum()) > 40
    found = losses(tmp_path / "run")
    assert found[-1] < found[0]


def test_micro_batches_add_up_to_the_batch(
    data: Path, starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for micro in (4, 1):
        quick(monkeypatch, 0.2)
        recipe = replace(
            RECIPE,
            optimisation=replace(RECIPE.optimisation, steps=2, warmup_steps=0, learning_rate=1e-3),
            model=replace(RECIPE.model, micro_batch=micro, gradient_checkpointing=micro == 1),
        )
        run = tmp_path / str(micro)
        results.append((weights(sft.train(recipe, data, run, starts["qwen3-vl"])), losses(run)))
    (one, loss), (other, same) = results
    assert loss == pytest.approx(same, rel=1e-4)
    gap = max(float((one[name] - other[name]).abs().mean()) for name in one)
    assert gap < 1e-5


def test_batches_that_cannot_be_parted_are_refused(data: Path, starts: dict[str, Path], tmp_path: Path) -> None:
    recipe = replace(RECIPE, model=replace(RECIPE.model, micro_batch=3))
    with pytest.raises(ShotcropError, match="micro-batches of 3"):
        sft.train(recipe, data, tmp_path / "run", starts["qwen3-vl"])


Measure = Callable[[tuple[float, float, float], str], float]


@pytest.fixture(scope="module")
def measure(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """Return the loss of one answer up to the end of its close-up, by the weights of the shots and its caption."""
    base = load_text_base(*vlm.tiny_vlm(), RECIPE.model)
    training = sft.read_training_set(data, RECIPE.data)
    sample = training.groups["expert"][0]

    def batch_of(shot_weights: tuple[float, float, float], caption: str) -> Mapping[str, torch.Tensor]:
        close_up = replace(sample.shots[2], captions=(caption,))
        shots = tuple(
            replace(shot, weight=weight)
            for shot, weight in zip((*sample.shots[:2], close_up), shot_weights, strict=True)
        )
        return cut(rows(replace(sample, shots=shots)))

    def rows(one: Sample) -> Mapping[str, torch.Tensor]:
        mixture = Mixture({"one": [one]}, {"one": 1.0}, 1, NO_AUGMENTATION, 0, base.contract)
        return TextCollator(base.processor)([mixture.draw(0)])

    def cut(batch: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        # What follows the close-up's entry is read after it, and so depends on it: `}</answer>` and the end.
        tail = base.processor.tokenizer("}</answer><|im_end|>\n", add_special_tokens=False)["input_ids"]
        ids = batch["input_ids"][0].tolist()
        end = next(place for place in range(len(ids), 0, -1) if ids[place : place + len(tail)] == tail)
        return {name: value[:, :end] if value.shape[:1] == (1,) and name != "image_grid_thw" else value
                for name, value in batch.items()}  # fmt: skip

    training_set = Mixture({"one": [sample]}, {"one": 1.0}, 1, NO_AUGMENTATION, 0, base.contract).dataset()
    folder = tmp_path_factory.mktemp("measure")
    trainer = WeightedTrainer(
        model=base.model,
        args=SFTConfig(
            output_dir=str(folder), use_cpu=True, bf16=False, max_length=None, remove_unused_columns=False, report_to=[]
        ),
        train_dataset=training_set,
        data_collator=TextCollator(base.processor),
        processing_class=base.processor,
    )

    def loss(shot_weights: tuple[float, float, float], caption: str) -> float:
        inputs = dict(batch_of(shot_weights, caption))
        return float(trainer.compute_loss(trainer.model, inputs, num_items_in_batch=torch.tensor(1)).detach())

    return loss


def test_a_rejected_shot_has_no_loss(measure: Measure) -> None:
    assert measure((1, 1, 0), "a red coat") == measure((1, 1, 0), "two dogs that bark")
    assert measure((1, 1, 1), "a red coat") != measure((1, 1, 1), "two dogs that bark")


def test_a_shots_weight_scales_its_share_of_the_loss(measure: Measure) -> None:
    none, quarter, half, full = (measure((1, 1, weight), "a red coat") for weight in (0, 0.25, 0.5, 1))
    assert none < quarter < half < full
    assert half == pytest.approx((none + full) / 2, rel=1e-4)
    assert quarter == pytest.approx((none + half) / 2, rel=1e-4)


@pytest.mark.parametrize("name", ["qwen3-vl-sft"])
def test_the_recipe_for_large_bases_loads(name: str) -> None:
    recipe = load_recipe(name, SftRecipe)
    assert recipe.model.lora_rank in range(32, 65)
    assert recipe.model.freeze_vision
    assert recipe.optimisation.batch_size % recipe.model.micro_batch == 0
