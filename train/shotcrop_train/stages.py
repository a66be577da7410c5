"""The stages by name: each takes its recipe to the code for the compact model or to that for large models.

`shotcrop train` and the pipeline call these functions, so that both do the same. Each imports what it needs when it
runs, because the two families need different libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data
from shotcrop_train.recipe import load_recipe

if TYPE_CHECKING:
    from shotcrop_cli.run_options import RayOptions
    from shotcrop_train.estimates.plan_run import Plan

T = TypeVar("T")


def detector(
    recipe: str,
    data: Data,
    output: Path,
    start: Path | None = None,
    *,
    steps: int | None = None,
    fold: int | None = None,
    changes: Sequence[str] = (),
) -> Path:
    """Train a detector.

    Args:
        recipe: Name or path of the recipe.
        data: Data folder that holds its datasets.
        output: Run folder.
        start: Weights to start from instead of ImageNet's.
        steps: Optimiser steps that replace the recipe's.
        fold: Number of the fold that is not learned from, in place of the recipe's.
        changes: Values that replace the recipe's; see `recipe.changed`. All stages take them.
    """
    from shotcrop_train import train_detector
    from shotcrop_train.composer.nano_recipe import load_nano_recipe

    table = load_nano_recipe(recipe, changes).shortened("detector", steps).detector
    if fold is not None:
        table = replace(table, data=replace(table.data, held_out=fold))
    return train_detector.train(table, data, output, start)


def sft(
    recipe: str,
    data: Data,
    output: Path,
    start: str | None = None,
    *,
    crossfit: Sequence[str] = (),
    steps: int | None = None,
    offline: bool = False,
    changes: Sequence[str] = (),
) -> Path:
    """Run stage 1; see `sft.train` and `composer.composer_sft.train`."""
    from shotcrop_train.composer.nano_recipe import is_nano, load_nano_recipe

    if is_nano(recipe):
        from shotcrop_train.composer import composer_sft

        nano = load_nano_recipe(recipe, changes).shortened("sft", steps)
        detectors = tuple(map(Path, crossfit))
        return composer_sft.train(nano, data, output, _needed(start, "a detector's folder 'final'"), detectors)
    from shotcrop_train import sft as large
    from shotcrop_train.recipe import SftRecipe

    return large.train(_shortened(recipe, SftRecipe, steps, changes), data, output, start, offline=offline)


def pseudo_label(
    recipe: str,
    data: Data,
    output: Path,
    proposers: Sequence[str] = (),
    *,
    limit: int | None = None,
    ray: RayOptions | None = None,
    offline: bool = False,
    changes: Sequence[str] = (),
) -> Path:
    """Run the first half of stage 2; see `pseudo_label.label` and `composer.composer_pseudo_label.label`."""
    from shotcrop_train.composer.nano_recipe import is_nano, load_nano_recipe

    if is_nano(recipe):
        from shotcrop_train.composer import composer_pseudo_label

        nano = load_nano_recipe(recipe, changes)
        return composer_pseudo_label.label(nano, data, output, proposers, offline=offline, limit=limit, ray=ray)
    from shotcrop_train import pseudo_label as large

    generic = load_recipe(recipe, large.PseudoLabelRecipe, changes)
    return large.label(generic, data, output, proposers, offline=offline, limit=limit, ray=ray)


def ssft(
    recipe: str,
    data: Data,
    pseudo: Path,
    output: Path,
    start: str | None = None,
    *,
    steps: int | None = None,
    offline: bool = False,
    changes: Sequence[str] = (),
) -> Path:
    """Run the second half of stage 2; see `ssft.train` and `composer.composer_ssft.train`."""
    from shotcrop_train.composer.nano_recipe import is_nano, load_nano_recipe

    if is_nano(recipe):
        from shotcrop_train.composer import composer_ssft

        nano = load_nano_recipe(recipe, changes).shortened("ssft", steps)
        return composer_ssft.train(nano, data, pseudo, output, _needed(start, "a checkpoint of stage 1"))
    from shotcrop_train import ssft as large

    return large.train(
        _shortened(recipe, large.SsftRecipe, steps, changes),
        data,
        pseudo,
        output,
        start,
        offline=offline,
    )


def grpo(
    recipe: str,
    data: Data,
    output: Path,
    start: str | None,
    *,
    hard: Path | None = None,
    steps: int | None = None,
    offline: bool = False,
    changes: Sequence[str] = (),
) -> Path:
    """Run stage 3; see `grpo.train` and `composer.composer_grpo.train`."""
    from shotcrop_train.composer.nano_recipe import is_nano, load_nano_recipe

    if is_nano(recipe):
        from shotcrop_train.composer import composer_grpo

        nano = load_nano_recipe(recipe, changes).shortened("grpo", steps)
        return composer_grpo.train(nano, data, output, _needed(start, "a checkpoint of an earlier stage"), hard)
    from shotcrop_train import grpo as large

    return large.train(
        _shortened(recipe, large.GrpoRecipe, steps, changes),
        data,
        output,
        start,
        hard=hard,
        offline=offline,
    )


def plan(
    recipe: str,
    start: str,
    gpu: str,
    *,
    gpus: int = 1,
    shards: int = 1,
    steps: int | None = None,
    offline: bool = False,
    changes: Sequence[str] = (),
) -> Plan:
    """Estimate what a run of a large model needs; see `estimates.budget`.

    Args:
        recipe: Name or path of the recipe of stage 1, the second half of stage 2, or stage 3.
        start: The model: a folder with its `config.json`, or ORG/NAME on the hub.
        gpu: Name of a GPU, or its memory in GB.
        gpus: Number of GPUs.
        shards: GPUs that share weights and Adam's states.
        steps: Optimiser steps that replace the recipe's.
        offline: Use only what the hub has sent before.
        changes: Values that replace the recipe's.

    Raises:
        ShotcropError: The recipe is not one of these stages, or the model or the GPU is unknown.
    """
    from shotcrop_train.composer.nano_recipe import is_nano
    from shotcrop_train.estimates.budget import Load, estimate
    from shotcrop_train.estimates.gpus import find_gpu
    from shotcrop_train.estimates.model_shape import read_shape
    from shotcrop_train.estimates.plan_run import Plan
    from shotcrop_train.recipe import RECIPES, SftRecipe, read_toml

    card = find_gpu(gpu)
    content = read_toml(recipe, RECIPES)
    if is_nano(recipe) or "criteria" in content:
        raise ShotcropError(
            f"{recipe} trains no large model", hint="name a recipe such as qwen3-vl-sft or qwen3-vl-grpo-cinema"
        )
    if "reward" in content:
        from shotcrop_train.grpo import GrpoRecipe

        third = _shortened(recipe, GrpoRecipe, steps, changes)
        policy, model = third.optimisation, third.model
        answers = policy.photos * policy.group
        load = Load(
            sequences=answers,
            micro_batch=policy.batch_size,
            steps=policy.steps,
            answers=answers,
            answer_tokens=policy.max_tokens,
            reference=policy.beta != 0.0 and model.lora_rank == 0,
            vllm=third.generation.engine == "vllm",
        )
    else:
        from shotcrop_train.ssft import SsftRecipe

        first = _shortened(recipe, SsftRecipe if "ratio" in content else SftRecipe, steps, changes)
        model, batch = first.model, first.optimisation
        load = Load(batch.batch_size, model.micro_batch or batch.batch_size, batch.steps)
    shape = read_shape(start, model, offline=offline)
    return Plan(recipe, shape, load, card, gpus, estimate(shape, model, load, card, shards=shards))


def _needed(start: str | None, what: str) -> Path:
    """Return the folder that a stage of the compact model starts from."""
    if start is None or not Path(start).is_dir():
        raise ShotcropError(
            f"this stage of the compact model starts from {what}, not from {start or 'nothing'}",
            hint="name it with --from",
        )
    return Path(start)


def _shortened(name: str, kind: type[T], steps: int | None, changes: Sequence[str]) -> T:
    """Read a recipe of large models; changes and a number of optimiser steps replace its own."""
    plan: Any = load_recipe(name, kind, changes)
    if steps is not None:
        plan = replace(plan, optimisation=replace(plan.optimisation, steps=steps))
    changed: T = plan
    return changed
