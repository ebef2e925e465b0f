"""One guarded jump: make it, measure the proposal, put the old state back if it is broken.

The integrator alone already refuses a NaN proposal; this guard also refuses molecules that came apart. A
refused jump still counts: time and step number advance, the frame repeats, the noise stream moves on, so
there is no hidden retry. Positions *and* velocities are put back, since momenta that belong to a broken
structure would heat the MD that follows.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import check_choice
from .counters import CounterReader
from .quality import NOT_FINITE, POLICIES, Quality, QualityCounts, QualityMonitor
from .refinement import RestrainedRefinement
from .reporters import JumpRecord

__all__ = ["GuardedJump", "JumpGuard"]

_SPEED = unit.nanometer / unit.picosecond


@dataclass(frozen=True)
class _Snapshot:
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    energy: float
    time: float


@dataclass(frozen=True)
class GuardedJump:
    """A jump that was made.

    Attributes
    ----------
    record : JumpRecord
    positions : ndarray, shape (n_atoms, 3), nm
        Of the structure kept: the next frame.
    proposal : ndarray, shape (n_atoms, 3), nm
        What the integrator left before any rejection by the guard.
    quality : Quality
        Of the proposal.
    """

    record: JumpRecord
    positions: NDArray[np.float64]
    proposal: NDArray[np.float64]
    quality: Quality


class JumpGuard:
    """Makes jumps of a `Simulation` and keeps or refuses them.

    Parameters
    ----------
    simulation : openmm.app.Simulation
        With a `UniSimIntegrator`; positions and velocities are set. Its own reporters would see proposals
        before they are judged, so leave the list empty.
    monitor : QualityMonitor
    policy : {"reject", "stop", "keep"}
        "reject" and "stop" put the old state back when a proposal is broken (the caller stops); "keep" does
        so for non-finite proposals only, which no file format can hold.
    counts : QualityCounts
        Added to at every jump.
    refinement : RestrainedRefinement, optional
        Applied to each finite proposal, which is then judged as refined.
    """

    def __init__(
        self,
        simulation: app.Simulation,
        monitor: QualityMonitor,
        policy: str,
        counts: QualityCounts,
        refinement: RestrainedRefinement | None = None,
    ):
        self._simulation = simulation
        self._monitor = monitor
        self._policy = check_choice("Policy", policy, POLICIES)
        self._refinement = refinement
        self.counts = counts
        self._counters = CounterReader(simulation.integrator)
        self._kept = self._snapshot()

    def jump(self) -> GuardedJump:
        """Make one jump."""
        started = time.perf_counter()
        self._simulation.step(1)
        outcome = self._counters.since_last()
        if self._refinement is not None and not outcome.nan:
            self._refinement.refine(self._simulation.context)
        proposal = self._snapshot()
        quality = NOT_FINITE if outcome.nan else self._monitor.assess(proposal.positions, proposal.energy)
        self.counts.add(quality)
        refused = quality.nan or (quality.broken and self._policy != "keep")
        if refused and outcome.accepted:
            self._restore()
            outcome = replace(outcome, accepted=0)
        else:
            self._kept = proposal
        record = JumpRecord.of(
            self._simulation.currentStep, proposal.time, self._kept.energy, outcome, quality,
            time.perf_counter() - started,
        )  # fmt: skip
        return GuardedJump(record, self._kept.positions, proposal.positions, quality)

    def _restore(self) -> None:
        context = self._simulation.context
        context.setPositions(self._kept.positions)
        context.setVelocities(self._kept.velocities)

    def _snapshot(self) -> _Snapshot:
        state = self._simulation.context.getState(positions=True, velocities=True, energy=True)
        return _Snapshot(
            state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
            state.getVelocities(asNumpy=True).value_in_unit(_SPEED),
            state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
            state.getTime().value_in_unit(unit.picosecond),
        )
