"""Attention in standard operators, for the graphs of large models."""

from __future__ import annotations

import torch
from torch import Tensor


def half_rotated(x: Tensor) -> Tensor:
    """Return (-second half, first half) of the last dimension."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Return what queries see, in standard operators that every provider takes.

    Args:
        query: (B, heads, S, head size); heads in a row share a head of keys and values.
        key: (B, key-value heads, T, head size).
        value: The same.
        bias: What is added to the scores, (S, T) or (B, 1, S, T): nothing, or the lowest number to hide a token.

    Returns:
        (B, S, heads * head size).
    """
    batch, heads, new, size = query.shape
    shared = key.shape[1]
    # The queries that share a head go as further rows of one product, so that no key is repeated.
    scores = query.reshape(batch, shared, -1, size) @ key.transpose(2, 3) * float(size**-0.5)
    weights = torch.softmax(scores.reshape(batch, heads, new, -1) + bias, dim=-1)
    seen = weights.reshape(batch, shared, heads // shared * new, -1) @ value
    return seen.reshape(batch, heads, new, size).transpose(1, 2).reshape(batch, new, heads * size)
