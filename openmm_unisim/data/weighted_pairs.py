"""Pairs drawn by weight: what a weighted fit needs, without spending most of its work on pairs of no weight."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from .pairs import Pair, PairSampler

__all__ = ["WeightedPairSampler", "WeightedPairs"]


class WeightedPairs(NamedTuple):
    """Pairs and what each counts for.

    Attributes
    ----------
    pair : Pair
    weight, baseline : Tensor, shape (size,), float32
        A mean over the drawn pairs of `weight` x g is the mean over all pairs of their own weights x g; of `baseline` x
        g, the plain mean over all pairs.
    """

    pair: Pair
    weight: Tensor
    baseline: Tensor


class WeightedPairSampler:
    """Draws half of the pairs by weight and half uniformly, so that neither kind of mean has large factors.

    Parameters
    ----------
    sampler : PairSampler
    weights : Tensor, shape (n_pairs,), double
        Of `sampler.directed()`, of mean one.
    """

    def __init__(self, sampler: PairSampler, weights: Tensor) -> None:
        self.sampler = sampler
        self.first, self.second = sampler.directed()
        self.weights = weights
        self._rising = torch.cumsum(weights, 0) / weights.sum()

    def draw(self, size: int, generator: Generator) -> WeightedPairs:
        """Pairs for a weighted fit; each factor is at most 2."""
        uniform = torch.randint(len(self.first), (size,), generator=generator)
        chosen = torch.where(
            torch.rand(size, generator=generator) < 0.5, self._by_weight(size, generator), uniform
        )
        own = self.weights[chosen]
        density = 0.5 * (1.0 + own)  # of this mixture, relative to the uniform one
        pair = self.sampler.pair(self.first[chosen], self.second[chosen], generator)
        return WeightedPairs(pair, (own / density).float(), (1.0 / density).float())

    def draw_by_weight(self, size: int, generator: Generator) -> Pair:
        """Pairs of the weighted ensemble."""
        chosen = self._by_weight(size, generator)
        return self.sampler.pair(self.first[chosen], self.second[chosen], generator)

    def _by_weight(self, size: int, generator: Generator) -> Tensor:
        drawn = torch.rand(size, generator=generator, dtype=torch.float64)
        return torch.searchsorted(self._rising, drawn).clamp(max=len(self._rising) - 1)
