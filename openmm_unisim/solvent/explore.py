"""The approximate move: a jump that leaves the solute whole is taken, and the solvent makes room for it.

Not exact: no detailed balance, so populations are the model's, shifted by what the MD in between can mend. Its
use is to get somewhere: starting structures, seeds of MD. `SwitchingMove` is the exact one.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import ConfigError, tells_of_nan
from ..simulation.quality import QualityLimits, QualityMonitor
from .alchemy import switching_system
from .move import Snapshot, SoluteMove, platform_of, undisturbed
from .propagator import SolventPropagator
from .proposal import ProposedJump
from .protocol import SwitchingProtocol
from .record import MoveRecord

__all__ = ["RelaxingMove"]


class RelaxingMove(SoluteMove):
    """Jumps accepted by the solute's quality; the solvent is minimised and relaxed around it. Not exact.

    Parameters
    ----------
    limits : QualityLimits, optional
        When the solute counts as broken: bonds, chirality, clashes within it.
    minimization : int
        Most iterations of the solvent's minimisation with the solute held still.
    relaxation : SwitchingProtocol, optional
        Duration and step of the solvent's dynamics afterwards, the solute still held; 0.1 ps of 2 fs unless given.
    others
        As for `SoluteMove`.
    """

    exact = False

    def __init__(
        self,
        model: Any,
        topology: app.Topology,
        system: openmm.System,
        *args: Any,
        limits: QualityLimits | None = None,
        minimization: int = 20,
        relaxation: SwitchingProtocol | None = None,
        **options: Any,
    ):
        super().__init__(model, topology, system, *args, **options)
        if minimization < 1:
            raise ConfigError(f"minimization = {minimization} must be at least 1 iteration.")
        self._limits, self._iterations = limits, int(minimization)
        self._topology = self.solute.topology_of(topology)
        self._bonded = _bonds_alone(system, self.solute.particles)
        self._relaxation = replace(relaxation or SwitchingProtocol(duration=0.1), kind="straight")
        self._monitor: QualityMonitor | None = None
        self._propagator: SolventPropagator | None = None
        self._frozen: openmm.Context | None = None

    def describe(self) -> dict[str, Any]:
        """Settings that must be the same for a run to be resumed."""
        return {
            **super().describe(),
            "minimization": self._iterations,
            "relaxation": asdict(self._relaxation),
        }

    def prepare(self, context: openmm.Context) -> None:
        """Make the Contexts of the relaxation, or make them anew (see `SoluteMove.prepare`)."""
        if self._propagator is not None and self._frozen is not None:
            self._propagator.reset()
            self._frozen.reinitialize()
            return
        platform, properties = platform_of(context)
        particles = self.solute.particles
        self._propagator = SolventPropagator(self._system, particles, self._relaxation, platform, properties)
        still = switching_system(self._system, particles, alchemical=False)
        for particle in particles.tolist():
            still.setParticleMass(particle, 0.0)
        self._frozen = openmm.Context(still, openmm.VerletIntegrator(0.001), platform, properties)

    def _decide(
        self, context: openmm.Context, before: Snapshot, jump: ProposedJump, record: MoveRecord
    ) -> MoveRecord:
        own = before.positions[self.solute.particles]
        shift = self.solute.images(own, before.box) @ before.box
        if self._monitor is None:
            self._monitor = QualityMonitor(self._topology, self._bonded, own + shift, self._limits)
        if self._monitor.assess(jump.positions + shift).broken:
            return record
        drawn = self._velocities()
        relaxed, velocities = self._relax(context, before, drawn, jump.positions)
        energy = np.nan
        if relaxed is not None:
            context.setPositions(relaxed)
            context.setVelocities(velocities)
            state = context.getState(energy=True)
            energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        if not np.isfinite(energy):
            context.setPositions(before.positions)
            context.setVelocities(before.velocities)
            return replace(record, switched=1, nan=1)
        return replace(record, switched=1, accepted=1, work_kj_mol=float(energy - before.energy))

    def _relax(
        self,
        context: openmm.Context,
        before: Snapshot,
        drawn: NDArray[np.float64],
        solute: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        """Solvent around the solute at its new place; None if that failed."""
        if self._propagator is None or self._frozen is None:
            with undisturbed(context):
                self.prepare(context)
        assert self._frozen is not None and self._propagator is not None  # prepare
        start = np.array(before.positions)
        start[self.solute.particles] = solute
        try:
            self._frozen.setPeriodicBoxVectors(*before.box)
            self._frozen.setPositions(start)
            openmm.LocalEnergyMinimizer.minimize(self._frozen, maxIterations=self._iterations)
            state = self._frozen.getState(positions=True)
            start = np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
            start[self.solute.particles] = solute
            moved = self._propagator.switch(start, drawn, before.box, np.array([solute, solute]))
        except openmm.OpenMMException as error:
            if not tells_of_nan(error):
                raise
            with undisturbed(context):
                self.prepare(context)
            return None, drawn
        velocities = moved.velocities
        velocities[self.solute.particles] = drawn[self.solute.particles]
        return moved.positions, velocities


def _bonds_alone(system: openmm.System, particles: NDArray[np.int64]) -> openmm.System:
    """The solute's particles and harmonic bonds, which give a `QualityMonitor` its lengths."""
    place = {int(particle): k for k, particle in enumerate(particles)}
    alone = openmm.System()
    for particle in place:
        alone.addParticle(system.getParticleMass(particle))
    bonds = openmm.HarmonicBondForce()
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            for index in range(force.getNumBonds()):
                first, second, *parameters = force.getBondParameters(index)
                if first in place and second in place:
                    bonds.addBond(place[first], place[second], *parameters)
    alone.addForce(bonds)
    return alone
