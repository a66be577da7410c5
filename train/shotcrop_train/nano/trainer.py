"""trl's SFT trainer for the compact model."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from shotcrop_train.nano.loss import LossWeights, nano_loss
from shotcrop_train.nano.torch_network import vocabulary_of


class GroundedTrainer(SFTTrainer):
    """trl's SFT trainer with the compact model's loss and a learning rate of its own for the tower."""

    optimizer: torch.optim.Optimizer | None

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
            output.told,
            self.accelerator.unwrap_model(model).get_output_embeddings().weight,
            inputs["labels"],
            inputs["token_weights"],
            inputs["bags"],
            self.locations,
            self.loss_weights,
            self._average,
        )
        for name in ("words", "attributes", "locations", "l1", "giou", "spot", "bag"):
            self.sums[name] = self.sums.get(name, 0.0) + float(getattr(parts, name).detach())
        self.counted += 1
        return (parts.total, output) if return_outputs else parts.total

    def _average(self, value: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor = self.accelerator.reduce(value.detach(), reduction="mean")
        return mean

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each part of the loss since the last log."""
        if "loss" in logs and self.counted:
            logs |= {f"loss_{name}": total / self.counted for name, total in self.sums.items()}
            self.sums, self.counted = {}, 0
        super().log(logs, *args, **kwargs)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Build AdamW with three groups: the tower, matrices, and everything that weight decay would only hurt."""
        if self.optimizer is None:
            tower: list[torch.nn.Parameter] = []
            matrices: list[torch.nn.Parameter] = []
            others: list[torch.nn.Parameter] = []
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
