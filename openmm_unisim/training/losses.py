"""Losses and the sampling of interpolant times for the conditioned vector field; one function each.

The end-point loss at unit variance, |xhat_1 - x_1|^2 / c_out(t)^2, weighs times near 1 by 1/(sigma^2 (1-t)); with
log-uniform sampling in 1 - t this comes close to the weight dt/(1-t)^2 of the Kullback-Leibler divergence between
path laws (docs/theory.md).
"""

import math

import torch
from torch import Generator, Tensor

from ..interpolant.bridge import output_scale
from .config import TimeDensity


def draw_times(size: int, density: TimeDensity, generator: Generator) -> Tensor:
    """Interpolant times, shape (size,), dense at both ends."""
    choice = torch.rand(size, generator=generator) * (density.uniform + density.start + density.end)
    u = torch.rand(size, generator=generator)
    near_zero, near_one = (
        torch.exp(math.log(low) + math.log(0.5 / low) * u) for low in (density.shortest, density.shortest_end)
    )
    exactly = torch.rand(size, generator=generator) < density.exactly_zero
    near_zero = torch.where(exactly, torch.zeros(size), near_zero)
    t = torch.where(choice < density.start, near_zero, 1.0 - near_one)
    return torch.where(choice >= density.start + density.end, u.clamp(1e-4, 1 - 1e-4), t)


def end_point_error(
    predicted: Tensor,
    end: Tensor,
    t: Tensor,
    sigma: float,
    displacement: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Squared error of the end point in units of its spread, shape (n_copies,).

    `weights`, shape (n_atoms,), make it a weighted sum over atoms, 0 leaving one out, instead of their mean: see
    `data.subgraph`.
    """
    spread = output_scale(t, sigma, displacement)
    error = (predicted - end).square().mean(2)
    return (error.mean(1) if weights is None else error @ weights) / spread.square()


def reference_length_error(
    reference: Tensor, end: Tensor, distance: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Squared error of the reference lengths of 1-2 and 1-3 pairs, in units of 0.05 angstrom; scalar.

    A mean over pairs; with `weights`, shape (n_atoms,), each pair counts as much as its first atom (pairs are counted
    from either end).
    """
    stiff = torch.nonzero((distance == 1) | (distance == 2))
    first, second = stiff[:, 0], stiff[:, 1]
    length = (end[:, first] - end[:, second]).norm(dim=-1).mean(0)
    error = ((reference[first, second] - length) / 0.05).square()
    if weights is None:
        return error.mean()
    return (error @ weights[first]) / weights[first].sum().clamp(min=torch.finfo(error.dtype).tiny)
