"""Run the whole pipeline from one TOML file: each stage starts from an earlier one's result, complete ones are kept.

    [[stages]]
    name = "sft"               # its run folder below the output folder
    kind = "sft"               # detector, sft, pseudo-label, ssft, grpo or export
    recipe = "nano"            # a shipped recipe, or a .toml file
    start = "detector"         # an earlier stage, a checkpoint folder, or a hub id
    set = ["sft.fitting.steps=600"]    # values in place of the recipe's

Every stage begins with `provenance.record`. It decides whether the stage continues after an interruption, is complete,
or was made with a different recipe, different data or a different start. So no stage builds on a stale result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data
from shotcrop_train.recipe import RECIPES, build, read_toml
from shotcrop_train.runs import provenance

PIPELINES = RECIPES / "pipelines"
KINDS = ("detector", "sft", "pseudo-label", "ssft", "grpo", "export")


@dataclass(frozen=True)
class StageRecipe:
    """One stage of a pipeline.

    Args:
        name: Name of the stage and of its run folder.
        kind: One of `KINDS`.
        recipe: Name or path of the stage's recipe; an export needs none.
        start: What it starts from: an earlier stage, a checkpoint folder or a hub id; for `detector` a file of weights.
            Empty for a new model.
        fold: For `detector`: the fold that it does not learn from, in place of the recipe's; -1 keeps that.
        crossfit: For `sft` of the compact model: earlier detectors that have not learned from other folds.
        proposers: For `pseudo-label`: earlier stages, checkpoints, or `rule-based`. The compact model has its own.
        pseudo: For `ssft`: the `pseudo-label` stage whose shots it uses.
        hard: For `grpo`: the `pseudo-label` stage whose hard cases it uses.
        photos: For `export`: dataset below the data folder that verifies the export.
        concepts: For `export` of the compact model: datasets whose captions teach it the concepts that its own captions
            name. Empty for none.
        steps: Optimiser steps that replace the recipe's; 0 keeps those.
        limit: For `pseudo-label`: photos to label; 0 for all.
        set: Values that replace the recipe's; see `recipe.changed`.
    """

    name: str
    kind: str
    recipe: str = ""
    start: str = ""
    fold: int = -1
    crossfit: tuple[str, ...] = ()
    proposers: tuple[str, ...] = ()
    pseudo: str = ""
    hard: str = ""
    photos: str = ""
    concepts: tuple[str, ...] = ()
    steps: int = 0
    limit: int = 0
    set: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"stage '{self.name}': kind must be one of {', '.join(KINDS)}, not '{self.kind}'")
        if not self.recipe and self.kind != "export":
            raise ValueError(f"stage '{self.name}' needs a recipe")
        for kind, key in (
            ("ssft", "start"),
            ("ssft", "pseudo"),
            ("grpo", "start"),
            ("export", "start"),
            ("export", "photos"),
        ):
            if self.kind == kind and not getattr(self, key):
                raise ValueError(f"stage '{self.name}' needs '{key}'")
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"'{self.name}' is not a valid name for a stage")


@dataclass(frozen=True)
class PipelineRecipe:
    """All stages, in the order in which they run."""

    stages: tuple[StageRecipe, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("a pipeline needs at least one [[stages]]")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two stages have the same name")


Stage = Callable[[StageRecipe, Callable[[str], str], Data, Path], Path]
"""Runs one kind of stage and returns what it made.

It takes the stage, a function that turns the name of an earlier stage into what that stage made and anything else into
itself, the data folder, and the run folder. A run that was interrupted continues in its folder.
"""


def load_pipeline(name: str) -> PipelineRecipe:
    """Read a pipeline by the name of a shipped one or by path.

    Raises:
        ShotcropError: There is no such pipeline, or it is not valid.
    """
    return build(PipelineRecipe, read_toml(name, PIPELINES), name)


def with_changes(pipeline: PipelineRecipe, changes: Sequence[str]) -> PipelineRecipe:
    """Return a pipeline with values that replace those of recipes.

    Args:
        pipeline: The pipeline.
        changes: Each is `TABLE.KEY=VALUE` for the recipes of all stages, or `STAGE:TABLE.KEY=VALUE` for one stage.

    Raises:
        ShotcropError: There is no such stage.
    """
    names = [stage.name for stage in pipeline.stages if stage.recipe]
    added: dict[str, list[str]] = {name: [] for name in names}
    for change in changes:
        stage, colon, rest = change.partition("=")[0].partition(":")
        if not colon:
            for those in added.values():
                those.append(change)
        elif stage in added:
            added[stage].append(f"{rest}={change.partition('=')[2]}")
        else:
            close = get_close_matches(stage, names, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"its stages are {', '.join(names)}"
            raise ShotcropError(f"--set {change}: the pipeline has no stage '{stage}'", hint=hint)
    return replace(
        pipeline,
        stages=tuple(replace(one, set=(*one.set, *added.get(one.name, ()))) for one in pipeline.stages),
    )


def run(
    pipeline: PipelineRecipe,
    data: Data,
    output: Path,
    kinds: Mapping[str, Stage],
    say: Callable[[str], object],
) -> dict[str, Path]:
    """Run every stage that is not complete.

    Args:
        pipeline: The stages.
        data: Data folder that holds the datasets.
        output: Folder of the run folders, one for each stage.
        kinds: The function that runs each kind of stage.
        say: Called with one line about each stage.

    Returns:
        The result of each stage, by its name.

    Raises:
        ShotcropError: A stage fails, or its folder holds a run with a different recipe, data or start.
    """
    results: dict[str, Path] = {}

    def made(name: str) -> str:
        return str(results.get(name, name))

    for number, stage in enumerate(pipeline.stages, start=1):
        folder, title = output / stage.name, f"stage {number} of {len(pipeline.stages)}, {stage.name} ({stage.kind})"
        try:
            say(title)
            results[stage.name] = kinds[stage.kind](stage, made, data, folder)
            provenance.finish(folder, results[stage.name])
        except provenance.Complete as complete:
            say(f"{title}: complete, kept")
            results[stage.name] = complete.result
    return results
