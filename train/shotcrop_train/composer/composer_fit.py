"""Fit one network of the composer to triples.

It learns which candidate the triple's close-up shows (cross-entropy), where the boxes are (generalised IoU and L1), how
far off the predicted edges are (Laplace likelihood) and the IoU that comes out. Shots of weight 0 have no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shotcrop_cli.model.nano.candidates import KINDS
from shotcrop_cli.model.nano.scene import Floats, Indices
from shotcrop_train.composer.nano_recipe import ComposerLoss, ComposerShape, Fitting
from shotcrop_train.nano.composer_examples import Example, Examples, stack_examples
from shotcrop_train.nano.composer_network import ComposerNetwork, ComposerOptions
from shotcrop_train.nano.detector_loss import generalised_iou

MANY = 4
"""Photos with more candidates than this come in batches of their own, so that little is padded."""
FEWEST = 8
"""Fewest photos for such batches, and for a usual box of its own for each kind of candidate."""
LOG_EVERY = 100
BETAS, RISE = (0.9, 0.98), 0.1
"""Of AdamW, and the share of the steps until the peak of the learning rate."""

Say = Callable[[int, float], object]
"""Called with the step and the mean loss since the last call."""


def fit(
    groups: Sequence[Sequence[Example]],
    shape: ComposerShape,
    plan: Fitting,
    loss_weights: ComposerLoss,
    seed: int,
    *,
    often: Floats | None = None,
    start: ComposerNetwork | None = None,
    say: Say = lambda step, loss: None,
) -> ComposerNetwork:
    """Fit a network.

    Args:
        groups: For each photo its examples, at least one.
        shape: Size of a new network.
        plan: How it is fitted.
        loss_weights: Weights of the loss.
        seed: Seed of everything random.
        often: How often each photo is drawn (photos,), relative to the others; None for all alike.
        start: Network to continue; it is changed. None for a new one.
        say: Called every hundred steps.
    """
    if plan.threads:
        torch.set_num_threads(plan.threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    data = stack_examples([example for group in groups for example in group])
    starts = np.cumsum([0, *(len(group) for group in groups)])
    network = start or new_network(data, starts, shape)
    optimizer = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay, betas=BETAS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.learning_rate, max(plan.steps, 20), pct_start=RISE)
    often = np.ones(len(groups)) if often is None else often
    buckets = _buckets(data, starts)
    share = np.array([often[bucket].sum() for bucket in buckets])
    total = 0.0
    network.train()
    for step in range(1, plan.steps + 1):
        bucket = buckets[rng.choice(len(buckets), p=share / share.sum())]
        own = often[bucket] / often[bucket].sum()
        chosen = rng.choice(bucket, min(plan.batch_size, int((own > 0).sum())), replace=False, p=own)
        part = data.take(torch.tensor([int(rng.integers(starts[photo], starts[photo + 1])) for photo in chosen]))
        loss = composer_loss(network(*part.inputs()), part, loss_weights)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.max_grad_norm)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % LOG_EVERY == 0:
            say(step, total / LOG_EVERY)
            total = 0.0
    network.eval()
    return network


def new_network(data: Examples, starts: Indices, shape: ComposerShape) -> ComposerNetwork:
    """Return a new network whose standardisation and usual boxes fit the first two examples of each photo.

    Args:
        data: The examples of all photos.
        starts: (photos + 1,), where those of each photo start.
        shape: Size of the network.
    """
    options = ComposerOptions(
        features=data.features.shape[-1],
        person_features=data.pixels.shape[-1],
        photo_features=data.photo.shape[-1],
        width=shape.width,
        layers=shape.layers,
        dropout=shape.dropout,
    )
    network = ComposerNetwork(options)
    set_usual(network, data.take(torch.tensor([at for first, end in pairwise(starts) for at in range(first, end)[:2]])))
    return network


@torch.no_grad()
def set_usual(network: ComposerNetwork, data: Examples) -> None:
    """Set the standardisation of features and the usual boxes of each kind of candidate to those of the examples."""
    seen = data.known > 0
    count = seen.sum((0, 1)).clamp(min=1)
    mean = (data.features * seen).sum((0, 1)) / count
    network.mean.copy_(mean)
    network.spread.copy_((((data.features - mean) ** 2 * seen).sum((0, 1)) / count).sqrt() + 1e-2)
    subject = data.subject > 0.3
    if not subject.any():
        return
    scale = torch.stack([data.aspect, torch.ones_like(data.aspect)] * 2, -1)[:, None]
    for kind in range(KINDS):
        rows, places = (subject & (data.kind[..., kind] > 0)).nonzero(as_tuple=True)
        if len(rows) < FEWEST:
            rows, places = subject.nonzero(as_tuple=True)
        anchor = data.anchor[rows, places]
        middle = torch.cat([anchor[:, :2], anchor[:, :2]], -1)[:, None]
        relative = (data.triple[rows, 1:] * scale[rows] - middle) / anchor[:, 2, None, None]
        network.usual[kind] = torch.cat([data.triple[rows, :1], relative], 1).median(0).values


def photo_boxes(offsets: Tensor, anchor: Tensor, aspect: Tensor) -> Tensor:
    """Do for (N, k, 3, 4) what `candidates.boxes_of` does for one scene, but without clipping."""
    middle = torch.cat([anchor[..., :2], anchor[..., :2]], -1)[..., None, :]
    close = offsets[..., 1:, :] * anchor[..., 2, None, None] + middle
    scale = torch.stack([aspect, torch.ones_like(aspect)] * 2, -1)[:, None, None]
    return torch.cat([offsets[..., :1, :], close / scale], -2)


def composer_loss(answer: tuple[Tensor, ...], data: Examples, weights: ComposerLoss) -> Tensor:
    """Return the loss of the network's answer.

    Only the boxes of main subjects count, each shot with its weight. Who the main subject is is known from the
    close-up, so it counts with the close-up's weight.
    """
    logits, offsets, scale, quality = answer
    choice = -(data.subject * logits.log_softmax(-1)).sum(-1)
    sure = data.weight[:, 2]
    chosen = (choice * sure).sum() / (data.subject.sum(-1) * sure).sum().clamp(min=1e-3)
    boxes = photo_boxes(offsets, data.anchor, data.aspect)
    truth = data.triple[:, None].expand_as(boxes)
    giou, iou = generalised_iou(boxes, truth)
    error = (boxes - truth).abs()
    place = (1 - giou) + 3.3 * error.mean(-1)
    size = data.anchor[..., 2:]
    unit = torch.cat([torch.ones_like(size), size, size], -1)[..., None]
    laplace = ((error / unit).detach() * (-scale).exp() + scale).mean(-1)
    expected = functional.binary_cross_entropy_with_logits(quality, iou.detach().clamp(0, 1), reduction="none")
    each = weights.box * place + weights.scale * laplace + weights.quality * expected
    counts = data.subject[..., None] * data.weight[:, None]
    return weights.subject * chosen + (counts * each).sum() / counts.sum().clamp(min=1e-3)


def _buckets(data: Examples, starts: Indices) -> list[Indices]:
    """Return the photos with few and those with many candidates; one list for all if either is short."""
    count = data.valid.sum(1).numpy()
    most = np.array([count[start:end].max() for start, end in pairwise(starts)])
    few, many = np.nonzero(most <= MANY)[0], np.nonzero(most > MANY)[0]
    return [few, many] if min(len(few), len(many)) >= FEWEST else [np.arange(len(most))]
