"""Bounded inputs: x for small x, at most the limit for large."""

import torch
from torch import Tensor


def soften(x: Tensor, limit: float) -> Tensor:
    """x for |x| well below `limit`, bounded by it: scaled inputs keep their sign and stay finite."""
    return x / torch.sqrt(1.0 + (x / limit) ** 2)


def soften_vectors(x: Tensor, limit: float) -> Tensor:
    """`soften` of the length of vectors (..., 3)."""
    return x / torch.sqrt(1.0 + (x * x).sum(-1, keepdim=True) / (limit * limit))
