"""Radial basis and cutoff envelope.

=========  ====================================  ==========
symbol     meaning                               variable
=========  ====================================  ==========
C(r)       (cos(pi r / r_c) + 1)/2, 0 beyond     envelope
alpha      5 / r_c, per angstrom                 alpha
mu_k       centres, linspace(e^-5, 1, R)         means
beta_k     widths, ((2/R)(1 - e^-5))^-2          betas
=========  ====================================  ==========

phi_k(r) = C(r) exp(-beta_k (exp(-alpha r) - mu_k)^2). Source: UniSim, spec section 4.2 (PhysNet's start).
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["ExpNormRadial", "cosine_envelope"]


def cosine_envelope(distance: Tensor, cutoff: float) -> Tensor:
    """C(r): falls from 1 at r = 0 to 0 at the cutoff with zero slope at both ends.

    Parameters
    ----------
    distance : Tensor, any shape, angstrom
    cutoff : float, angstrom

    Returns
    -------
    Tensor, the shape of `distance`
    """
    inside = (distance < cutoff).to(distance.dtype)
    return 0.5 * (torch.cos(distance * (math.pi / cutoff)) + 1.0) * inside


class ExpNormRadial(nn.Module):
    """Exponential-normal radial basis.

    Parameters
    ----------
    n : int
        Basis functions R.
    cutoff : float, angstrom
    trainable : bool
        Whether centres and widths are parameters (published) or buffers.
    """

    def __init__(self, n: int, cutoff: float, trainable: bool = True) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        self.alpha = 5.0 / float(cutoff)
        lowest = math.exp(-5.0)
        means = torch.linspace(lowest, 1.0, n)
        betas = torch.full((n,), (2.0 / n * (1.0 - lowest)) ** -2)
        if trainable:
            self.means = nn.Parameter(means)
            self.betas = nn.Parameter(betas)
        else:
            self.register_buffer("means", means)
            self.register_buffer("betas", betas)

    def forward(self, distance: Tensor) -> Tensor:
        """Basis functions of each distance.

        Parameters
        ----------
        distance : Tensor, shape (...,), angstrom

        Returns
        -------
        Tensor, shape (..., R)
        """
        r = distance.unsqueeze(-1)
        gap = torch.exp(-self.alpha * r) - self.means
        return cosine_envelope(r, self.cutoff) * torch.exp(-self.betas * gap * gap)
