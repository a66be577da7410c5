"""The compact model's training loss: words by cross-entropy, places by soft targets and by the boxes they give.

A location token is not a class among others: the bin beside the right one is nearly right. Its target is a Gaussian
over neighbouring bins, and the box that the four distributions mean is compared with the true box as detectors do, by
L1 and generalised IoU (Rezatofighi et al., 2019 [N]). The runtime reads the same mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from shotcrop_cli.model.nano.grammar import HEAD, LEAD, Vocabulary

Average = Callable[[Tensor], Tensor]
"""Maps a scalar of this process to its mean over all processes."""


def alone(value: Tensor) -> Tensor:
    """Return the value of the only process."""
    return value


@dataclass(frozen=True)
class LossWeights:
    """How the parts of the loss are added [O]."""

    words: float = 0.5
    attributes: float = 0.3
    locations: float = 0.4
    l1: float = 8.0
    giou: float = 2.5
    spot: float = 1.0
    bag: float = 0.0
    """At .2 the tower told a little more, and heads behind visors were lost (docs/nano-log.md)."""
    sigma: float = 2.0
    """Standard deviation of a location's soft target, in bins."""


@dataclass(frozen=True)
class LossParts:
    """The loss and what it is made of, each a scalar; parts without a target in the batch are 0."""

    total: Tensor
    words: Tensor
    attributes: Tensor
    locations: Tensor
    l1: Tensor
    giou: Tensor
    spot: Tensor
    bag: Tensor


def nano_loss(
    hidden: Tensor,
    scores: Tensor,
    spots: Tensor,
    told: Tensor,
    head: Tensor,
    labels: Tensor,
    token_weights: Tensor,
    bags: Tensor,
    vocabulary: Vocabulary,
    weights: LossWeights,
    average: Average = alone,
) -> LossParts:
    """Compute the loss of a batch.

    Every part is a weighted mean. When several processes see a batch each, the weights are summed over all of them, so
    that the mean of their gradients is the gradient of one process that sees everything.

    Args:
        hidden: Last hidden states (B, S, H).
        scores: The spotter's log-probabilities (B, 2, G, G).
        spots: The spotter's boxes (B, 2, 4, G, G).
        told: What the teller tells (B, H).
        head: Output embeddings (V, H).
        labels: Target ids (B, S), -100 where nothing is learned. The location tokens of a box come in fours,
            either all four or none labelled.
        token_weights: Weight of each target (B, S).
        bags: How large a part of each photo's captions each token of text is (B, text tokens), 0 without captions.
        vocabulary: Where the location tokens lie.
        weights: How to add the parts.
        average: How the processes share their sums of weights.
    """
    targets, scale = labels[:, 1:], token_weights[:, 1:]
    chosen = targets != -100
    logits = hidden[:, :-1][chosen].float() @ head.float().T
    targets, scale = targets[chosen], scale[chosen]
    normaliser = torch.logsumexp(logits, dim=-1)
    span = vocabulary.locations
    is_location = (targets >= span.start) & (targets < span.stop)
    is_word = targets < vocabulary.text_tokens
    plain = normaliser - logits.gather(1, targets[:, None])[:, 0]

    places = torch.linspace(0.0, 1.0, span.stop - span.start, device=logits.device)
    location_logits = logits[is_location][:, span]
    bins = targets[is_location] - span.start
    distance = (places * (len(places) - 1))[None] - bins[:, None]
    soft = functional.softmax(-0.5 * (distance / weights.sigma) ** 2, dim=-1)
    soft_loss = normaliser[is_location] - (soft * location_logits).sum(-1)

    predicted = (functional.softmax(location_logits, dim=-1) @ places).reshape(-1, 4)
    true = (bins / (len(places) - 1)).reshape(-1, 4)
    box_scale = scale[is_location].reshape(-1, 4)[:, 0]
    parts = {
        "words": _mean(plain[is_word], scale[is_word], average),
        "attributes": _mean(plain[~is_word & ~is_location], scale[~is_word & ~is_location], average),
        "locations": _mean(soft_loss, scale[is_location], average),
        "l1": _mean((predicted - true).abs().mean(-1), box_scale, average),
        "giou": _mean(1.0 - generalised_iou(predicted, true), box_scale, average),
    }
    parts["spot"] = spot_loss(scores, spots, *grounding_boxes(labels, vocabulary), average)
    parts["bag"] = bag_loss(told, head[: vocabulary.text_tokens], bags, average)
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    return LossParts(total=torch.as_tensor(total), **parts)


def grounding_boxes(labels: Tensor, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Read the boxes of lead and head from the labels.

    Returns:
        Boxes (B, 2, 4), x0 y0 x1 y1 relative to the photo, and whether each is known (B, 2).
    """
    span = vocabulary.locations
    boxes, known = [], []
    for marker in (LEAD, HEAD):
        # A photo of nobody has no marker: argmax then points at the first token, whose successors are no locations.
        place = (labels == vocabulary.id(marker)).int().argmax(1, keepdim=True) + torch.arange(
            1, 5, device=labels.device
        )
        sides = labels.gather(1, place.clamp(max=labels.shape[1] - 1))
        known.append(((sides >= span.start) & (sides < span.stop)).all(1))
        boxes.append((sides - span.start).clamp(min=0) / (span.stop - span.start - 1))
    return torch.stack(boxes, 1), torch.stack(known, 1)


SPOT_SPREAD = 0.6
"""Standard deviation, in cells, of the spotter's target around a box's centre [O]."""


def spot_loss(scores: Tensor, spots: Tensor, boxes: Tensor, known: Tensor, average: Average = alone) -> Tensor:
    """Compute the spotter's loss: where the centres are, and the sides as the cells around the centre see them.

    Args:
        scores: Log-probabilities (B, 2, G, G).
        spots: Boxes (B, 2, 4, G, G).
        boxes: True boxes (B, 2, 4).
        known: Which of them are known (B, 2).
        average: How the processes share the number of known boxes.
    """
    scores, spots, boxes = scores[known].float().flatten(1), spots[known].float().flatten(2), boxes[known]
    side = round(scores.shape[1] ** 0.5)
    steps = (torch.arange(side, device=scores.device) + 0.5) / side
    dx = steps[None, :] - boxes[:, 0::2].mean(1, keepdim=True)
    dy = steps[None, :] - boxes[:, 1::2].mean(1, keepdim=True)
    distance = (dy[:, :, None] ** 2 + dx[:, None, :] ** 2).flatten(1) * side**2
    target = functional.softmax(-0.5 * distance / SPOT_SPREAD**2, dim=1)
    centre_loss = -(target * scores).sum(1)
    seen, true = spots.transpose(1, 2), boxes[:, None].expand(-1, side**2, -1)
    l1 = (seen - true).abs().mean(-1)
    overlap = 1.0 - generalised_iou(seen.reshape(-1, 4), true.reshape(-1, 4)).view_as(l1)
    side_loss = (target * (8.0 * l1 + 2.0 * overlap)).sum(1)
    return _mean(0.5 * centre_loss + side_loss, torch.ones_like(side_loss), average)


def bag_loss(told: Tensor, head: Tensor, bags: Tensor, average: Average = alone) -> Tensor:
    """Compute the cross-entropy between the words of a photo's captions, a bag, and what its features tell of them.

    One softmax over all words, as in Joulin et al., "Learning visual features from large weakly supervised data",
    2016 [N].

    Args:
        told: What the teller tells (B, H).
        head: Output embeddings of the tokens of text (T, H).
        bags: Each photo's bag (B, T), summing up to 1, or to 0 where there are no captions.
        average: How the processes share the number of captioned photos.
    """
    log_probabilities = functional.log_softmax(told.float() @ head.float().T, dim=-1)
    return _mean(-(bags * log_probabilities).sum(-1), bags.sum(-1), average)


def _mean(values: Tensor, scale: Tensor, average: Average) -> Tensor:
    """Return the weighted mean, 0 with a gradient of 0 when nothing carries weight."""
    return (values * scale).sum() / average(scale.sum()).clamp(min=1e-6)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU (N,) of boxes (N, 4) x0 y0 x1 y1; negative sides of `a` count as empty."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    areas = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(-1) + (b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1)
    joint = areas - overlap
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    return overlap / joint.clamp(min=1e-7) - (hull - joint) / hull.clamp(min=1e-7)
