"""Stage 3 of large models, GRPO-S: group relative policy optimisation with a composite reward made for the task.

The algorithm: for each photo the policy samples a group of G answers at temperature 1, and `rewards` judges each. An
answer's advantage is (r - mean) / (std + 1e-4) within its group. The weights follow the clipped policy gradient, with a
KL penalty towards the model that the stage started from. It is trl's `GRPOTrainer` with our reward:

    shotcrop train grpo --config qwen3-vl-grpo-paper --data DATA -o runs/grpo --from runs/ssft/final
    accelerate launch --num_processes 8 -m shotcrop_cli train grpo --config qwen3-vl-grpo-paper ...

* Groups without variance are dropped, as in DAPO. Their advantage is 0 anyway; dropped, they also have no KL term and
  no part in the loss's mean. `groups_without_variance` in the log is their share.
* Truncated answers are masked, as in DAPO. They count in their group's mean with a reward of 0, but have no gradient.
* Hard cases of stage 2 have no expert's box, so only terms that need none reward them (our own choice).

Each row depends on the seed and its number alone, so an interrupted run that continues sees the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed
from trl import GRPOConfig, GRPOTrainer
from trl.import_utils import is_vllm_available
from trl.trainer import grpo_trainer

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data, open_datasets
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_train.checkpoint_folders import WholeCheckpoints, last_checkpoint
from shotcrop_train.checkpoints import ADAPTER, computes_in_bfloat16, find_checkpoint_folder, load_base
from shotcrop_train.data.chat_template import check_chat_template, set_chat_template
from shotcrop_train.data.samples import split
from shotcrop_train.data.skipped_photos import SkippedPhotos
from shotcrop_train.recipe import ModelRecipe, Schedule, Tracking
from shotcrop_train.rewards.photo_pool import GrpoData, PhotoPool, read_hard_cases
from shotcrop_train.rewards.reward_function import RewardRecipe, prepare
from shotcrop_train.runs import provenance
from shotcrop_train.runs.curves import Panel, draw_curves
from shotcrop_train.runs.final_model import save_final
from shotcrop_train.runs.run_log import LOG, RunLog
from shotcrop_train.runs.tracking import tracking_settings
from shotcrop_train.runs.validation import validate
from shotcrop_train.sft import CURVES
from shotcrop_train.torch_composer import TorchComposer
from shotcrop_train.weighted_trainer import add_head_bias

WITHOUT_VARIANCE = 1e-2
"""A group whose advantages are all below this has rewards that differ by less than a millionth, by rounding."""

PANELS = (
    Panel("reward and its parts", ("reward", "group_")),
    Panel("format, truncation, groups", ("format_rate", "completions/clipped_ratio", "groups_without_variance")),
    Panel("KL and entropy", ("kl", "entropy")),
    Panel("held-back IoU", ("held_iou",)),
)


@dataclass(frozen=True)
class Policy:
    """How answers are sampled and weights are updated; group, temperature, beta and clip are as in related work.

    Args:
        steps: Optimiser steps of the whole run.
        photos: Photos per step and device.
        group: Answers to each photo, G.
        batch_size: Answers per forward pass and device.
        learning_rate: Reached after `warmup_steps`, constant from then on.
        warmup_steps: Steps until then.
        max_grad_norm: Gradients longer than this are scaled down to it.
        temperature: Sampling temperature.
        max_tokens: Longest answer; longer ones are truncated and masked.
        beta: Weight of the KL penalty.
        clip_low: A token's probability ratio is clipped this far below 1.
        clip_high: It is clipped this far above 1.
        seed: Random seed.
    """

    steps: int = 500
    photos: int = 8
    group: int = 8
    batch_size: int = 8
    learning_rate: float = 1e-5
    warmup_steps: int = 10
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    max_tokens: int = 512
    beta: float = 0.01
    clip_low: float = 0.2
    clip_high: float = 0.28
    seed: int = 0

    def __post_init__(self) -> None:
        if self.group < 2:
            raise ValueError("a group needs at least 2 answers")
        if self.photos * self.group % self.batch_size:
            raise ValueError(f"batch_size ({self.batch_size}) must divide photos x group ({self.photos * self.group})")


@dataclass(frozen=True)
class Generation:
    """What samples the answers.

    Args:
        engine: `transformers`, or `vllm`, which is several times as fast and must be installed.
        mode: For vLLM: `colocate` shares the training GPUs, `server` uses a `trl vllm-serve`.
        memory: Share of a GPU's memory that `colocate` takes.
        server: Address of the server, such as http://host:8000.
        options: Further options of trl's `GRPOConfig`, such as `vllm_tensor_parallel_size` or `top_p`.
    """

    engine: str = "transformers"
    mode: str = "colocate"
    memory: float = 0.3
    server: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in (("engine", ("transformers", "vllm")), ("mode", ("colocate", "server"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"'{name}' must be {' or '.join(choices)}, not '{getattr(self, name)}'")
        if self.engine == "vllm" and self.mode == "server" and not self.server:
            raise ValueError("mode 'server' needs the address of the 'server', such as http://host:8000")
        for name in self.options:
            if name not in _GENERATION_OPTIONS:
                close = get_close_matches(name, _GENERATION_OPTIONS, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(_GENERATION_OPTIONS))}"
                raise ValueError(f"trl has no option '{name}' for generation; {hint}")

    def settings(self) -> dict[str, Any]:
        """Return trl's settings.

        Raises:
            ShotcropError: vLLM is wanted and not installed.
        """
        if self.engine == "transformers":
            return dict(self.options)
        if not is_vllm_available():
            install = install_hint.add_packages("'trl[vllm]'")
            raise ShotcropError(
                "the recipe samples answers with vLLM, which is not installed",
                hint=f"{install}, or set generation.engine = 'transformers'",
            )
        return {
            "use_vllm": True,
            "vllm_mode": self.mode,
            "vllm_gpu_memory_utilization": self.memory,
            "vllm_server_base_url": self.server or None,
            **self.options,
        }


_OURS = {"vllm_mode", "vllm_gpu_memory_utilization", "vllm_server_base_url"}
_SAMPLING = {"top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs", "cache_implementation"}
_GENERATION_OPTIONS = _SAMPLING | {
    one.name for one in fields(GRPOConfig) if one.name.startswith("vllm_") and one.name not in _OURS
}
"""What a recipe may pass through to trl. The other options of sampling are in the recipe itself."""


@dataclass(frozen=True)
class GrpoRecipe:
    """A run of stage 3."""

    data: GrpoData
    model: ModelRecipe = field(default_factory=ModelRecipe)
    reward: RewardRecipe = field(default_factory=RewardRecipe)
    optimisation: Policy = field(default_factory=Policy)
    generation: Generation = field(default_factory=Generation)
    schedule: Schedule = field(default_factory=Schedule)
    tracking: Tracking = field(default_factory=Tracking)


class GroupTrainer(WholeCheckpoints, GRPOTrainer):
    """trl's GRPO trainer without the groups whose answers all earn the same.

    In full fine-tuning, the reference of the KL penalty is a copy of the model as it is given. trl would load the model
    that the configuration names. For a merged adapter that is the adapter's base, which is another model.
    """

    def __init__(self, *args: Any, model: Any, **kwargs: Any) -> None:
        settings = kwargs["args"]
        needed = settings.beta != 0.0 and kwargs.get("peft_config") is None
        with _reference(deepcopy(model) if needed else None):
            super().__init__(*args, model=model, **kwargs)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Sample and reward answers, then mask the groups without variance."""
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        # A device's batch holds whole groups, see `Policy`, so other devices are not needed here.
        spread = output["advantages"].view(-1, self.num_generations).abs().amax(dim=1)
        flat = spread < WITHOUT_VARIANCE
        output["completion_mask"] = output["completion_mask"] * ~flat.repeat_interleave(self.num_generations)[:, None]
        output["num_items_in_batch"] = self.accelerator.gather(output["completion_mask"].sum()).sum()
        shares = self.accelerator.gather(flat.float())
        self._metrics["train"]["groups_without_variance"].append(shares.mean().item())
        return output


@contextmanager
def _reference(model: torch.nn.Module | None) -> Iterator[None]:
    """Let trl take this model as its reference instead of loading one. None changes nothing."""
    if model is None:
        yield
        return
    load = grpo_trainer.create_model_from_path
    grpo_trainer.create_model_from_path = lambda *_, **__: model.requires_grad_(False)
    try:
        yield
    finally:
        grpo_trainer.create_model_from_path = load


def train(
    recipe: GrpoRecipe,
    data: Data,
    output: Path,
    start: str | Path | None,
    *,
    hard: Path | None = None,
    offline: bool = False,
) -> Path:
    """Run stage 3 and return the folder of the trained model.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Run folder: checkpoints, `log.jsonl`, `curves.png`, `run.json` and the trained model in `final`.
        start: Checkpoint that follows the contract already.
        hard: The `hard.jsonl` of stage 2. Without it, only experts' photos are drawn.
        offline: Use only models on this machine.

    Raises:
        ShotcropError: There is no start, or a dataset, the checkpoint or a scorer cannot be read.
    """
    if start is None:
        raise ShotcropError(
            "stage 3 improves a trained model and cannot start from a new one",
            hint="name a checkpoint of `train sft` or `ssft`",
        )
    datasets = open_datasets(data, (*recipe.data.experts, *recipe.data.empty))
    provenance.record(
        output, stage="grpo", recipe=recipe, datasets=[*datasets, *([hard.parent] if hard else [])], start=start
    )
    plan = recipe.optimisation
    set_seed(plan.seed)
    rows = [record for dataset in datasets for record in read_dataset(dataset.folder)]
    experts, held_back = split([one for one in rows if one.composition is not None and any(one.accepted)])
    empty, held_empty = split([one for one in rows if one.no_subject] if recipe.data.empty else [])
    held_back += held_empty
    if recipe.generation.engine == "vllm":
        _check_vllm_can_load(start, offline=offline)
    base = load_base(start, recipe.model, offline=offline, trained=True)
    set_chat_template(base.processor, recipe.model.chat_template)
    check_chat_template(base.processor, str(start), think=base.contract.think)
    base.prepare_stage_3(recipe.model)
    skipped = SkippedPhotos(output)
    cases = read_hard_cases(hard) if hard else []
    shares = recipe.data.hard_share, recipe.data.empty_share
    pool = PhotoPool(experts, cases, base, shares[0], plan.seed, skipped, empty, shares[1])
    settings = _settings(recipe, output)

    def evaluate(model: torch.nn.Module) -> Mapping[str, float]:
        return validate(TorchComposer(replace(base, model=model)), held_back, skipped)

    log = RunLog(output, evaluate if held_back else None, recipe.schedule.evaluate_every, skipped=skipped)
    trainer = GroupTrainer(
        model=base.model,
        reward_funcs=prepare(recipe.reward, pool, plan.group, experts, offline=offline, skipped=skipped),
        args=settings,
        train_dataset=pool.dataset(plan.steps * plan.photos * settings.world_size),
        processing_class=base.processor,
        peft_config=base.lora(recipe.model),
        callbacks=[log],
    )
    log.watch(trainer, recipe.tracking.to)
    add_head_bias(trainer.model)
    trainer.train(resume_from_checkpoint=last_checkpoint(output))
    final = save_final(trainer, base, recipe.model, output)
    if trainer.is_world_process_zero():
        draw_curves(output / LOG, output / CURVES, PANELS)
    return final


def _check_vllm_can_load(start: str | Path, *, offline: bool) -> None:
    """Refuse to start from an adapter: vLLM loads the start from its folder.

    Raises:
        ShotcropError: The start is an adapter.
    """
    if (find_checkpoint_folder(start, offline=offline) / ADAPTER).is_file():
        raise ShotcropError(
            f"{start} is a LoRA adapter, and vLLM needs a whole model to start from",
            hint=f"merge it first: shotcrop train merge {start} MERGED, and start from MERGED",
        )


def _settings(recipe: GrpoRecipe, output: Path) -> GRPOConfig:
    plan, schedule, cuda = recipe.optimisation, recipe.schedule, torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(output),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch_size,
        # All answers of a step are sampled at once, so they are on policy, with as many forward passes as needed.
        gradient_accumulation_steps=plan.photos * plan.group // plan.batch_size,
        num_generations=plan.group,
        max_completion_length=plan.max_tokens,
        temperature=plan.temperature,
        beta=plan.beta,
        epsilon=plan.clip_low,
        epsilon_high=plan.clip_high,
        mask_truncated_completions=True,
        # Rows are random already.
        shuffle_dataset=False,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=plan.warmup_steps,
        max_grad_norm=plan.max_grad_norm,
        gradient_checkpointing=recipe.model.gradient_checkpointing,
        bf16=computes_in_bfloat16(recipe.model),
        use_cpu=not cuda,
        **recipe.generation.settings(),
        logging_steps=schedule.log_every,
        save_steps=schedule.save_every,
        save_total_limit=2,
        seed=plan.seed,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        **tracking_settings(recipe.tracking, output),
    )
