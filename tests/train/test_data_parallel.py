from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing
from torch.nn.parallel import DistributedDataParallel

from shotcrop_cli.model.nano import grammar
from shotcrop_cli.shots import Box, Grounding
from shotcrop_train.nano.loss import LossWeights, nano_loss
from shotcrop_train.nano.torch_network import vocabulary_of
from training import NO_AUGMENTATION, save_tiny_model, tiny_model, write_dataset


def work(rank: int, folder: str) -> None:
    """Take one training step's gradients on a photo of this process's own, and save them."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model, processor = tiny_model()
    wrapped = DistributedDataParallel(model)
    box = Box(0.1 + 0.3 * rank, 0.2, 0.5 + 0.3 * rank, 0.9)
    answer = grammar.write(Grounding(box, box, 1 + rank, "indoor", "left", "full"), [(box, "a man")] * 3)
    text = grammar.prompt(processor.num_image_tokens, "<aspect_7>") + answer
    ids = torch.tensor(processor.tokenizer([text])["input_ids"])
    pixels = torch.full((1, 3, 64, 64), float(rank))
    output = wrapped(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, grounded=True)
    parts = nano_loss(
        output.last_hidden_state,
        output.scores,
        output.spots,
        output.told,
        model.get_output_embeddings().weight,
        ids,
        torch.ones(ids.shape),
        torch.full((1, vocabulary_of(processor.tokenizer).text_tokens), 0.01 * (1 + rank)),
        vocabulary_of(processor.tokenizer),
        LossWeights(),
    )
    parts.total.backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    torch.save({"loss": parts.total.detach(), "gradients": gradients}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_share_their_gradients(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert one["loss"] != other["loss"]  # they saw different photos
    assert one["gradients"].keys() == other["gradients"].keys()
    assert any(name.startswith("model.tower") for name in one["gradients"])
    for name, gradient in one["gradients"].items():
        assert torch.allclose(gradient, other["gradients"][name], atol=1e-6), name


def run_all(root: Path, output: Path, batch_size: int) -> None:
    """Train the compact model, and a larger one with LoRA, from the checkpoints of these names."""
    # Imported here since the processes of the other test, which need none of it, import this file too.
    import vlm  # noqa: F401 - it registers the processor
    from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe
    from shotcrop_train.sft import train

    names, shares = {"experts": ("experts",), "empty": ("empty",)}, {"expert": 0.4, "proposal": 0.3, "empty": 0.3}
    nano = SftRecipe(
        data=DataRecipe(**names, proposals=("proposals",), shares=shares),
        optimisation=Optimisation(steps=3, batch_size=batch_size, learning_rate=1e-3, warmup_steps=0, freeze_stages=7),
        augmentation=NO_AUGMENTATION,
        schedule=Schedule(log_every=1, evaluate_every=3, save_every=3),
    )
    large = replace(
        nano,
        data=DataRecipe(**names, shares={"expert": 0.6, "empty": 0.4}),
        model=ModelRecipe(lora_rank=4, lora_dropout=0.0, max_pixels=0),
    )
    for name, recipe in (("nano", nano), ("vlm", large)):
        train(recipe, root / "data", output / name, root / name)


@pytest.mark.slow
def test_two_processes_train_like_one_that_sees_both_their_batches(tmp_path: Path) -> None:
    from shotcrop_train.checkpoints import load_base
    from vlm import save_tiny_vlm

    for kind, photos in (("experts", 12), ("proposals", 8), ("empty", 8)):
        write_dataset(tmp_path / "data" / kind, photos, kind)
    save_tiny_model(tmp_path / "nano")
    save_tiny_vlm(tmp_path / "vlm")
    # What `accelerate launch` starts on GPUs; on a CPU it would start one process, whatever the option says.
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", __file__, str(tmp_path)]
    here = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path]), "OMP_NUM_THREADS": "1"}
    together = subprocess.run(launch, capture_output=True, text=True, env=environment, check=False)
    assert together.returncode == 0, together.stderr[-3000:]
    run_all(tmp_path, tmp_path / "one", batch_size=4)
    for name in ("nano", "vlm"):
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
