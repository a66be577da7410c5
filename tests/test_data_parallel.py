from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing
from torch.nn.parallel import DistributedDataParallel

from shotcrop_cli.model import grammar
from shotcrop_cli.shots import Box, Grounding
from shotcrop_train.nano.loss import LossWeights, nano_loss
from shotcrop_train.nano.network import vocabulary_of
from training import tiny_model


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
        model.get_output_embeddings().weight,
        ids,
        torch.ones(ids.shape),
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
