"""Checkpoints to continue from: each is written whole or not at all, and damaged ones are skipped."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from shotcrop_cli.errors import ShotcropError

UNFINISHED = "unfinished-checkpoint"
"""Folder in a run folder where a checkpoint is written before it gets its name."""


class WholeCheckpoints(Trainer):
    """A trainer of transformers that writes checkpoints to a temporary folder and then renames it.

    A run that is killed while it writes keeps the checkpoint before.
    """

    _unfinished = False

    def _get_output_dir(self, trial: Any) -> str:
        """Return the folder that checkpoints are written to."""
        folder: str = super()._get_output_dir(trial)
        return str(Path(folder) / UNFINISHED) if self._unfinished else folder

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, rename it, and remove those beyond the limit."""
        run = Path(super()._get_output_dir(trial))
        temporary, name = run / UNFINISHED, f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(temporary, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._unfinished = True
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._unfinished = False
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            shutil.rmtree(run / name, ignore_errors=True)
            (temporary / name).rename(run / name)
            temporary.rmdir()
            rotate_checkpoints(output_dir=str(run), save_total_limit=self.args.save_total_limit, use_mtime=True)
        self.accelerator.wait_for_everyone()


def last_checkpoint(run: Path) -> str | None:
    """Return the newest whole checkpoint of a run, None if it has no checkpoint yet.

    Each damaged one that is newer is named on stderr. The run replaces it when it gets there again.

    Raises:
        ShotcropError: The run has checkpoints, but all are damaged.
    """
    found = sorted(
        (folder for folder in run.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _step(folder) >= 0), key=_step, reverse=True
    )
    for folder in found:
        damage = _damage(folder)
        if damage is None:
            if folder != found[0]:
                print(f"{run}: the run continues from {folder.name}", file=sys.stderr)
            return str(folder)
        print(f"{folder} is damaged and not used: {damage}", file=sys.stderr)
    if found:
        raise ShotcropError(
            f"all checkpoints in {run} are damaged", hint=f"delete {found[0]} and others, and start the run again"
        )
    return None


def _step(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() and folder.is_dir() else -1


def _damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint, None if nothing is. Only headers and lengths of weights are read."""
    try:
        # transformers writes this file last.
        json.loads((folder / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{TRAINER_STATE_NAME} is missing"
    except (OSError, ValueError):
        return f"{TRAINER_STATE_NAME} cannot be read"
    weights = sorted(folder.rglob("*.safetensors"))
    for file in weights:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError):
            return f"{file.name} is incomplete"
    for file in sorted(one for pattern in ("*.pt", "*.pth", "*.bin") for one in folder.rglob(pattern)):
        # torch writes zip archives, whose index is at the end.
        if file.name != "training_args.bin" and not zipfile.is_zipfile(file):
            return f"{file.name} is incomplete"
    if not weights and not any(one.is_dir() for one in folder.iterdir()):
        return "the weights are missing"
    return None
