"""Time grids of a jump.

============  ===================================================  ==========
symbol        meaning                                              variable
============  ===================================================  ==========
t_k           interpolant times, t_0 = 0, t_n = 1                  grid
p             power of the symmetric grid                          power
============  ===================================================  ==========

The basin of a jump is chosen at t of order (sigma/Delta)^2 and stiff bonds are settled at 1 - t of order
(width/sigma)^2, so a grid must be fine at both ends (docs/theory.md).
"""

import torch
from torch import Tensor


def uniform_grid(n: int) -> Tensor:
    """k/n, the published grid; shape (n+1,), float64."""
    return torch.linspace(0.0, 1.0, n + 1, dtype=torch.float64)


def symmetric_power_grid(n: int, power: float) -> Tensor:
    """t = s^p / (s^p + (1-s)^p) at s = k/n: fine at both ends, t_k + t_{n-k} = 1; shape (n+1,), float64."""
    s = uniform_grid(n)
    up, down = s**power, (1.0 - s) ** power
    return up / (up + down)


def symmetric_geometric_grid(n: int, first: float) -> Tensor:
    """First and last step `first`, steps growing by a constant factor to the middle; shape (n+1,), float64.

    Parameters
    ----------
    n : int
        Even number of substeps.
    first : float
        Length of the first and the last step.
    """
    half = n // 2
    low, high = 1.0, 1e6  # ratio of neighbouring steps; the sum of a half's steps must be 1/2
    for _ in range(200):
        ratio = (low * high) ** 0.5
        total = sum(first * ratio**k for k in range(half))
        low, high = (ratio, high) if total < 0.5 else (low, ratio)
    steps = torch.tensor([first * low**k for k in range(half)], dtype=torch.float64)
    left = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumsum(steps, 0)])
    left = left * (0.5 / left[-1])
    return torch.cat([left, 1.0 - left[:-1].flip(0)])
