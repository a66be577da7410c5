from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training import NO_AUGMENTATION, write_dataset


def run_all(root: Path, output: Path, batch_size: int) -> None:
    """Train a large model with LoRA from the checkpoint of this name."""
    import vlm  # noqa: F401 - it registers the processor
    from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe
    from shotcrop_train.sft import train

    recipe = SftRecipe(
        data=DataRecipe(experts=("experts",), empty=("empty",), shares={"expert": 0.6, "empty": 0.4}),
        model=ModelRecipe(lora_rank=4, lora_dropout=0.0, max_pixels=0),
        optimisation=Optimisation(steps=3, batch_size=batch_size, learning_rate=1e-3, warmup_steps=0),
        augmentation=NO_AUGMENTATION,
        schedule=Schedule(log_every=1, evaluate_every=3, save_every=3),
    )
    train(recipe, root / "data", output / "vlm", root / "vlm")


@pytest.mark.slow
def test_two_processes_train_like_one_that_sees_both_their_batches(tmp_path: Path) -> None:
    from shotcrop_train.checkpoints import load_base
    from vlm import save_tiny_vlm

    for kind, photos in (("experts", 12), ("empty", 8)):
        write_dataset(tmp_path / "data" / kind, photos, kind)
    save_tiny_vlm(tmp_path / "vlm")
    # What `accelerate launch` starts on GPUs; on a CPU it would start one process, whatever the option says.
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", __file__, str(tmp_path)]
    here = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path]), "OMP_NUM_THREADS": "1"}
    together = subprocess.run(launch, capture_output=True, text=True, env=environment, check=False)
    assert together.returncode == 0, together.stderr[-3000:]
    run_all(tmp_path, tmp_path / "one", batch_size=4)
    for name in ("vlm",):
        logs = [(tmp_path / processes / name / "log.jsonl").read_text("utf-8") for processes in ("one", "two")]
        one, two = ([line for line in map(json.loads, log.splitlines()) if "loss" in line] for log in logs)
        assert [line["step"] for line in two] == [1, 2, 3]
        for key in ("loss", "grad_norm"):
            assert [line[key] for line in one] == pytest.approx([line[key] for line in two], rel=2e-3), (name, key)
        start, alone, pair = (
            load_base(folder).model.state_dict()
            for folder in (tmp_path / name, tmp_path / "one" / name / "final", tmp_path / "two" / name / "final")
        )
        moved = sum(float((alone[key] - start[key]).abs().sum()) for key in start)
        apart = sum(float((alone[key] - pair[key]).abs().sum()) for key in start)
        assert apart < 0.01 * moved, name


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_all(Path(sys.argv[1]), Path(sys.argv[1]) / "two", batch_size=2)
