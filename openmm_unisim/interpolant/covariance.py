"""Substep law of the conditioned form, with a covariance that knows which directions are stiff.

=============  ===================================================================  ================
symbol         meaning                                                              variable
=============  ===================================================================  ================
S              Cov(x_1 | x_t, x_0), in precision form                               posterior
u_g            gradient of a restrained quantity at xhat_1: a distance over one,    gradients
               two or three bonds, or the height of an atom above its three
               bonded neighbours
v_g(t), v_i(t) prior variances: of that quantity, and of atom i beyond them         variances, rest
q_k, S_rigid   rigid-body directions of x_0 and their (tiny) variance               rigid
h              t_next - t                                                           step
=============  ===================================================================  ================

S^-1 = sum_g u_g u_g^T / v_g + sum_i 1/v_i + t/(sigma^2 (1-t)) 1 + sum_k q_k q_k^T / S_rigid: prior precision, and the
precision with which x_t observes x_1. Given x_t, the step to t + h has mean x_t + h (xhat_1 - x_t)/(1-t) and
covariance sigma^2 h (1-t-h)/(1-t) 1 + (h/(1-t))^2 S. Replacing S by sigma^2 (1-t) gives Euler-Maruyama, covariance
sigma^2 h. Source: docs/theory.md. Lengths in angstrom, algebra in double.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

RIGID_VARIANCE = 4e-6  # angstrom^2: (0.002 A)^2; small against every motion, large enough for a density


class Restraints(NamedTuple):
    """The restrained quantities of a molecule.

    Attributes
    ----------
    pairs : Tensor, shape (n_pairs, 2), int64
        Atoms one, two or three bonds apart.
    bonds_apart : Tensor, shape (n_pairs,), int64
    centres : Tensor, shape (n_centres, 4), int64
        An atom with three bonded neighbours, and these.
    """

    pairs: Tensor
    bonds_apart: Tensor
    centres: Tensor


def restraints(distance: Tensor) -> Restraints:
    """Restrained quantities from the bond distances.

    Parameters
    ----------
    distance : Tensor, shape (n_atoms, n_atoms), int64

    Returns
    -------
    Restraints
    """
    pairs = torch.nonzero(torch.triu((distance >= 1) & (distance <= 3)))
    bonded = distance == 1
    atoms = torch.nonzero(bonded.sum(1) == 3)
    neighbours = torch.nonzero(bonded[atoms[:, 0]])[:, 1].view(-1, 3)
    return Restraints(pairs, distance[pairs[:, 0], pairs[:, 1]], torch.cat([atoms, neighbours], 1))


def collapse(end_point: Tensor, restrained: Restraints, reference: Tensor) -> Tensor:
    """How much shorter than its reference each 1-2 and 1-3 distance is at xhat_1; zero for the others.

    A mean over several orientations of a group is shorter than any of them: E|d|^2 = |E d|^2 + tr Var(d). Where a
    jump has not decided yet, a stiff distance therefore says nothing about the spread along it.

    Parameters
    ----------
    end_point : Tensor, shape (n_copies, n_atoms, 3)
    restrained : Restraints
    reference : Tensor, shape (n_atoms, n_atoms)
        Reference lengths.

    Returns
    -------
    Tensor, shape (n_copies, n_pairs)
    """
    first, second = restrained.pairs[:, 0], restrained.pairs[:, 1]
    length = torch.linalg.vector_norm(end_point[:, first] - end_point[:, second], dim=-1)
    stiff = (restrained.bonds_apart <= 2).to(length.dtype)
    return (reference[first, second] - length) * stiff


def distance_gradients(positions: Tensor, pairs: Tensor) -> Tensor:
    """Gradients of the pairs' distances, shape (n_copies, n_pairs, 3 n_atoms), double."""
    copies, atoms = positions.size(0), positions.size(1)
    difference = (positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]]).double()
    unit = difference / torch.linalg.vector_norm(difference, dim=-1, keepdim=True).clamp(min=1e-6)
    gradient = torch.zeros(copies, pairs.size(0), atoms, 3, dtype=torch.float64, device=positions.device)
    row = torch.arange(pairs.size(0), device=positions.device)
    gradient[:, row, pairs[:, 0]] = unit
    gradient[:, row, pairs[:, 1]] = -unit
    return gradient.reshape(copies, pairs.size(0), 3 * atoms)


def height_gradients(positions: Tensor, centres: Tensor) -> Tensor:
    """Gradients of the heights of `centres` above the plane of their neighbours, at a flat arrangement.

    Shape (n_copies, n_centres, 3 n_atoms), double: the gradient of the volume that the three arms span, over the area
    of the corners. What the area's own gradient would add is of the order of the height, near zero where it matters.
    """
    copies, atoms = positions.size(0), positions.size(1)
    arms = (
        positions[:, centres[:, 1:]] - positions[:, centres[:, :1]]
    ).double()  # (n_copies, n_centres, 3, 3)
    normal = torch.linalg.cross(arms[:, :, 1] - arms[:, :, 0], arms[:, :, 2] - arms[:, :, 0])
    size = torch.linalg.vector_norm(normal, dim=-1, keepdim=True).clamp(min=1e-6)
    gradient = torch.zeros(copies, centres.size(0), atoms, 3, dtype=torch.float64, device=positions.device)
    row = torch.arange(centres.size(0), device=positions.device)
    for corner in range(3):
        pull = torch.linalg.cross(arms[:, :, (corner + 1) % 3], arms[:, :, (corner + 2) % 3]) / size
        gradient[:, row, centres[:, corner + 1]] = pull
        gradient[:, row, centres[:, 0]] -= pull
    return gradient.reshape(copies, centres.size(0), 3 * atoms)


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
        moves.append(axis / atoms**0.5)
        moves.append(torch.linalg.cross(axis, r) / size)
    return torch.stack(moves, 1).reshape(copies, 6, 3 * atoms)


def posterior_precision(
    end_point: Tensor,
    initial: Tensor,
    restrained: Restraints,
    variances: Tensor,
    rest: Tensor,
    t: Tensor,
    sigma: float,
    rigid_variance: float = RIGID_VARIANCE,
) -> Tensor:
    """S^-1, shape (n_copies, 3 n_atoms, 3 n_atoms), double.

    Parameters
    ----------
    end_point, initial : Tensor, shape (n_copies, n_atoms, 3)
        xhat_1 and x_0.
    restrained : Restraints
    variances : Tensor, shape (n_copies, n_pairs + n_centres), double, angstrom^2
        v_g, pairs first.
    rest : Tensor, shape (n_copies, n_atoms), double, angstrom^2
        v_i.
    t : Tensor, shape (n_copies,), double
    sigma : float
    rigid_variance : float, angstrom^2
    """
    u = torch.cat(
        [distance_gradients(end_point, restrained.pairs), height_gradients(end_point, restrained.centres)], 1
    )
    q = rigid_directions(initial)
    observed = t / (sigma * sigma * (1.0 - t))
    diagonal = (1.0 / rest + observed.unsqueeze(1)).repeat_interleave(3, 1)
    prior = u.transpose(1, 2) @ (u / variances.unsqueeze(-1))
    return prior + torch.diag_embed(diagonal) + q.transpose(1, 2) @ q / rigid_variance


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
