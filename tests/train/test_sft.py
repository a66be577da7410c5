from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shotcrop_cli.commands.train import train_command
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.model.nano import grammar
from shotcrop_train.checkpoints import load_base, load_nano
from shotcrop_train.data.augmentation import Augmentation
from shotcrop_train.data.contract import GrammarContract
from shotcrop_train.data.mixture import Mixture
from shotcrop_train.data.samples import empty_samples, expert_samples, held_back, proposal_samples, split
from shotcrop_train.nano.collator import NanoCollator
from shotcrop_train.nano.torch_network import vocabulary_of
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe, load_recipe
from shotcrop_train.sft import read_training_set, train
from training import NO_AUGMENTATION, save_tiny_model, tiny_model, write_dataset
from training_page import documented

DATA = DataRecipe(
    experts=("experts",),
    proposals=("proposals",),
    empty=("empty",),
    shares={"expert": 0.6, "proposal": 0.3, "empty": 0.1},
)
RECIPE = SftRecipe(
    data=DATA,
    optimisation=Optimisation(steps=6, batch_size=4, learning_rate=2e-3, warmup_steps=1, freeze_stages=7),
    schedule=Schedule(log_every=1, evaluate_every=3, save_every=3),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for kind, photos in (("experts", 24), ("proposals", 8), ("empty", 12)):
        write_dataset(folder / kind, photos, kind)
    return folder


def mixture(data: Path, augmentation: Augmentation = NO_AUGMENTATION, seed: int = 0) -> Mixture:
    groups = {
        "expert": expert_samples(read_dataset(data / "experts")),
        "proposal": proposal_samples(read_dataset(data / "proposals"), 0.25),
        "empty": empty_samples(read_dataset(data / "empty")),
    }
    return Mixture(groups, DATA.shares, 40, 64, augmentation, seed, GrammarContract())


def test_training_lowers_the_loss_and_leaves_log_curves_and_model(data: Path, tmp_path: Path) -> None:
    start = save_tiny_model(tmp_path / "start")
    recipe = replace(RECIPE, optimisation=replace(RECIPE.optimisation, steps=12))
    final = train(recipe, data, tmp_path / "run", start)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    assert [line["step"] for line in lines if "held_iou" in line] == [3, 6, 9, 12]
    assert {*documented("figure", stage=1)} <= {name for line in lines for name in line}
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    model, _ = load_nano(final)
    assert model.config.image_size == 64


def test_training_without_thought_leaves_a_model_that_knows_it(data: Path, tmp_path: Path) -> None:
    start = save_tiny_model(tmp_path / "start")
    recipe = replace(RECIPE, optimisation=replace(RECIPE.optimisation, steps=2), model=ModelRecipe(think=False))
    base = load_base(train(recipe, data, tmp_path / "run", start))
    assert base.contract == GrammarContract(False)
    assert load_base(tmp_path / "run" / "best").contract == GrammarContract(False)


@pytest.mark.parametrize("model", [ModelRecipe(lora_rank=4), ModelRecipe(micro_batch=2)])
def test_the_compact_model_is_trained_whole_and_at_once(data: Path, tmp_path: Path, model: ModelRecipe) -> None:
    start = save_tiny_model(tmp_path / "start")
    with pytest.raises(ShotcropError, match="all weights on whole batches"):
        train(replace(RECIPE, model=model), data, tmp_path / "run", start)


def test_an_interrupted_run_continues_and_ends_like_one_without_interruption(data: Path, tmp_path: Path) -> None:
    start = save_tiny_model(tmp_path / "start")
    whole = load_nano(train(RECIPE, data, tmp_path / "whole", start))[0]

    class Interrupted(Exception):
        pass

    import shotcrop_train.sft as sft

    real = sft.validate
    calls = []

    def interrupting_validate(*arguments: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted
        return real(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(sft, "validate", interrupting_validate)
        train(RECIPE, data, tmp_path / "interrupted", start)
    assert (tmp_path / "interrupted" / "checkpoint-3").is_dir()
    resumed = load_nano(train(RECIPE, data, tmp_path / "interrupted", start))[0]
    for (name, one), other in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5), name


def test_held_back_photos_are_never_drawn(data: Path) -> None:
    training = read_training_set(data, DATA)
    drawn = {sample.path for group in training.groups.values() for sample in group}
    assert training.held_back
    assert not drawn & {record.path for record in training.held_back}
    assert all(held_back(record) for record in training.held_back)


def test_the_held_back_slice_depends_on_the_name_alone(data: Path) -> None:
    records = read_dataset(data / "experts")
    _, held = split(records)
    _, again = split(list(reversed(records)))
    assert {record.path for record in held} == {record.path for record in again}


def test_a_draw_depends_on_its_number_and_the_seed_alone(data: Path) -> None:
    one, other = mixture(data, Augmentation(), seed=1), mixture(data, Augmentation(), seed=1)
    for index in (17, 3, 30):
        a, b = one.draw(index), other.draw(index)
        assert a["completion"] == b["completion"]
        assert np.array_equal(np.asarray(a["image"]), np.asarray(b["image"]))
    different = mixture(data, Augmentation(), seed=2)
    assert any(one.draw(k)["completion"] != different.draw(k)["completion"] for k in range(5))


def test_collated_labels_cover_the_answer_and_skip_what_is_unknown(data: Path) -> None:
    _, processor = tiny_model()
    vocabulary = vocabulary_of(processor.tokenizer)
    drawn = [mixture(data).draw(index) for index in range(12)]
    batch = NanoCollator(processor)(drawn)
    prompt = processor.num_image_tokens + 4
    assert batch["pixel_values"].shape == (12, 3, 64, 64)
    assert (batch["labels"][:, :prompt] == -100).all()
    assert (batch["labels"] != vocabulary.id(grammar.UNKNOWN)).all()
    labelled = batch["labels"] != -100
    assert (batch["labels"][labelled] == batch["input_ids"][labelled]).all()
    ends = (batch["labels"] == vocabulary.id(grammar.END)).sum(1)
    assert (ends == 1).all()


def test_proposed_shots_weigh_less_than_grounding_and_captions(data: Path) -> None:
    _, processor = tiny_model()
    vocabulary = vocabulary_of(processor.tokenizer)
    drawn = [row for row in map(mixture(data).draw, range(40)) if any(span[2] == 0.25 for span in row["spans"])]
    batch = NanoCollator(processor)(drawn)
    span = vocabulary.locations
    location = (batch["labels"] >= span.start) & (batch["labels"] < span.stop)
    shots = torch.cumsum(batch["input_ids"] == vocabulary.id("<establishing>"), 1) > 0
    assert (batch["token_weights"][location & shots] == 0.25).all()
    assert (batch["token_weights"][location & ~shots] == 1.0).all()


def test_location_noise_moves_inputs_but_no_target(data: Path) -> None:
    _, processor = tiny_model()
    drawn = [mixture(data).draw(index) for index in range(12)]
    clean, noisy = NanoCollator(processor)(drawn), NanoCollator(processor, location_noise=3.0)(drawn)
    assert torch.equal(clean["labels"], noisy["labels"])
    changed = clean["input_ids"] != noisy["input_ids"]
    span = vocabulary_of(processor.tokenizer).locations
    assert changed.any()
    assert ((clean["input_ids"][changed] >= span.start) & (clean["input_ids"][changed] < span.stop)).all()


@pytest.mark.parametrize("name", ["nano-grounding", "nano-cot"])
def test_shipped_recipes_load(name: str) -> None:
    recipe = load_recipe(name, SftRecipe)
    assert recipe.optimisation.steps > 0
    assert sum(recipe.data.shares.values()) == pytest.approx(1.0)


def test_unknown_recipe_key_suggests_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[optimisation]\nbatchsize = 3\n", "utf-8")
    with pytest.raises(ShotcropError, match="did you mean 'batch_size'"):
        load_recipe(str(path), SftRecipe)


def test_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(ShotcropError, match="nano, nano-cot, nano-grounding"):
        load_recipe("nano-groundign", SftRecipe)


def test_a_group_without_samples_is_named() -> None:
    with pytest.raises(ValueError, match="'expert'"):
        Mixture({"expert": []}, {"expert": 1.0}, 4, 64, NO_AUGMENTATION, 0, GrammarContract())


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="is no checkpoint"):
        load_nano(tmp_path)


def test_train_help_loads_no_training_library() -> None:
    result = CliRunner().invoke(train_command, ["sft", "--help"])
    assert result.exit_code == 0
    assert "--config" in result.output
