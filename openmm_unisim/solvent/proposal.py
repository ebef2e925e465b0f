"""A jump of the solute as a proposal: where it would end, on which track, and at which odds against the way back.

==================  ==========================================================================  ==============
symbol              meaning                                                                     name here
==================  ==========================================================================  ==============
x^0 .. x^n          states of the jump's path, in the frame of the box                          track
log K_rev/K_fwd     sum_k log K_k(y^{k+1}|y^k; y^0) - sum_k log K_k(x^{k+1}|x^k; x^0)           log_ratio
==================  ==========================================================================  ==============

Source: docs/theory.md, "Metropolis on paths". Noise is counted by the number of the move (simulation/noise.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..pretrained.registry import resolve_model
from ..simulation.exactness import PathMetropolis
from ..simulation.noise import VELOCITIES, standard_normals
from ..simulation.reference import ReferenceJump
from ..units import BOLTZMANN
from .solute import Solute

__all__ = ["ProposedJump", "SoluteJump", "thermal_velocities"]


@dataclass(frozen=True)
class ProposedJump:
    """What a model proposes.

    Attributes
    ----------
    positions : ndarray, shape (n_solute, 3), nm
        As the Context shall hold them.
    log_ratio : float
        ln of reversed over forward path density; nan where it isn't needed or not finite.
    track : ndarray, shape (n_substeps + 1, n_solute, 3), nm
        States of the path, in the same images.
    finite : bool
    reversible : bool
        Whether the way back would be proposed in the same images of the box (always, within one molecule).
    """

    positions: NDArray[np.float64]
    log_ratio: float
    track: NDArray[np.float64]
    finite: bool
    reversible: bool


class SoluteJump:
    """Proposes jumps of the solute by a model file.

    Parameters
    ----------
    model : str or Path
        Registered name, or a model file.
    solute : Solute
    temperature : float or None
        K; the model's training temperature unless given.
    seed : int
    exact : bool
        Path densities are wanted.
    options
        ``n_substeps``, ``guidance_scale``, ``trusted`` and ``sha256`` of `ReferenceJump`.
    """

    def __init__(
        self,
        model: str | Path,
        solute: Solute,
        temperature: float | None,
        seed: int,
        *,
        exact: bool,
        **options: Any,
    ):
        if seed < 0:
            raise ConfigError(f"randomNumberSeed = {seed} must not be negative.")
        self.jump = ReferenceJump(
            resolve_model(model),
            atomic_numbers=solute.atomic_numbers,
            bonds=solute.bonds,
            temperature=temperature,
            exact=exact,
            **options,
        )
        self._solute, self._seed, self._exact = solute, int(seed), exact
        # the solute's energy is part of the switch's work, so the ratio here is of densities alone
        self._paths = PathMetropolis(self.jump, lambda positions: np.zeros(len(positions)))

    def propose(self, positions: NDArray[np.float64], box: NDArray[np.float64], number: int) -> ProposedJump:
        """Jump number `number`.

        Parameters
        ----------
        positions : ndarray, shape (n_solute, 3), nm
            As the Context holds them: possibly cut by the box.
        box : ndarray, shape (3, 3), nm
        number : int

        Raises
        ------
        ModelDomainError
            If densities are wanted and the model has none.
        """
        images = self._solute.images(positions, box)
        shift = images @ box
        whole = (positions + shift)[None]
        substeps, atoms = np.arange(self.jump.n_substeps)[:, None], np.arange(self.jump.n_atoms)
        noise = standard_normals(self._seed, number, substeps, atoms)[:, None]
        proposal = self.jump.propose(whole, noise)
        log_ratio = np.array([np.nan])
        if self._exact:
            log_ratio, _ = self._paths.log_acceptance(proposal, whole, np.zeros(1))
        track = proposal.path.to("cpu").double().numpy()[:, 0] + proposal.centroid[0] - shift
        track[0], track[-1] = positions, proposal.positions[0] - shift
        finite = bool(proposal.finite[0] and (np.isfinite(log_ratio[0]) or not self._exact))
        reversible = finite and bool(np.array_equal(self._solute.images(track[-1], box), images))
        return ProposedJump(track[-1], float(log_ratio[0]), track, finite, reversible)


def thermal_velocities(
    masses: NDArray[np.float64], temperature: float, seed: int, number: int
) -> NDArray[np.float64]:
    """Maxwell-Boltzmann velocities before constraints, shape (n_particles, 3), nm/ps; massless particles rest.

    Parameters
    ----------
    masses : ndarray, shape (n_particles,), Da
    temperature : float, K
    seed, number : int
        Of the stream and of the move.
    """
    normals = standard_normals(seed, number, 0, np.arange(len(masses)), VELOCITIES)
    inverse = np.divide(1.0, masses, out=np.zeros_like(masses), where=masses > 0)
    return normals * np.sqrt(BOLTZMANN * temperature * inverse)[:, None]
