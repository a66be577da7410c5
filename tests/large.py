"""Tiny large models for tests: with diverse answers, or trained to give one answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from shotcrop_cli.model.large.answer import CoordSpace, render
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_cli.shots import Box, Composition, Shot, ShotType
from shotcrop_train.text_base import CONTRACT_KEY
from vlm import photo, tiny_vlm

BOXES = {
    ShotType.ESTABLISHING: Box(0.0, 0.125, 1.0, 0.875),
    ShotType.MEDIUM: Box(0.25, 0.25, 0.75, 0.75),
    ShotType.CLOSE_UP: Box(0.375, 0.25, 0.625, 0.5),
}
ANSWER = Composition(tuple(Shot(kind, box, f"the {kind}") for kind, box in BOXES.items()))


def write_noise(folder: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    """Write photos of noise, of certain widths and heights."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, (width, height) in enumerate(sizes):
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


def save_diverse_vlm(folder: Path, family: str, seed: int = 0) -> Path:
    """Write a random model whose answers are diverse: fresh weights are too small to make much of a difference."""
    model, processor = tiny_vlm(family, seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "embed" not in name:
                weight.mul_(6)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_taught_vlm(folder: Path, family: str, space: CoordSpace, steps: int = 150) -> Path:
    """Write a model that answers every photo with `ANSWER` and no reasoning, learned by heart."""
    model, processor = tiny_vlm(family)
    processor.tokenizer.init_kwargs[CONTRACT_KEY] = {"space": space.value, "think": False}
    content = [{"type": "image"}, {"type": "text", "text": instruction(space, think=False)}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    answer = render(ANSWER, space=space, image_size=(56, 56), think=False) + processor.tokenizer.eos_token
    batch = processor(images=[photo(56, 56)], text=[prompt + answer], return_tensors="pt")
    begin = len(processor(images=[photo(56, 56)], text=[prompt])["input_ids"][0])
    labels = batch["input_ids"].clone()
    labels[:, :begin] = -100
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    model.train()
    for _ in range(steps):
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
