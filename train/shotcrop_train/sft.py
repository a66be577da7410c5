"""Stage 1 of large models, supervised fine-tuning with a chain of thought. For the compact model see `composer`.

The algorithm: draw rows from a mixture of expert triples, detections with rule-based proposals, and photos without
people; augment them; train the model on the next token of the whole answer, chain of thought first:

    shotcrop train sft --config qwen3-vl-sft --data DATA -o runs/qwen --from Qwen/Qwen3-VL-4B-Instruct

With eight GPUs, accelerate launches the same command:

    accelerate launch --num_processes 8 -m shotcrop_cli train sft --config qwen3-vl-sft ...

A base may write boxes as location tokens in place of numbers. By default it keeps the numbers it knows.

A run can be interrupted at any time: start it again with the same folder, and it continues from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed
from trl import SFTConfig

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data, PhotoDataset, open_dataset, open_datasets
from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.evaluation.shards import Shard
from shotcrop_train.checkpoint_folders import last_checkpoint
from shotcrop_train.checkpoints import computes_in_bfloat16, load_base
from shotcrop_train.data.chat_template import check_chat_template, set_chat_template
from shotcrop_train.data.mixture import Mixture
from shotcrop_train.data.samples import Sample, empty_samples, expert_samples, held_back, proposal_samples, split
from shotcrop_train.data.skipped_photos import SkippedPhotos
from shotcrop_train.data.streaming import BUFFER, StreamedGroup, StreamedMixture, hold_back
from shotcrop_train.recipe import DataRecipe, SftRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.runs.curves import draw_curves
from shotcrop_train.runs.final_model import save_final
from shotcrop_train.runs.run_log import LOG, RunLog
from shotcrop_train.runs.tracking import tracking_settings
from shotcrop_train.runs.validation import validate
from shotcrop_train.text_base import TextBase
from shotcrop_train.torch_composer import TorchComposer

CURVES = "curves.png"
VALIDATION = "validation"
"""Folder in a run folder for photos that validate a streamed run."""
VALIDATION_BATCH = 8
"""Photos per batch while training is validated."""


@dataclass(frozen=True)
class TrainingSet:
    """The content of a recipe's datasets: samples by group, or groups to stream; held-back records for validation."""

    groups: Mapping[str, Sequence[Sample] | StreamedGroup]
    held_back: list[Record]


def read_training_set(data: Data, recipe: DataRecipe) -> TrainingSet:
    """Read a recipe's datasets below `data` and split off the held-back tenth."""
    experts, held_experts = split(_records(data, recipe.experts))
    empty, held_empty = split(_records(data, recipe.empty))
    proposals = [
        record for record in _records(data, recipe.proposals) if record.composition is None or not held_back(record)
    ]
    groups = {
        "expert": expert_samples(experts),
        "proposal": proposal_samples(proposals, recipe.shot_weight),
        "empty": empty_samples(empty),
    }
    return TrainingSet(groups, held_experts + held_empty)


def stream_training_set(data: Data, recipe: DataRecipe, output: Path) -> TrainingSet:
    """Return the groups of `read_training_set` without reading them.

    Some photos that are held back are copied into the run folder.
    """

    def parts(names: Sequence[str]) -> list[Shard]:
        return [part for dataset in open_datasets(data, names) for part in dataset.parts()]

    def learned(make: Callable[[Record], list[Sample]]) -> Callable[[Record], list[Sample]]:
        return lambda record: [] if held_back(record) else make(record)

    def proposals(record: Record) -> list[Sample]:
        kept = record.composition is None or not held_back(record)
        return proposal_samples([record], recipe.shot_weight) if kept else []

    groups = {
        "expert": StreamedGroup(parts(recipe.experts), learned(lambda record: expert_samples([record]))),
        "proposal": StreamedGroup(parts(recipe.proposals), proposals),
        "empty": StreamedGroup(parts(recipe.empty), learned(lambda record: empty_samples([record]))),
    }
    for group in groups.values():
        for part in group.parts:
            part.check()
    skipped = SkippedPhotos(output)
    held = hold_back(groups["expert"].parts, lambda one: one.composition is not None, output / VALIDATION, skipped)
    held += hold_back(groups["empty"].parts, lambda one: one.no_subject, output / VALIDATION, skipped)
    return TrainingSet(groups, held)


def open_training_set(data: Data, recipe: DataRecipe, output: Path) -> TrainingSet:
    """Read a recipe's datasets, or prepare to stream them."""
    return stream_training_set(data, recipe, output) if recipe.streaming else read_training_set(data, recipe)


def datasets_of(data: Data, recipe: DataRecipe) -> list[PhotoDataset]:
    """Return a recipe's datasets, each once."""
    return open_datasets(data, recipe.experts + recipe.proposals + recipe.empty)


def _records(data: Data, names: tuple[str, ...]) -> list[Record]:
    return [record for name in names for record in read_dataset(open_dataset(data, name).folder)]


def train(
    recipe: SftRecipe, data: Data, output: Path, start: str | Path | None = None, *, offline: bool = False
) -> Path:
    """Run stage 1 and return the folder of the trained model.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Run folder; `fit` says what it will hold.
        start: Base to start from, a checkpoint folder or a hub id.
        offline: Use only models on this machine.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: There is no start, or a dataset or the base cannot be read.
    """
    datasets, streaming = datasets_of(data, recipe.data), recipe.data.streaming
    provenance.record(output, stage="sft", recipe=recipe, datasets=datasets, start=start, streaming=streaming)
    set_seed(recipe.optimisation.seed)
    training = open_training_set(data, recipe.data, output)
    return fit(load_start(recipe, start, offline=offline), training, recipe, output)


def load_start(recipe: SftRecipe, start: str | Path | None, *, offline: bool = False) -> TextBase:
    """Load the base that a supervised run starts from and configure it by the recipe; see `train`.

    Raises:
        ShotcropError: There is no start, it cannot be read, or its chat template changes answers.
    """
    if start is None:
        raise ShotcropError(
            "a large model starts from a trained one", hint="name a checkpoint folder, or ORG/NAME on the hub"
        )
    base = load_base(start, recipe.model, offline=offline, trained=True).configured(recipe.model)
    set_chat_template(base.processor, recipe.model.chat_template)
    check_chat_template(base.processor, str(start), think=base.contract.think)
    return base


def fit(base: TextBase, training: TrainingSet, recipe: SftRecipe, output: Path) -> Path:
    """Train a base on a training set. If the run folder holds a checkpoint, continue from the last one.

    Args:
        base: The base, which is trained in place.
        training: The training set. The recipe's shares say how often each group is drawn.
        recipe: The run's recipe.
        output: Run folder. It will hold checkpoints, `log.jsonl`, `curves.png`, the best model on the held-back tenth
            in `best`, with LoRA the low-rank updates in `adapter`, and the whole trained model in `final`. Photos that
            cannot be opened are listed in `skipped_photos.jsonl`.

    Returns:
        The folder of the trained model.

    Raises:
        ShotcropError: A batch cannot be split as the recipe says.
    """
    plan = recipe.optimisation
    settings = _settings(recipe, output)
    skipped = SkippedPhotos(output)
    drawn: dict[str, Any] = {
        "groups": training.groups,
        "shares": recipe.data.shares,
        "length": plan.steps * plan.batch_size * settings.world_size,
        "augmentation": recipe.augmentation,
        "seed": plan.seed,
        "contract": base.contract,
        "max_side": base.max_side,
        "skipped": skipped,
    }
    if recipe.data.streaming:
        buffer = recipe.data.buffer or BUFFER
        dealt = {"batch_size": settings.train_batch_size, "processes": settings.world_size}
        mixture: Mixture = StreamedMixture(**drawn, **dealt, buffer=buffer)
    else:
        mixture = Mixture(**drawn)

    def evaluate(model: torch.nn.Module) -> Mapping[str, float]:
        return validate(TorchComposer(replace(base, model=model), VALIDATION_BATCH), training.held_back, skipped)

    log = RunLog(output, evaluate if training.held_back else None, recipe.schedule.evaluate_every, skipped=skipped)
    common = {"args": settings, "train_dataset": mixture.dataset(), "callbacks": [log]}
    trainer = base.sft_trainer(recipe, common)
    log.watch(trainer, recipe.tracking.to)
    trainer.train(resume_from_checkpoint=last_checkpoint(output))
    final = save_final(trainer, base, recipe.model, output)
    if trainer.is_world_process_zero():
        draw_curves(output / LOG, output / CURVES)
    return final


def _settings(recipe: SftRecipe, output: Path) -> SFTConfig:
    plan, schedule, cuda = recipe.optimisation, recipe.schedule, torch.cuda.is_available()
    micro = recipe.model.micro_batch or plan.batch_size
    if plan.batch_size % micro:
        raise ShotcropError(
            f"a batch of {plan.batch_size} photos cannot be split into micro-batches of {micro}",
            hint="set micro_batch to a divisor of batch_size",
        )
    output.mkdir(parents=True, exist_ok=True)
    return SFTConfig(
        output_dir=str(output),
        max_steps=plan.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=plan.batch_size // micro,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=plan.warmup_steps,
        weight_decay=plan.weight_decay,
        max_grad_norm=plan.max_grad_norm,
        logging_steps=schedule.log_every,
        save_steps=schedule.save_every,
        save_total_limit=2,
        seed=plan.seed,
        use_cpu=not cuda,
        bf16=computes_in_bfloat16(recipe.model),
        gradient_checkpointing=recipe.model.gradient_checkpointing,
        max_length=None,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        # Rows are random already, and a stream is read in its order.
        train_sampling_strategy="sequential" if recipe.data.streaming else "random",
        **tracking_settings(recipe.tracking, output),
    )
