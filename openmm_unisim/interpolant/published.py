"""Algebra of the published interpolant: drift and guidance as pure functions of tensors.

=========  =======================================================  ======================
symbol     meaning                                                  variable
=========  =======================================================  ======================
t          interpolant time in [0, 1)                               t
sigma      noise scale, angstrom (`units.noise_scale`)              sigma
gamma      sigma sqrt(t (1 - t))                                    `spread`
gamma~     sigma max(sqrt(t (1 - t)), 0.1), where gamma divides     `floored_spread`
v, eta     E[x_1 - x_0 | x_t], E[z | x_t]                           velocity, denoiser
b_F        v - t sigma^2/gamma~ eta; the diffusion is sigma         `drift`
I          (1 - t) bd0 + t bd1 + t (1 - t) iff                      `intermediate_gradient`
g          published guidance strength                              strength
alpha      weight of the potential: g = alpha sigma^2/2             alpha
=========  =======================================================  ======================

The interpolant x_t itself is that of both forms: `bridge.interpolate`.

Times broadcast against the rest: a float tensor of shape () or (n_atoms, 1).
Source: UniSim, spec sections 5, 8 and 9.
"""

import torch
from torch import Tensor

__all__ = [
    "alpha_of_strength",
    "drift",
    "end_points",
    "floored_spread",
    "guided_drift",
    "intermediate_gradient",
    "score",
    "spread",
    "strength_of_alpha",
]


def spread(t: Tensor, sigma: float) -> Tensor:
    """gamma(t), angstrom."""
    return sigma * torch.sqrt(t * (1.0 - t))


def floored_spread(t: Tensor, sigma: float) -> Tensor:
    """gamma~(t), angstrom: gamma where the square root is above 0.1, and at least 0.1 sigma."""
    return sigma * torch.sqrt(t * (1.0 - t)).clamp(min=0.1)


def score(denoiser: Tensor, t: Tensor, sigma: float) -> Tensor:
    """grad ln q_t(x_t) = -eta/gamma~, per angstrom."""
    return -denoiser / floored_spread(t, sigma)


def drift(velocity: Tensor, denoiser: Tensor, t: Tensor, sigma: float) -> Tensor:
    """b_F of dX = b_F dt + sigma dB, without guidance.

    Parameters
    ----------
    velocity, denoiser : Tensor, shape (n_atoms, 3)
    t : Tensor
    sigma : float, angstrom

    Returns
    -------
    Tensor, shape (n_atoms, 3), angstrom
    """
    return velocity - t * sigma**2 / floored_spread(t, sigma) * denoiser


def end_points(
    positions: Tensor, velocity: Tensor, denoiser: Tensor, t: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """Predicted x_0 and x_1, angstrom: x_t - t v - gamma eta, and that plus v."""
    start = positions - t * velocity - spread(t, sigma) * denoiser
    return start, start + velocity


def intermediate_gradient(
    start_gradient: Tensor, end_gradient: Tensor, correction: Tensor, t: Tensor
) -> Tensor:
    """I(t): the kernel's gradient of the intermediate potential, still multiplied by the guidance scale.

    Parameters
    ----------
    start_gradient, end_gradient, correction : Tensor, shape (n_atoms, 3)
        bd0, bd1 and iff, the outputs of `GuidanceKernel`.
    t : Tensor

    Returns
    -------
    Tensor, shape (n_atoms, 3)
    """
    return (1.0 - t) * start_gradient + t * end_gradient + t * (1.0 - t) * correction


def guided_drift(unguided: Tensor, gradient: Tensor, strength: float, guidance_scale: float) -> Tensor:
    """b_F - g I/guidance_scale, as published: the strength g holds the factor sigma^2/2.

    Parameters
    ----------
    unguided : Tensor, shape (n_atoms, 3)
        From `drift`.
    gradient : Tensor, shape (n_atoms, 3)
        From `intermediate_gradient`.
    strength : float
        g; see `strength_of_alpha`.
    guidance_scale : float
        0.5 for the published kernels.

    Returns
    -------
    Tensor, shape (n_atoms, 3)
    """
    return unguided - (strength / guidance_scale) * gradient


def alpha_of_strength(strength: float, sigma: float) -> float:
    """alpha = 2 g/sigma^2: how many times the potential tilts the density at strength g."""
    return 2.0 * strength / sigma**2


def strength_of_alpha(alpha: float, sigma: float) -> float:
    """g = alpha sigma^2/2."""
    return 0.5 * alpha * sigma**2
