"""Substep law of the conditioned form, with a covariance that knows which directions are stiff.

=============  ===================================================================  ================
symbol         meaning                                                              variable
=============  ===================================================================  ================
S              Cov(x_1 | x_t, x_0), in precision form                               posterior
u_g            gradient of a 1-2 or 1-3 distance at xhat_1                           directions
S_g(t)         variance of that distance's residual; classes below                   variances
S_rest(t)      variance of what no distance holds, hydrogen or heavy                 variances
q_k, S_rigid   rigid-body directions of x_0 and their (tiny) variance                rigid
h              t_next - t                                                            step
=============  ===================================================================  ================

S^-1 = sum_g u_g u_g^T / S_g + sum_i 1/S_rest + sum_k q_k q_k^T / S_rigid.
Given x_t, the step to t + h has mean x_t + h (xhat_1 - x_t)/(1-t) and covariance
sigma^2 h (1-t-h)/(1-t) 1 + (h/(1-t))^2 S. Replacing S by sigma^2 (1-t) gives Euler-Maruyama, covariance sigma^2 h.
Source: docs/theory.md. Lengths in angstrom, algebra in double.
"""

import math
from typing import Tuple

import torch
from torch import Tensor

N_CLASSES = 6  # 1-2 heavy, 1-2 hydrogen, 1-3 heavy, 1-3 hydrogen, rest heavy, rest hydrogen
RIGID_VARIANCE = 4e-6  # angstrom^2: (0.002 A)^2; small against every motion, large enough for a density


def stiff_pairs(distance: Tensor, hydrogen: Tensor) -> Tuple[Tensor, Tensor]:
    """Pairs one or two bonds apart, and their class.

    Parameters
    ----------
    distance : Tensor, shape (n_atoms, n_atoms), int64
        Bond distance.
    hydrogen : Tensor, shape (n_atoms,), bool

    Returns
    -------
    pairs : Tensor, shape (n_pairs, 2), int64
    kind : Tensor, shape (n_pairs,), int64
        0..3.
    """
    pairs = torch.nonzero(torch.triu((distance == 1) | (distance == 2)))
    first, second = pairs[:, 0], pairs[:, 1]
    light = (hydrogen[first] | hydrogen[second]).to(torch.int64)
    return pairs, 2 * (distance[first, second] - 1) + light


def directions(positions: Tensor, pairs: Tensor) -> Tensor:
    """Gradients of the pairs' distances, shape (n_copies, n_pairs, 3 n_atoms), double."""
    copies, atoms = positions.size(0), positions.size(1)
    difference = (positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]]).double()
    unit = difference / torch.linalg.vector_norm(difference, dim=-1, keepdim=True).clamp(min=1e-6)
    gradient = torch.zeros(copies, pairs.size(0), atoms, 3, dtype=torch.float64, device=positions.device)
    row = torch.arange(pairs.size(0), device=positions.device)
    gradient[:, row, pairs[:, 0]] = unit
    gradient[:, row, pairs[:, 1]] = -unit
    return gradient.reshape(copies, pairs.size(0), 3 * atoms)


def rigid_directions(reference: Tensor) -> Tensor:
    """Three translations and three rotations of `reference`, shape (n_copies, 6, 3 n_atoms), double.

    The rotations share one norm (unit length on average over the axes): with a norm for each, sum_k q_k q_k^T would
    depend on the choice of axes and the law would not be rotation invariant.
    """
    copies, atoms = reference.size(0), reference.size(1)
    r = reference.double() - reference.double().mean(1, keepdim=True)
    size = (r.square().sum((1, 2), keepdim=True) * (2.0 / 3.0)).clamp(min=1e-12).sqrt()
    axes = torch.eye(3, dtype=torch.float64, device=reference.device)
    moves = []
    for k in range(3):
        axis = axes[k].view(1, 1, 3).expand_as(r)
        moves.append(axis / math.sqrt(float(atoms)))
        moves.append(torch.linalg.cross(axis, r) / size)
    return torch.stack(moves, 1).reshape(copies, 6, 3 * atoms)


def posterior_precision(
    end_point: Tensor,
    initial: Tensor,
    pairs: Tensor,
    kind: Tensor,
    hydrogen: Tensor,
    variances: Tensor,
    rigid_variance: float = RIGID_VARIANCE,
) -> Tensor:
    """S^-1, shape (n_copies, 3 n_atoms, 3 n_atoms), double.

    Parameters
    ----------
    end_point, initial : Tensor, shape (n_copies, n_atoms, 3)
        xhat_1 and x_0.
    pairs, kind : Tensor
        From `stiff_pairs`.
    hydrogen : Tensor, shape (n_atoms,), bool
    variances : Tensor, shape (n_copies, N_CLASSES), double, angstrom^2
        S_g and S_rest at the copies' times.
    rigid_variance : float, angstrom^2
    """
    u = directions(end_point, pairs)
    weighted = u / variances[:, kind].unsqueeze(-1)
    free = variances[:, -2:]
    rest = 1.0 / free[:, hydrogen.to(torch.int64)].repeat_interleave(3, 1)
    q = rigid_directions(initial)
    return u.transpose(1, 2) @ weighted + torch.diag_embed(rest) + q.transpose(1, 2) @ q / rigid_variance


def cholesky_or_nan(matrix: Tensor) -> Tensor:
    """Lower Cholesky factor; NaN where the matrix isn't positive definite, so that an exploded structure becomes a
    counted NaN proposal rather than an exception."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where((failed > 0).view(-1, 1, 1), torch.full_like(factor, float("nan")), factor)


def posterior_covariance(precision: Tensor) -> Tensor:
    """S from its precision, by Cholesky."""
    return torch.cholesky_inverse(cholesky_or_nan(precision))


def step_mean(positions: Tensor, end_point: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """Mean of the step; t, t_next of shape (n_copies,), double."""
    ratio = ((t_next - t) / (1.0 - t)).view(-1, 1, 1)
    return positions.double() + ratio * (end_point.double() - positions.double())


def step_covariance(posterior: Tensor, t: Tensor, t_next: Tensor, sigma: float) -> Tensor:
    """Covariance of the step, shape (n_copies, 3 n_atoms, 3 n_atoms), double."""
    h = t_next - t
    ratio = h / (1.0 - t)
    bridge = sigma * sigma * ratio * (1.0 - t_next)
    identity = torch.eye(posterior.size(-1), dtype=posterior.dtype, device=posterior.device)
    return bridge.view(-1, 1, 1) * identity + ratio.square().view(-1, 1, 1) * posterior


def gaussian_step(mean: Tensor, factor: Tensor, noise: Tensor) -> Tensor:
    """mean + L noise; mean and noise (n_copies, n_atoms, 3), L (n_copies, 3 n_atoms, 3 n_atoms)."""
    shaped = factor @ noise.double().reshape(noise.size(0), -1, 1)
    return mean + shaped.view_as(mean)


def gaussian_log_density(following: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """log N(following; mean, L L^T), shape (n_copies,), double."""
    deviation = (following.double() - mean).reshape(mean.size(0), -1, 1)
    white = torch.linalg.solve_triangular(factor, deviation, upper=False)
    log_determinant = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
    dimension = factor.size(-1)
    return -0.5 * white.square().sum((1, 2)) - log_determinant - 0.5 * dimension * math.log(2.0 * math.pi)
