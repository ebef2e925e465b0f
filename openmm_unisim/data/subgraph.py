"""Gradient-environment subgraphs: what of a large molecule one training step sees, and what of it enters the loss.

=========  ==================================================================  ==================
symbol     meaning                                                             variable
=========  ==================================================================  ==================
c          centre, an atom drawn at random                                     centre
E          atoms within the environment radius of c: the network's input       atoms
G          atoms within the gradient radius of c, a part of E: in the loss     in `weights`, > 0
G(i)       atoms within the gradient radius of i
w_i        1/|G(i)| for i in G, else 0                                         weights
=========  ==================================================================  ==================

Distances are those of x_t, of which the network's edges are made. With a centre drawn uniformly from N atoms, i is in G
with probability |G(i)|/N, so that sum_i w_i e_i has the mean error of the whole molecule, (1/N) sum_i e_i, as its
expectation: atoms of the surface count as much as buried ones. A plain mean over G would not do that.

Source: UniSim, spec section 10, as in its code; the slides swap E and G. Differences: docs/deviations.md.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..errors import ConfigError, NonFiniteError

__all__ = ["Subgraph", "check_radii", "choose_centre", "cut"]


class Subgraph(NamedTuple):
    """Atoms of one subgraph.

    Attributes
    ----------
    centre : int
    atoms : Tensor, shape (n,), int64
        The environment, in the molecule's order; holds the gradient region.
    weights : Tensor, shape (n,)
        Of the atoms' errors; 0 outside the gradient region.
    """

    centre: int
    atoms: Tensor
    weights: Tensor

    @property
    def gradient(self) -> Tensor:
        """Which of the environment's atoms are in the gradient region, shape (n,), bool."""
        return self.weights > 0


def check_radii(environment_radius: float, gradient_radius: float) -> None:
    """The gradient region must lie in the environment.

    Raises
    ------
    ConfigError
    """
    if not 0 < gradient_radius <= environment_radius:
        raise ConfigError(
            f"gradient_radius = {gradient_radius:g} must be positive and at most environment_radius = "
            f"{environment_radius:g} angstrom: the atoms in the loss are a part of those that the network sees."
        )


def choose_centre(n_atoms: int, generator: Generator) -> int:
    """An atom, each with the same chance (the published code draws one from each block of 1,000)."""
    return int(torch.randint(n_atoms, (), generator=generator))


def cut(positions: Tensor, centre: int, environment_radius: float, gradient_radius: float) -> Subgraph:
    """Atoms around a centre.

    Parameters
    ----------
    positions : Tensor, shape (n_atoms, 3), angstrom
        x_t of the whole molecule.
    centre : int
    environment_radius, gradient_radius : float, angstrom
        Atoms are nearer than that; exactly as near is outside.

    Returns
    -------
    Subgraph

    Raises
    ------
    ConfigError, NonFiniteError
        If the radii don't fit together, or a position is not finite.
    """
    check_radii(environment_radius, gradient_radius)
    if not bool(torch.isfinite(positions).all()):
        raise NonFiniteError(
            "Positions hold NaN or infinite numbers, so no subgraph can be cut; check the data."
        )
    far = (positions - positions[centre]).norm(dim=-1)
    atoms = torch.nonzero(far < environment_radius).squeeze(1)
    inner = torch.nonzero(far[atoms] < gradient_radius).squeeze(1)
    near = (positions[atoms[inner]].unsqueeze(1) - positions).norm(dim=-1) < gradient_radius
    weights = positions.new_zeros(len(atoms))
    weights[inner] = 1.0 / near.sum(1).to(weights.dtype)
    return Subgraph(centre, atoms, weights)
