from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_train.pipeline import PIPELINES, PipelineRecipe, StageRecipe, load_pipeline, run, with_changes
from shotcrop_train.recipe import RECIPES, build
from shotcrop_train.runs import provenance

STAGES = (
    StageRecipe("grounding", "sft", "first"),
    StageRecipe("cot", "sft", "second", start="grounding"),
    StageRecipe("labels", "pseudo-label", "third", proposers=("cot", "grounding", "rule-based")),
)


@dataclass
class Workshop:
    """Runs stages that write a file where a checkpoint would be."""

    done: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    fail_at: str = ""

    def __call__(self, stage: StageRecipe, made: Callable[[str], str], data: Path, output: Path) -> Path:
        start = made(stage.start) if stage.start else None
        provenance.record(output, stage=stage.kind, recipe=stage, datasets=[data / "train"], start=start)
        self.done.append((stage.name, str(start), tuple(made(one) for one in stage.proposers)))
        if stage.name == self.fail_at:
            raise KeyboardInterrupt
        final = output / "final"
        final.mkdir(exist_ok=True)
        (final / "model.safetensors").write_text(f"{stage.name} {stage.steps}", "utf-8")
        return final

    @property
    def kinds(self) -> dict[str, Workshop]:
        return dict.fromkeys(("sft", "pseudo-label", "ssft", "grpo", "export"), self)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "metadata.jsonl").write_text("{}\n", "utf-8")
    return tmp_path / "data"


def test_each_stage_starts_from_what_an_earlier_one_made(data: Path, tmp_path: Path) -> None:
    shop = Workshop()
    results = run(PipelineRecipe(STAGES), data, tmp_path / "runs", shop.kinds, lambda _: None)
    grounding, cot = tmp_path / "runs" / "grounding" / "final", tmp_path / "runs" / "cot" / "final"
    assert results["cot"] == cot
    assert shop.done == [
        ("grounding", "None", ()),
        ("cot", str(grounding), ()),
        ("labels", "None", (str(cot), str(grounding), "rule-based")),
    ]


def test_a_cut_pipeline_keeps_what_is_complete_and_goes_on(data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(PipelineRecipe(STAGES), data, tmp_path / "runs", Workshop(fail_at="cot").kinds, lambda _: None)
    shop, said = Workshop(), []
    results = run(PipelineRecipe(STAGES), data, tmp_path / "runs", shop.kinds, said.append)
    assert [name for name, *_ in shop.done] == ["cot", "labels"]
    assert set(results) == {"grounding", "cot", "labels"}
    assert "stage 1 of 3, grounding (sft): complete, kept" in said


def test_a_stage_built_on_weights_that_have_changed_is_refused(data: Path, tmp_path: Path) -> None:
    run(PipelineRecipe(STAGES), data, tmp_path / "runs", Workshop().kinds, lambda _: None)
    (tmp_path / "runs" / "grounding" / "final" / "model.safetensors").write_text("other", "utf-8")
    with pytest.raises(ShotcropError, match="differs in start"):
        run(PipelineRecipe(STAGES), data, tmp_path / "runs", Workshop().kinds, lambda _: None)


def test_a_changed_recipe_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    run(PipelineRecipe(STAGES), data, tmp_path / "runs", Workshop().kinds, lambda _: None)
    changed = (StageRecipe("grounding", "sft", "second"), *STAGES[1:])
    with pytest.raises(ShotcropError, match=r'recipe\.recipe: "first", not "second"'):
        run(PipelineRecipe(changed), data, tmp_path / "runs", Workshop().kinds, lambda _: None)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"name": "a", "kind": "stf", "recipe": "x"}, "kind must be one of detector, sft"),
        ({"name": "a", "kind": "sft"}, "'a' needs a recipe"),
        ({"name": "a", "kind": "ssft", "recipe": "x", "start": "b"}, "'a' needs 'pseudo'"),
        ({"name": "a", "kind": "grpo", "recipe": "x"}, "'a' needs 'start'"),
        ({"name": "a", "kind": "export", "start": "b"}, "'a' needs 'photos'"),
        ({"name": "../a", "kind": "sft", "recipe": "x"}, "is not a valid name for a stage"),
    ],
)
def test_a_faulty_stage_is_named(stage: dict[str, object], message: str) -> None:
    with pytest.raises(ShotcropError, match=message):
        build(PipelineRecipe, {"stages": [stage]}, "mine.toml")


def test_a_pipeline_without_stages_or_with_doubled_names_is_refused() -> None:
    with pytest.raises(ShotcropError, match="at least one"):
        build(PipelineRecipe, {}, "mine.toml")
    stage = {"name": "a", "kind": "sft", "recipe": "x"}
    with pytest.raises(ShotcropError, match="the same name"):
        build(PipelineRecipe, {"stages": [stage, stage]}, "mine.toml")


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_pipelines_load_and_name_only_stages_before_them(path: Path) -> None:
    seen: set[str] = set()
    for stage in load_pipeline(path.stem).stages:
        for name in (stage.start, stage.pseudo, stage.hard, *stage.proposers):
            assert not name or name in seen or name == "rule-based" or "/" in name, name
        if stage.recipe:
            assert (RECIPES / f"{stage.recipe}.toml").is_file()
        seen.add(stage.name)


def test_changes_reach_the_recipes_of_all_stages_or_of_one() -> None:
    stages = (*STAGES, StageRecipe("made", "export", start="cot", photos="dev", set=("a=1",)))
    changed = with_changes(PipelineRecipe(stages), ["x.y=1", "cot:x.z=text: 2"])
    assert [stage.set for stage in changed.stages] == [("x.y=1",), ("x.y=1", "x.z=text: 2"), ("x.y=1",), ("a=1",)]
    with pytest.raises(ShotcropError, match="no stage 'cto'") as caught:
        with_changes(PipelineRecipe(stages), ["cto:x.y=1"])
    assert caught.value.hint == "did you mean 'cot'?"
