"""A look at the model during training: decode the held-back photos and compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shotcrop_cli.dataset import Record
from shotcrop_cli.geometry import iou
from shotcrop_cli.model import grammar
from shotcrop_cli.model.generate import Draft
from shotcrop_cli.model.preprocess import pixel_values, squash
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train.detections import ground
from shotcrop_train.nano.modelling import NanoForConditionalGeneration
from shotcrop_train.nano.network import TorchNetwork, decoder_of
from shotcrop_train.nano.processing import NanoProcessor
from shotcrop_train.samples import load_pixels

BATCH = 32


def answer(model: NanoForConditionalGeneration, processor: NanoProcessor, records: Sequence[Record]) -> list[Draft]:
    """Decode the model's answers to the photos of some records."""
    decoder = decoder_of(processor.tokenizer, model.config.no_subject_threshold)
    training, drafts = model.training, []
    model.eval()
    for first in range(0, len(records), BATCH):
        batch = records[first : first + BATCH]
        size = model.config.image_size
        pixels = np.stack([np.asarray(squash(load_pixels(record.path), size)) for record in batch])
        prompts = [
            grammar.prompt(processor.num_image_tokens, grammar.aspect_token(None if one.squashed else one.aspect))
            for one in batch
        ]
        ids = np.array(processor.tokenizer(prompts)["input_ids"], dtype=np.int64)
        drafts += decoder.decode(TorchNetwork(model), pixel_values(pixels), ids)
    model.train(training)
    return drafts


def watch(model: NanoForConditionalGeneration, processor: NanoProcessor, records: Sequence[Record]) -> dict[str, float]:
    """Return mean IoUs on annotated records and the rates of "nobody" answers on either kind of record."""
    drafts = answer(model, processor, records)
    rows, heads, false_alarms, caught = [], [], [], []
    for record, draft in zip(records, drafts, strict=True):
        if record.composition is None:
            caught.append(draft.empty)
            continue
        false_alarms.append(draft.empty)
        shots = record.composition.shots
        rows.append(
            [0.0] * len(shots) if draft.empty else list(map(iou, draft.boxes[2:], (shot.box for shot in shots)))
        )
        head = ground(record.detections, record.aspect, record.composition).head
        if head is not None and not draft.empty:
            heads.append(iou(head, draft.boxes[1]))
    means = np.mean(rows, axis=0)
    result = {f"held_iou_{shot_type}": float(mean) for shot_type, mean in zip(SHOT_TYPES, means, strict=True)}
    result["held_iou"] = float(means.mean())
    result["held_iou_head"] = float(np.mean(heads)) if heads else 0.0
    result["held_false_no_subject"] = float(np.mean(false_alarms))
    result["held_no_subject_recall"] = float(np.mean(caught)) if caught else 0.0
    return {name: round(value, 4) for name, value in result.items()}
