"""Means of the last substeps, corrected by the forces of the whole potential.

===============  ====================================================================  ==================
symbol           meaning                                                               name here
===============  ====================================================================  ==================
xhat_1           predicted end point                                                   end
s                sigma sqrt(1-t): how far x_1 may still be from x_t                    `still_free`
beta F           force of the whole potential at xhat_1, over kT                       force
S                posterior covariance of x_1, from its precision                       precision
g                beta F + (x_t - x_0 - t (xhat_1 - x_0)) / (sigma^2 (1-t))             gradient
===============  ====================================================================  ==================

Given x_t and x_0 the end point has the density exp(-beta U(x_1)) N(x_t; x_0 + t (x_1 - x_0), sigma^2 t (1-t)) up to
what a finite lag adds, which varies slowly over s. g is its gradient's logarithm over x_1, so one Newton step with S
takes xhat_1 toward its maximum: xhat_1 + S g. Where the density is Gaussian and S its covariance that is the mean, from
any xhat_1. The step is a function of x_t, x_0 and t alone, so Metropolis on paths stays exact whatever it does. No atom
is moved further than the threshold of s below which steps are made. Source: docs/theory.md, section 10.
"""

import torch
from torch import Tensor

from .covariance import cholesky_or_nan

__all__ = ["at_stiff_end", "newton_end"]


def at_stiff_end(t: Tensor, sigma: float, threshold: float) -> Tensor:
    """Whether s = sigma sqrt(1-t) is below the threshold (angstrom); bool, shape of `t`."""
    return sigma * (1.0 - t.double()).sqrt() < threshold


def newton_end(
    end: Tensor, force: Tensor, positions: Tensor, initial: Tensor, precision: Tensor, t: Tensor, sigma: float,
    threshold: float,
) -> Tensor:  # fmt: skip
    """The end point after one Newton step, where a copy is at the stiff end.

    Parameters
    ----------
    end, positions, initial : Tensor, shape (n_copies, n_atoms, 3), angstrom
        xhat_1, x_t and x_0.
    force : Tensor, shape (n_copies, n_atoms, 3), 1/angstrom
        beta F at `end`; ignored for copies that aren't at the stiff end.
    precision : Tensor, shape (n_copies, 3 n_atoms, 3 n_atoms), double, 1/angstrom^2
    t : Tensor, shape (n_copies,), double
    sigma, threshold : float, angstrom

    Returns
    -------
    Tensor, shape (n_copies, n_atoms, 3), double, angstrom
    """
    x, x0, guess, times = positions.double(), initial.double(), end.double(), t.view(-1, 1, 1)
    gradient = force.double() + (x - x0 - times * (guess - x0)) / (sigma * sigma * (1.0 - times))
    flat = gradient.reshape(gradient.size(0), -1, 1)
    change = torch.cholesky_solve(flat, cholesky_or_nan(precision)).view_as(guess)
    farthest = torch.linalg.vector_norm(change, dim=-1).amax(1).clamp(min=threshold).view(-1, 1, 1)
    stiff = at_stiff_end(t, sigma, threshold).view(-1, 1, 1)
    return torch.where(stiff, guess + change * (threshold / farthest), guess)
