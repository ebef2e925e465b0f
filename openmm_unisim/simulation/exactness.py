"""Metropolis-Hastings on paths: makes jumps sample the Boltzmann distribution exactly.

==========  =======================================================================  =================
symbol      meaning                                                                  name here
==========  =======================================================================  =================
x^k         state after substep k of the proposed path                               proposal.path
y^k         x^{n-k}: the reversed path, on the same time grid                        reversed_path
log K_k     log density of substep k, given the path's own start                     log_density
U           potential energy, kJ/mol                                                 energy
log a       -beta [U(x^n) - U(x^0)] + sum_k log K_k(y^{k+1} | y^k; y^0)
            - sum_k log K_k(x^{k+1} | x^k; x^0)                                      log_acceptance
==========  =======================================================================  =================

Source: docs/theory.md, "Metropolis on paths". The intermediate states are auxiliary variables: the rule holds
for every model, good or bad, whose substeps have densities.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelDomainError
from ..units import BOLTZMANN
from .reference import Proposal, ReferenceJump

__all__ = ["EnergyFunction", "PathMetropolis", "reversed_path"]

EnergyFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def reversed_path(proposal: Proposal, positions: NDArray[np.float64]) -> tuple[Tensor, NDArray[np.float64]]:
    """The path walked backwards, in the frame of a jump that starts where it ends.

    Parameters
    ----------
    proposal : Proposal
    positions : ndarray, shape (n_copies, n_atoms, 3), nm
        Where the forward jump started.

    Returns
    -------
    path : Tensor, shape (n_substeps + 1, n_copies, n_atoms, 3), nm
    centroid : ndarray, shape (n_copies, 1, 3), nm
    """
    centroid = proposal.positions.mean(axis=1, keepdims=True)
    absolute = proposal.path.to("cpu", torch.float64).numpy() + proposal.centroid
    absolute[0] = positions
    backwards = torch.as_tensor(absolute[::-1] - centroid)
    return backwards.to(proposal.path.device, proposal.path.dtype), centroid


class PathMetropolis:
    """Acceptance rule for the jumps of a `ReferenceJump`.

    Parameters
    ----------
    jump : ReferenceJump
    energy : callable
        (m, n_atoms, 3) nm to (m,) kJ/mol: potential energy of the target distribution.
    """

    def __init__(self, jump: ReferenceJump, energy: EnergyFunction):
        self._jump = jump
        self._energy = energy
        self._beta = 1.0 / (BOLTZMANN * jump.temperature)

    def energy(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Potential energy of each copy, kJ/mol; nan where positions aren't finite."""
        finite = np.isfinite(positions).all(axis=(1, 2))
        values = np.full(len(positions), np.nan)
        if finite.any():
            values[finite] = self._energy(positions[finite])
        return values

    def log_acceptance(
        self, proposal: Proposal, positions: NDArray[np.float64], energy_before: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logarithm of the acceptance ratio of each copy, and the energy it would have afterwards.

        Parameters
        ----------
        proposal : Proposal
        positions : ndarray, shape (n_copies, n_atoms, 3), nm
            Where the jump started.
        energy_before : ndarray, shape (n_copies,), kJ/mol

        Returns
        -------
        log_a : ndarray, shape (n_copies,)
            nan, which means rejection, where the proposal, its energy or the reversed path isn't finite.
        energy_after : ndarray, shape (n_copies,), kJ/mol

        Raises
        ------
        ModelDomainError
            If a finite path has no density (a noiseless substep): no acceptance rule could be exact.
        """
        if np.any(proposal.finite & np.isnan(proposal.log_density)):
            raise ModelDomainError(
                "A substep of this model has no density (it adds no noise), so Metropolis acceptance is "
                "impossible; use a model whose substeps all have one, or accept all jumps."
            )
        energy_after = self.energy(proposal.positions)
        path, centroid = reversed_path(proposal, positions)
        backward = self._jump.path_log_density(path, centroid)
        log_a = -self._beta * (energy_after - energy_before) + backward - proposal.log_density
        return np.where(proposal.finite & np.isfinite(energy_after), log_a, np.nan), energy_after
