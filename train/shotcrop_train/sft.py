"""Stage 1, supervised fine-tuning of the compact model, grounded chain of thought included.

The algorithm: rows are drawn from a mixture of expert triples, detections with rule-based proposals, and photos of
nobody; they are augmented; the model learns the next token of the whole answer, chain of thought first. It runs twice,
with two recipes:

    shotcrop train sft --config nano-grounding --data DATA -o runs/grounding
    shotcrop train sft --config nano-cot --data DATA -o runs/cot --from runs/grounding/final

Departures from the paper, whose stage 1 fine-tunes a large vision-language model on text targets [P]:
* The chain of thought is the lead's box, head, facing and scale, not prose; detections supervise it on thousands of
  photos.
* Location tokens learn from soft targets and from the boxes they mean (`nano.loss`).
* A first run teaches grounding and captions without any expert, since the decoder starts from nothing.

A run can be cut at any time: started again with the same folder it goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback, set_seed
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from shotcrop_cli.dataset import Record, read_dataset
from shotcrop_cli.errors import ShotcropError
from shotcrop_train.curves import draw_curves
from shotcrop_train.data import Mixture, NanoCollator
from shotcrop_train.nano import NanoConfig, NanoForConditionalGeneration, NanoImageProcessor, NanoProcessor
from shotcrop_train.nano.configuration import default_text_config
from shotcrop_train.nano.loss import LossWeights, nano_loss
from shotcrop_train.nano.network import vocabulary_of
from shotcrop_train.nano.processing import train_tokenizer
from shotcrop_train.recipe import DataRecipe, SftRecipe
from shotcrop_train.samples import Sample, empty_samples, expert_samples, held_back, proposal_samples, split
from shotcrop_train.watch import watch

FINAL = "final"
LOG = "log.jsonl"
CURVES = "curves.png"
EXPERT_CAPTION_REPEATS = 4
"""How often an expert caption counts when the vocabulary is learned; whole-photo captions are far more numerous [O]."""


@dataclass(frozen=True)
class TrainingSet:
    """What a recipe's datasets come to: samples to train on by group, and records to watch training with."""

    groups: dict[str, list[Sample]]
    held_back: list[Record]
    captions: list[str]


def read_training_set(data: Path, recipe: DataRecipe) -> TrainingSet:
    """Read a recipe's datasets below `data` and part off the held-back slice."""
    experts, held_experts = split(_records(data, recipe.experts))
    empty, held_empty = split(_records(data, recipe.empty))
    proposals = [
        record for record in _records(data, recipe.proposals) if record.composition is None or not held_back(record)
    ]
    captions = [text for record in experts + proposals for text in record.captions]
    for record in experts:
        if record.composition is not None:
            captions += [shot.caption for shot in record.composition.shots] * EXPERT_CAPTION_REPEATS
    groups = {
        "expert": expert_samples(experts),
        "proposal": proposal_samples(proposals, recipe.shot_weight),
        "empty": empty_samples(empty),
    }
    return TrainingSet(groups, held_experts + held_empty, captions)


def _records(data: Path, names: tuple[str, ...]) -> list[Record]:
    return [record for name in names for record in read_dataset(data / name)]


def new_model(captions: list[str], vocabulary: int) -> tuple[NanoForConditionalGeneration, NanoProcessor]:
    """Return a fresh compact model with ImageNet's tower, and the processor whose vocabulary the captions give."""
    tokenizer = train_tokenizer(captions, vocabulary)
    places = vocabulary_of(tokenizer)
    config = NanoConfig(
        text_config=default_text_config(len(places)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = NanoForConditionalGeneration(config)
    model.model.tower.load_imagenet()
    model.initialise_locations(places.locations)
    return model, NanoProcessor(NanoImageProcessor(config.image_size), tokenizer)


def load_model(checkpoint: Path) -> tuple[NanoForConditionalGeneration, NanoProcessor]:
    """Load model and processor from a checkpoint folder.

    Raises:
        ShotcropError: The folder holds no compact model.
    """
    try:
        model = AutoModelForImageTextToText.from_pretrained(checkpoint, local_files_only=True)
        processor = AutoProcessor.from_pretrained(checkpoint, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ShotcropError(
            f"{checkpoint} is no checkpoint: {reason}", hint="name a folder that `shotcrop train` wrote"
        ) from error
    if not isinstance(model, NanoForConditionalGeneration) or not isinstance(processor, NanoProcessor):
        raise ShotcropError(f"{checkpoint} is no checkpoint of shotcrop-nano", hint="name a folder of `train sft`")
    return model, processor


class GroundedTrainer(SFTTrainer):  # type: ignore[misc]
    """trl's SFT trainer with the compact model's loss and a learning rate of its own for the tower."""

    def __init__(self, *args: Any, loss_weights: LossWeights, tower_learning_rate: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_weights = loss_weights
        self.tower_learning_rate = tower_learning_rate
        self.locations = vocabulary_of(self.processing_class.tokenizer)
        self.sums: dict[str, float] = {}
        self.counted = 0

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Return the loss of `nano.loss` on the backbone's hidden states; each part is averaged into the next log."""
        output = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            pixel_values=inputs["pixel_values"],
            grounded=True,
        )
        parts = nano_loss(
            output.last_hidden_state,
            output.scores,
            output.spots,
            self.accelerator.unwrap_model(model).get_output_embeddings().weight,
            inputs["labels"],
            inputs["token_weights"],
            self.locations,
            self.loss_weights,
        )
        for name in ("words", "attributes", "locations", "l1", "giou", "spot"):
            self.sums[name] = self.sums.get(name, 0.0) + float(getattr(parts, name).detach())
        self.counted += 1
        return (parts.total, output) if return_outputs else parts.total

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each part of the loss since the last log."""
        if "loss" in logs and self.counted:
            logs |= {f"loss_{name}": total / self.counted for name, total in self.sums.items()}
            self.sums, self.counted = {}, 0
        super().log(logs, *args, **kwargs)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Build AdamW with three groups: the tower, matrices, and everything that weight decay would only hurt."""
        if self.optimizer is None:
            tower, matrices, others = [], [], []
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    group = tower if ".tower." in name else matrices if parameter.ndim == 2 else others
                    group.append(parameter)
            rate, decay = self.args.learning_rate, self.args.weight_decay
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": tower, "lr": self.tower_learning_rate, "weight_decay": 0.0},
                    {"params": matrices, "lr": rate, "weight_decay": decay},
                    {"params": others, "lr": rate, "weight_decay": 0.0},
                ],
                betas=(0.9, 0.98),
            )
        return self.optimizer


class RunLog(TrainerCallback):  # type: ignore[misc]
    """Appends every log line to the run's JSONL file and evaluates on the held-back slice in between."""

    def __init__(self, folder: Path, records: list[Record], processor: NanoProcessor, every: int) -> None:
        self.path, self.records, self.processor, self.every = folder / LOG, records, processor, every
        self.started, self.first_step = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.started, self.first_step = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write one line."""
        seconds = time.monotonic() - self.started
        photos = (state.global_step - self.first_step) * args.per_device_train_batch_size * args.world_size
        self.write({"step": state.global_step, "images_per_s": round(photos / max(seconds, 1e-9), 2), **(logs or {})})

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Evaluate at every `every`-th step and at the last one."""
        if self.records and (state.global_step % self.every == 0 or state.global_step == state.max_steps):
            self.write({"step": state.global_step, **watch(model, self.processor, self.records)})

    def write(self, line: dict[str, Any]) -> None:
        """Append a line at once, so that a cut run keeps it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **line}) + "\n")


def train(recipe: SftRecipe, data: Path, output: Path, start: Path | None = None) -> Path:
    """Run stage 1 and return the folder of the trained model.

    Args:
        recipe: What to do.
        data: Folder that holds the recipe's datasets.
        output: Run folder: checkpoints, `log.jsonl`, `curves.png`, `recipe.json` and the trained model in `final`.
        start: Checkpoint to start from; None starts a new model from ImageNet's tower.

    Raises:
        ShotcropError: A dataset or the checkpoint cannot be read.
    """
    set_seed(recipe.optimisation.seed)
    training = read_training_set(data, recipe.data)
    model, processor = load_model(start) if start else new_model(training.captions, recipe.vocabulary)
    plan, schedule = recipe.optimisation, recipe.schedule
    model.model.tower.freeze(plan.freeze_stages)
    model.to(memory_format=torch.channels_last)
    output.mkdir(parents=True, exist_ok=True)
    (output / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    cuda = torch.cuda.is_available()
    mixture = Mixture(
        training.groups,
        recipe.data.shares,
        length=plan.steps * plan.batch_size,
        size=model.config.image_size,
        augmentation=recipe.augmentation,
        seed=plan.seed,
    )
    trainer = GroundedTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(output),
            max_steps=plan.steps,
            per_device_train_batch_size=plan.batch_size,
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
            bf16=cuda,
            gradient_checkpointing=False,
            max_length=None,
            remove_unused_columns=False,
            dataloader_num_workers=0,
            report_to=[],
        ),
        train_dataset=mixture.dataset(),
        data_collator=NanoCollator(processor, recipe.augmentation.location_noise, plan.seed),
        processing_class=processor,
        callbacks=[RunLog(output, training.held_back, processor, schedule.evaluate_every)],
        loss_weights=recipe.loss,
        tower_learning_rate=plan.tower_learning_rate,
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(output)))
    trainer.save_model(str(output / FINAL))
    processor.save_pretrained(str(output / FINAL))
    draw_curves(output / LOG, output / CURVES)
    return output / FINAL
