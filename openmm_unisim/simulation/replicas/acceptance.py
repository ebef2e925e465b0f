"""Which of the proposed jumps are kept: all that are finite, those that leave the molecule whole, or by Metropolis.

==============  ============================================  ==========================================
mode            a jump is refused if                          visits to the shared Context, a copy and jump
==============  ============================================  ==========================================
"all"           it isn't finite                               none; projection if there are constraints
"quality"       it isn't finite, or breaks the molecule       one, for the energy
                (`openmm_unisim.simulation.quality`)
"metropolis"    the test of docs/theory.md section 10 says so one, for the energy
==============  ============================================  ==========================================
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..exactness import PathMetropolis
from ..noise import acceptance_uniform
from ..quality import NOT_FINITE, Quality, QualityMonitor
from ..reference import Proposal
from ..refinement import RestrainedRefinement
from .shared_context import SharedContext

__all__ = [
    "ACCEPTANCE_MODES",
    "Acceptance",
    "CheckedAcceptance",
    "MetropolisAcceptance",
    "Verdict",
]

ACCEPTANCE_MODES = ("all", "quality", "metropolis")


@dataclass(frozen=True)
class Verdict:
    """The copies after a jump.

    Attributes
    ----------
    positions : ndarray, shape (n_copies, n_particles, 3), nm
        A refused jump repeats its start.
    energies : ndarray, shape (n_copies,), kJ/mol
        Of those positions; nan where nobody asked.
    accepted, finite : ndarray of bool, shape (n_copies,)
    log_acceptance : ndarray, shape (n_copies,)
        Of the Metropolis test; 0 where there is none, -inf where the proposal isn't finite.
    qualities : list of Quality or None
        Of the proposals; None where nobody asked.
    """

    positions: NDArray[np.float64]
    energies: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    finite: NDArray[np.bool_]
    log_acceptance: NDArray[np.float64]
    qualities: list[Quality] | None = None


class Acceptance(ABC):
    """A rule for all copies; one copy's NaN is no other's business."""

    @abstractmethod
    def judge(
        self,
        proposal: Proposal,
        full: NDArray[np.float64],
        positions: NDArray[np.float64],
        energies: NDArray[np.float64],
        seeds: NDArray[np.int64],
        step: int,
    ) -> Verdict:
        """Decide about one jump of each copy.

        Parameters
        ----------
        proposal : Proposal
            Of the particles that jump.
        full : ndarray, shape (n_copies, n_particles, 3), nm
            The proposal with all particles; virtual sites are where they were.
        positions : ndarray, shape (n_copies, n_particles, 3), nm
            Where the jump started.
        energies : ndarray, shape (n_copies,), kJ/mol
            There; nan where unknown.
        seeds : ndarray of int, shape (n_copies,)
        step : int
            Number of the jump, from 0.
        """


class CheckedAcceptance(Acceptance):
    """Keeps what is finite and, with monitors, what leaves the molecule whole.

    Parameters
    ----------
    shared : SharedContext
    refinement : RestrainedRefinement, optional
        Applied to finite proposals, which are then judged as refined.
    monitor : QualityMonitor, optional
    """

    def __init__(
        self,
        shared: SharedContext,
        refinement: RestrainedRefinement | None = None,
        monitor: QualityMonitor | None = None,
    ):
        self._shared, self._refinement, self.monitor = shared, refinement, monitor

    def judge(
        self,
        proposal: Proposal,
        full: NDArray[np.float64],
        positions: NDArray[np.float64],
        energies: NDArray[np.float64],
        seeds: NDArray[np.int64],
        step: int,
    ) -> Verdict:
        """See `Acceptance.judge`."""
        after = np.array([self._place(copy, ok) for copy, ok in zip(full, proposal.finite)])
        finite = np.isfinite(after).all(axis=(1, 2))
        energies_after = np.full(len(full), np.nan)
        if self.monitor is None:
            accepted, qualities = finite, None
        else:
            energies_after[finite] = self._shared.energies(after[finite])
            qualities = [self._assess(self.monitor, *one) for one in zip(after, energies_after)]
            finite = np.array([not quality.nan for quality in qualities])
            accepted = np.array([not quality.broken for quality in qualities])
        return Verdict(
            np.where(accepted[:, None, None], after, positions), np.where(accepted, energies_after, energies),
            accepted, finite, np.where(finite, 0.0, -np.inf), qualities,
        )  # fmt: skip

    @staticmethod
    def _assess(monitor: QualityMonitor, positions: NDArray[np.float64], energy: float) -> Quality:
        return monitor.assess(positions, energy) if np.isfinite(positions).all() else NOT_FINITE

    def _place(self, positions: NDArray[np.float64], finite: bool) -> NDArray[np.float64]:
        """A copy's proposal, projected and refined where that is asked; nan if it isn't finite."""
        if not finite:
            return np.full_like(positions, np.nan)
        if self._shared.projects:
            positions = self._shared.project(positions)
        if self._refinement is not None and np.isfinite(positions).all():
            positions = self._shared.visit(positions, self._refinement.refine)
        return positions


class MetropolisAcceptance(Acceptance):
    """Metropolis on paths, for the Boltzmann distribution of the Context's force field.

    Parameters
    ----------
    rule : PathMetropolis
    """

    def __init__(self, rule: PathMetropolis):
        self._rule = rule

    def judge(
        self,
        proposal: Proposal,
        full: NDArray[np.float64],
        positions: NDArray[np.float64],
        energies: NDArray[np.float64],
        seeds: NDArray[np.int64],
        step: int,
    ) -> Verdict:
        """See `Acceptance.judge`; `energies` are needed here."""
        log_a, energies_after = self._rule.log_acceptance(proposal, positions, energies)
        finite = ~np.isnan(log_a)
        log_a = np.where(finite, log_a, -np.inf)
        accepted = np.log(acceptance_uniform(seeds, step)) < log_a
        return Verdict(
            np.where(accepted[:, None, None], full, positions), np.where(accepted, energies_after, energies),
            accepted, finite, log_a,
        )  # fmt: skip
