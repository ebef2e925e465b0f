"""Targets and loss of the published force-guidance kernel, for comparison (UniSim, spec section 8).

=============  ==============================================================  =======================
symbol         meaning                                                         variable
=============  ==============================================================  =======================
bd0, bd1, iff  heads of `model.guidance_kernel`                                start, end, correction
I              (1-t) bd0 + t bd1 + t (1-t) iff, divided by 0.5 when used       `intermediate_gradient`
mu             (1-t) x_0 + t x_1                                               mean
s              grad ln q_t(x_t), the frozen model's; -(x_t - mu)/gamma~^2      score, conditional score
eps_0 + eps_1  potentials of both ends                                         energies
g              e^-(eps_0 + eps_1) (s - conditional score) / Z                  `published_target`
Z              batch mean of q e^-(eps_0 + eps_1), one number                  the same
=============  ==============================================================  =======================

What is wrong with them is said, and shown on Ornstein-Uhlenbeck pairs, in docs/theory.md (section 9): Z is no average
over the pairs that could have led to x_t, so the target's strength varies with x_t and with the unit of length; and the
boundary heads and the intermediate target stand for different potentials. `posterior_target` is the right average of
the second. The conditioned form uses neither: `training.tilted_losses`.

All samples have one t, as published. Lengths in angstrom.
"""

import math

import torch
from torch import Tensor

from ..interpolant.published import floored_spread, intermediate_gradient, spread

__all__ = [
    "conditional_score",
    "normalised_energies",
    "posterior_target",
    "published_guidance_loss",
    "published_target",
]


def normalised_energies(energies: Tensor) -> Tensor:
    """Potentials mapped to [-1, 0], as published: their scale in kT is lost."""
    lowest, highest = energies.min(), energies.max()
    return (energies - highest) / (highest - lowest).clamp(min=1e-12)


def conditional_score(positions: Tensor, mean: Tensor, t: Tensor, sigma: float) -> Tensor:
    """grad ln q_t(x_t | x_0, x_1) with the floored spread; shape of `positions`."""
    return -(positions - mean) / floored_spread(t, sigma).square()


def published_target(
    score: Tensor, positions: Tensor, mean: Tensor, t: Tensor, sigma: float, energies: Tensor
) -> Tensor:
    """g of each sample, with the batch scalar Z.

    Parameters
    ----------
    score, positions, mean : Tensor, shape (n_samples, n_atoms, 3)
    t : Tensor, scalar
    sigma : float
    energies : Tensor, shape (n_samples,)
        eps_0 + eps_1.
    """
    width = floored_spread(t, sigma)
    size = positions[0].numel()
    squares = (positions - mean).square().sum((1, 2)) / (2.0 * width.square())
    density = torch.exp(-(squares / size + 0.5 * math.log(2.0 * math.pi) + width.log()))
    weight = torch.exp(-energies)
    z = (density * weight).mean()
    difference = score - conditional_score(positions, mean, t, sigma)
    return weight.view(-1, 1, 1) * difference / z


def posterior_target(positions: Tensor, mean: Tensor, t: Tensor, sigma: float, energies: Tensor) -> Tensor:
    """grad eps_t of e^-eps_t = E[e^-(eps_0 + eps_1) | x_t]: self-normalised averages over the batch's pairs.

    Every x_t is looked at from all pairs, so this works where several pairs can have led to one x_t: in few dimensions.

    Parameters
    ----------
    positions, mean, t, sigma, energies
        Of `published_target`.

    Returns
    -------
    Tensor, shape (n_samples, n_atoms, 3)
    """
    x, mu = positions.flatten(1), mean.flatten(1)
    variance = spread(t, sigma).square()
    likelihood = -torch.cdist(x, mu).square() / (2.0 * variance)
    plain = torch.softmax(likelihood, 1)
    tilted = torch.softmax(likelihood - energies.unsqueeze(0), 1)
    return ((plain - tilted) @ mu / variance).view_as(positions)


def published_guidance_loss(
    heads: tuple[Tensor, Tensor, Tensor], forces: tuple[Tensor, Tensor], target: Tensor, t: Tensor,
    intermediate_scale: float = 0.5,
) -> Tensor:  # fmt: skip
    """Boundary loss plus intermediate loss, the boundary heads detached in the latter; scalar.

    Parameters
    ----------
    heads : three Tensors, shape (n_samples, n_atoms, 3)
        bd0, bd1 and iff.
    forces : two Tensors
        At x_0 and x_1, in the unit of the target.
    target : Tensor
        g, from `published_target`.
    t : Tensor, scalar
    intermediate_scale : float
        What g is multiplied by; boundary forces are not, so that they count twice where I is divided by it.
    """
    start, end, correction = heads
    boundary = (start + forces[0]).square().mean() + (end + forces[1]).square().mean()
    combined = intermediate_gradient(start.detach(), end.detach(), correction, t)
    return (combined - intermediate_scale * target).square().mean() + boundary
