from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_train.runs import provenance


@dataclass(frozen=True)
class Inner:
    steps: int = 3


@dataclass(frozen=True)
class Recipe:
    shares: tuple[float, ...] = (0.5, 0.5)
    optimisation: Inner = field(default_factory=Inner)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "metadata.jsonl").write_text("{}\n{}\n", "utf-8")
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def _record(run: Path, dataset: Path, recipe: Recipe = Recipe(), start: str | Path | None = None) -> dict[str, object]:
    return json.loads(provenance.record(run, stage="sft", recipe=recipe, datasets=[dataset], start=start).read_text())


def test_a_run_folder_says_what_the_run_was_made_from(tmp_path: Path, dataset: Path, checkpoint: Path) -> None:
    facts = _record(tmp_path / "run", dataset, start=checkpoint)
    assert facts["recipe"] == {"shares": [0.5, 0.5], "optimisation": {"steps": 3}}
    assert facts["datasets"][str(dataset)]["rows"] == 2
    assert len(facts["start"]["sha256"]) == 64
    (part,) = facts["parts"]
    assert {"torch", "transformers", "trl", "python"} <= part["versions"].keys()
    assert part["argv"] and part["machine"]["cpus"]


def test_a_run_that_goes_on_keeps_its_beginning(tmp_path: Path, dataset: Path) -> None:
    first = _record(tmp_path / "run", dataset)
    second = _record(tmp_path / "run", dataset)
    assert second["parts"][0] == first["parts"][0] and len(second["parts"]) == 2


def test_another_recipe_in_the_same_folder_is_refused_by_the_value_that_differs(tmp_path: Path, dataset: Path) -> None:
    _record(tmp_path / "run", dataset)
    with pytest.raises(ShotcropError, match=r"recipe.optimisation.steps: 3, not 4"):
        _record(tmp_path / "run", dataset, replace(Recipe(), optimisation=Inner(4)))


def test_changed_data_are_refused(tmp_path: Path, dataset: Path) -> None:
    _record(tmp_path / "run", dataset)
    (dataset / "metadata.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(ShotcropError, match=r"differs in datasets\..*rows: 2, not 1"):
        _record(tmp_path / "run", dataset)


def test_a_checkpoint_that_was_trained_on_is_another_start(tmp_path: Path, dataset: Path, checkpoint: Path) -> None:
    _record(tmp_path / "run", dataset, start=checkpoint)
    (checkpoint / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ShotcropError, match="differs in start"):
        _record(tmp_path / "run", dataset, start=checkpoint)


def test_a_helper_that_was_trained_on_is_another_helper(tmp_path: Path, dataset: Path, checkpoint: Path) -> None:
    arguments = {"stage": "pseudo-label", "recipe": Recipe(), "datasets": [dataset]}
    for _ in range(2):
        provenance.record(tmp_path / "run", **arguments, helpers=[checkpoint, "rule-based"])
    (checkpoint / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ShotcropError, match="differs in helpers"):
        provenance.record(tmp_path / "run", **arguments, helpers=[checkpoint, "rule-based"])


def test_a_start_from_a_hub_is_named(tmp_path: Path, dataset: Path) -> None:
    facts = _record(tmp_path / "run", dataset, start="Qwen/Qwen3-VL-4B-Instruct")
    assert facts["start"] == {"name": "Qwen/Qwen3-VL-4B-Instruct", "sha256": None}


def test_a_finished_run_says_what_it_made(tmp_path: Path, dataset: Path) -> None:
    run = tmp_path / "run"
    _record(run, dataset)
    assert "finished" not in (provenance.read(run) or {})
    provenance.finish(run, run / "final")
    facts = provenance.read(run) or {}
    assert facts["result"] == "final" and facts["finished"]


def test_a_finished_run_is_complete_wherever_its_folder_has_moved(tmp_path: Path, dataset: Path) -> None:
    _record(tmp_path / "run", dataset)
    provenance.finish(tmp_path / "run", tmp_path / "run" / "final")
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(provenance.Complete) as complete:
        _record(moved, dataset)
    assert complete.value.result == moved / "final"
    with pytest.raises(ShotcropError, match="differs in recipe"):
        _record(moved, dataset, Recipe(shares=(1.0,)))


def test_a_damaged_record_is_named(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{", "utf-8")
    with pytest.raises(ShotcropError, match=r"run\.json cannot be read"):
        _record(tmp_path / "run", dataset)


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="is not a dataset"):
        _record(tmp_path / "run", tmp_path / "nowhere")


def test_a_setting_that_an_earlier_version_did_not_know_was_off(tmp_path: Path, dataset: Path) -> None:
    older = {"optimisation": {"steps": 3}}
    for recipe in (older, {"optimisation": {"steps": 3, "quantised": False}, "logging": {"to": "", "tags": []}}):
        provenance.record(tmp_path / "run", stage="sft", recipe=recipe, datasets=[dataset])
    with pytest.raises(ShotcropError, match=r"recipe\.optimisation\.quantised: null, not true"):
        newer = {"optimisation": {"steps": 3, "quantised": True}}
        provenance.record(tmp_path / "run", stage="sft", recipe=newer, datasets=[dataset])
