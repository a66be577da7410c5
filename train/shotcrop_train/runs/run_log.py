"""The log of a training run, evaluation during the run, and the best checkpoint."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from torch.nn import Module
from transformers import TrainerCallback

from shotcrop_train.data.skipped_photos import SkippedPhotos
from shotcrop_train.runs.log_file import BEST, LOG, read_log
from shotcrop_train.runs.tracking import Trackers

BOARD = "tensorboard"
__all__ = ["BEST", "BOARD", "LOG", "RunLog", "read_log"]


class RunLog(TrainerCallback):
    """Appends every log line to the run's `log.jsonl`, evaluates the model during the run and keeps the best in `best`.

    Every number also goes to a TensorBoard log, and measurements also to `trackers` once these are set. With several
    processes, only the first evaluates and writes.

    Args:
        folder: The run folder.
        evaluate: Measures the model; None for no evaluation.
        every: Steps between evaluations. There is one after the last step too.
        best: The measurement, the higher the better, that chooses the best model; None keeps none.
        skipped: Photos that this process could not open; every line has their number.
    """

    def __init__(
        self,
        folder: Path,
        evaluate: Callable[[Module], Mapping[str, float]] | None,
        every: int,
        best: str | None = "held_iou",
        skipped: SkippedPhotos | None = None,
    ) -> None:
        self.skipped = skipped
        self.folder, self.evaluate, self.every, self.best = folder, evaluate, every, best
        self.started, self.first_step = time.monotonic(), 0
        self.board: SummaryWriter | None = None
        self.trackers: Trackers | None = None

    def watch(self, trainer: Any, trackers: tuple[str, ...] = ()) -> None:
        """Report measurements to the trackers of a trainer, and measure nothing if its model is sharded.

        Only the first process measures, and it would wait forever for the other processes' shards.
        """
        self.trackers = Trackers(trainer, trackers)
        if self.evaluate is not None and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
            self.evaluate = None
            if trainer.is_world_process_zero():
                print(
                    "the model is sharded, so held-back photos are not measured during the run: use shotcrop eval",
                    file=sys.stderr,
                )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.started, self.first_step = time.monotonic(), state.global_step
        if state.is_world_process_zero:
            self.board = SummaryWriter(str(self.folder / BOARD))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write one line."""
        seconds = time.monotonic() - self.started
        batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
        photos = (state.global_step - self.first_step) * batch
        skipped = {} if self.skipped is None else {"photos_skipped": len(self.skipped)}
        self._write(state, {"images_per_s": round(photos / max(seconds, 1e-9), 2), **skipped, **(logs or {})})

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **kwargs: Any
    ) -> None:
        """Evaluate at every `every`-th step and at the last one."""
        due = state.global_step % self.every == 0 or state.global_step == state.max_steps
        if self.evaluate is None or not due or not state.is_world_process_zero:
            return
        figures = dict(self.evaluate(model))
        if self.best in figures and figures[self.best] > self._top():
            self._keep(model, processing_class)
        self._write(state, figures)
        if self.trackers is not None:
            self.trackers.log(figures)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the board."""
        if self.board is not None:
            self.board.close()

    def _top(self) -> float:
        """Return the best measurement so far, also from before an interruption."""
        return max((line[self.best] for line in read_log(self.folder / LOG) if self.best in line), default=-1.0)

    def _keep(self, model: Any, processor: Any) -> None:
        """Replace the best model. A run that is interrupted here keeps the previous one."""
        target, new = self.folder / BEST, self.folder / f"{BEST}.new"
        shutil.rmtree(new, ignore_errors=True)
        model.save_pretrained(str(new))
        processor.save_pretrained(str(new))
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)

    def _write(self, state: Any, figures: Mapping[str, Any]) -> None:
        """Append a line at once, so that an interrupted run keeps it."""
        if not state.is_world_process_zero:
            return
        step = state.global_step
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "step": step, **figures}
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.board is not None:
            for name, value in figures.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, step)
