from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from shotcrop_cli.commands.train import train_command
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_train.data.augmentation import Augmentation
from shotcrop_train.data.contract import TextContract
from shotcrop_train.data.mixture import Mixture
from shotcrop_train.data.samples import empty_samples, expert_samples, held_back, proposal_samples, split
from shotcrop_train.recipe import DataRecipe, SftRecipe, load_recipe
from shotcrop_train.sft import read_training_set, train
from training import NO_AUGMENTATION, write_dataset

DATA = DataRecipe(
    experts=("experts",),
    proposals=("proposals",),
    empty=("empty",),
    shares={"expert": 0.6, "proposal": 0.3, "empty": 0.1},
)
CONTRACT = TextContract(CoordSpace.PERMILLE, True, lambda size: size)


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
    return Mixture(groups, DATA.shares, 40, augmentation, seed, CONTRACT)


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


def test_unknown_recipe_key_suggests_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[optimisation]\nbatchsize = 3\n", "utf-8")
    with pytest.raises(ShotcropError, match="did you mean 'batch_size'"):
        load_recipe(str(path), SftRecipe)


def test_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(ShotcropError, match="one of: nano, qwen3-vl-grpo-cinema"):
        load_recipe("nano-groundign", SftRecipe)


def test_a_group_without_samples_is_named() -> None:
    with pytest.raises(ValueError, match="'expert'"):
        Mixture({"expert": []}, {"expert": 1.0}, 4, NO_AUGMENTATION, 0, CONTRACT)


def test_stage_1_needs_a_start(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="starts from a trained one"):
        train(SftRecipe(data=DATA), data, tmp_path / "run")


def test_train_help_loads_no_training_library() -> None:
    result = CliRunner().invoke(train_command, ["sft", "--help"])
    assert result.exit_code == 0
    assert "--config" in result.output
