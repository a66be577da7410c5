"""trl's SFT trainer with a weight for each token, for models that answer in words."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from shotcrop_train.checkpoint_folders import WholeCheckpoints


class WeightedTrainer(WholeCheckpoints, SFTTrainer):
    """trl's SFT trainer with a weight for each token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        add_head_bias(self.model)
        # Qwen's models say no, and then labels would be averaged over each process's micro-batch alone.
        self.model_accepts_loss_kwargs = True
        self.hits, self.tokens = 0.0, 0.0

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Return the weighted negative log-likelihood, divided by the number of labels in the batch of all processes.

        As in trl, the head is applied to the labelled tokens alone. `num_items_in_batch` counts the labels of every
        process and every micro-batch, and the processes' gradients are averaged.
        """
        weights = inputs.pop("token_weights")[:, 1:]
        output = model(**inputs, use_cache=False, fused_lm_head=True)
        count = output.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = -(output.log_probs * weights).sum() / torch.as_tensor(count).clamp(min=1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        self.hits += float(output.is_top1.sum())
        self.tokens += float(output.label_mask.sum())
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the share of labels that were this process's most likely tokens since the last log."""
        if "loss" in logs and self.tokens:
            logs["token_accuracy"] = self.hits / self.tokens
            self.hits, self.tokens = 0.0, 0.0
        super().log(logs, *args, **kwargs)


def add_head_bias(model: torch.nn.Module) -> None:
    """Give a language head that peft wraps the bias of None that trl's trainers read.

    Without it peft's wrapper of a tied head fails in trl's fused forward. Call this once the trainer is made.
    """
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None
