"""The x_0-conditioned interpolant: Brownian bridges from x_0 to x_1, and the scalings of its network.

=============  ==================================================================  ===============
symbol         meaning                                                             variable
=============  ==================================================================  ===============
x_t            (1-t) x_0 + t x_1 + gamma(t) z,  gamma^2 = sigma^2 t (1-t)          interpolate
s^2            sigma^2 (1-t): variance of the rest of the bridge                   remaining
D              RMS displacement of a coordinate over one lag                       displacement
xhat_1         E[x_1 | x_t, x_0, t]                                                end_point
=============  ==================================================================  ===============

The drift of the conditioned form is (xhat_1 - x_t)/(1 - t), its diffusion sigma. The scalings below are those of an
isotropic Gaussian displacement of variance D^2: the network then predicts what is left, at unit variance for every t
(the idea of preconditioning in Karras et al. 2022, worked out for bridges). Lengths in angstrom.
"""

import torch
from torch import Tensor

from .published import spread


def interpolate(start: Tensor, end: Tensor, t: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """x_t of pairs.

    Parameters
    ----------
    start, end, noise : Tensor, shape (n_copies, n_atoms, 3)
    t : Tensor, shape (n_copies,)
    sigma : float

    Returns
    -------
    Tensor, shape (n_copies, n_atoms, 3)
    """
    t = t.view(-1, 1, 1)
    return (1.0 - t) * start + t * end + spread(t, sigma) * noise


def input_scale(t: Tensor, sigma: float, displacement: float) -> Tensor:
    """Spread of a coordinate of x_t - x_0; finite positive at t = 0."""
    return torch.sqrt(sigma * sigma * t * (1.0 - t) + displacement * displacement * t * t + 1e-10)


def skip_scale(t: Tensor, sigma: float, displacement: float) -> Tensor:
    """a(t): best linear prediction of x_1 - x_0 is a (x_t - x_0); 1 at t = 1."""
    wide = displacement * displacement
    return wide / (wide * t + sigma * sigma * (1.0 - t))


def output_scale(t: Tensor, sigma: float, displacement: float) -> Tensor:
    """Spread of x_1 about that linear prediction: D at t = 0, sigma sqrt(1-t) near t = 1."""
    wide = displacement * displacement
    rest = sigma * sigma * (1.0 - t)
    return torch.sqrt(wide * rest / (wide * t + rest) + 1e-12)
