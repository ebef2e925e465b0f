"""Guidance outside the model file: which source serves, clipped forces, and one jump chosen among several.

================  =================================================================  ==================
symbol            meaning                                                            name here
================  =================================================================  ==================
eps               W / kT, energy of the guiding environment                          energy / kT
f                 exp(-alpha s eps(x_1)), weight of a candidate                      log_weights
m                 candidates of a jump                                               n_candidates
================  =================================================================  ==================

Source: docs/theory.md, section 9. The C++ integrator has the same in UniSimGuidance.cpp and UniSimResampling.cpp.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ModelDomainError, check_choice
from ..export.metadata import GUIDANCE_SOURCES, GuidanceName, ModelMetadata
from ..units import BOLTZMANN
from .noise import candidate_stream, resampling_uniform, standard_normals

if TYPE_CHECKING:
    from .reference import Proposal, ReferenceJump

__all__ = [
    "EnvironmentFunction",
    "Resampling",
    "choose_candidates",
    "choose_source",
    "clip_forces",
    "draw_proposal",
]

EnvironmentFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Resampling:
    """How one jump is chosen among several.

    Attributes
    ----------
    energy : callable
        (m, n_atoms, 3) nm to (m,) kJ/mol: W, energy of the environment that guides.
    n_candidates : int
        Jumps of which one is kept. The law tends to the tilted one as it grows.
    """

    energy: EnvironmentFunction
    n_candidates: int = 8

    def __post_init__(self) -> None:
        if self.n_candidates < 1:
            raise ConfigError(f"A jump can't be chosen among {self.n_candidates}; give 1 or more.")


def choose_source(metadata: ModelMetadata, source: str | None) -> GuidanceName:
    """The source of guidance of a model file, or another one that it serves.

    Raises
    ------
    ConfigError, ModelDomainError
        If there is no such source, or the file doesn't serve it.
    """
    wanted = check_choice("Guidance source", source or metadata.guidance, GUIDANCE_SOURCES)
    for name in metadata.served_sources:
        if name == wanted:
            return name
    if metadata.force_means_nm > 0 and wanted != "learned":
        raise ModelDomainError(
            "The model corrects its last substeps by the forces of the whole potential (force means), which "
            f"can't be combined with the guidance source {wanted}; export it again without --force-means."
        )
    raise ModelDomainError(
        f"The model doesn't serve the guidance source {wanted}; it has {', '.join(metadata.served_sources)}. "
        "Export it again with `openmm-unisim export --guidance-source`."
    )


def check_calibrated(metadata: ModelMetadata, source: str) -> None:
    """Refuse a source whose strength nobody has determined."""
    if metadata.guidance_alpha == 0.0:
        raise ModelDomainError(
            f"The model has no calibrated strength (its guidance_alpha is 0), so {source} can't guide; store one with "
            "`openmm-unisim calibrate-guidance`."
        )


def clip_forces(forces: NDArray[np.float64], limit: float) -> tuple[NDArray[np.float64], int]:
    """Forces of at most a length, and how many were shortened.

    Parameters
    ----------
    forces : ndarray, shape (..., 3), kJ/mol/nm
    limit : float, kJ/mol/nm
        0: none.
    """
    if limit == 0.0:
        return forces, 0
    length = np.linalg.norm(forces, axis=-1, keepdims=True)
    long = length > limit
    return np.where(long, forces * (limit / np.where(long, length, 1.0)), forces), int(long.sum())


def choose_candidates(
    log_weights: NDArray[np.float64], uniform: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One candidate for each copy, with probability in proportion to exp(log weight).

    Parameters
    ----------
    log_weights : ndarray, shape (n_candidates, n_copies)
        nan and -inf: can't be chosen.
    uniform : ndarray, shape (n_copies,)

    Returns
    -------
    chosen : ndarray, shape (n_copies,)
    possible : ndarray of bool, shape (n_copies,)
        False where no candidate can be chosen.
    """
    known = np.where(np.isnan(log_weights), -np.inf, log_weights)
    largest = known.max(axis=0)
    possible = np.isfinite(largest)
    rising = np.cumsum(np.exp(known - np.where(possible, largest, 0.0)), axis=0)
    chosen = (rising <= uniform * rising[-1]).sum(axis=0)
    return np.minimum(chosen, len(known) - 1), possible


def draw_proposal(
    jump: "ReferenceJump", positions: NDArray[np.float64], seeds: NDArray[np.int64], step: int
) -> "Proposal":
    """One jump of each copy with the noise of its seed, chosen among several where the source is resampling.

    Parameters
    ----------
    jump : ReferenceJump
    positions : ndarray, shape (n_copies, n_atoms, 3), nm
    seeds : ndarray of int, shape (n_copies,)
    step : int
        Number of the jump.
    """
    resampling = jump.resampling
    if resampling is None:
        return jump.propose(positions, _noise(jump, seeds, step, 0))
    count, copies = resampling.n_candidates, len(positions)
    noise = np.concatenate([_noise(jump, seeds, step, k) for k in range(count)], axis=1)
    proposal = jump.propose(np.tile(positions, (count, 1, 1)), noise)
    energy = np.full(count * copies, np.nan)
    if proposal.finite.any():
        energy[proposal.finite] = resampling.energy(proposal.positions[proposal.finite])
    strength = jump.chosen_scale * jump.metadata.guidance_alpha / (BOLTZMANN * jump.temperature)
    log_weights = np.where(proposal.finite, -strength * energy, -np.inf).reshape(count, copies)
    chosen, possible = choose_candidates(log_weights, resampling_uniform(seeds, step))
    kept = chosen * copies + np.arange(copies)
    return replace(
        proposal,
        positions=proposal.positions[kept],
        log_density=np.full(copies, np.nan),
        path=proposal.path[:, kept],
        centroid=proposal.centroid[kept],
        finite=possible,
    )


def _noise(jump: "ReferenceJump", seeds: NDArray[np.int64], step: int, candidate: int) -> NDArray[np.float64]:
    """Normals, shape (n_substeps, n_copies, n_atoms, 3)."""
    substeps, atoms = np.arange(jump.n_substeps)[:, None, None], np.arange(jump.n_atoms)
    return standard_normals(seeds[None, :, None], step, substeps, atoms, candidate_stream(candidate))
