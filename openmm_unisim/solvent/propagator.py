"""The solvent's dynamics while the solute is driven: velocity Verlet with constraints, deterministic.

====================  ==================================================================  ==================
symbol                meaning                                                             name here
====================  ==================================================================  ==================
q, p = m v            solvent                                                             x, v where mobile
x(s_k)                solute at step k: start + s_k (end - start), or given point         position(k)
Phi                   the whole switch, (q, v) -> (q', v')                                SolventPropagator
R                     v -> -v;  R Phi_reversed R Phi = 1                                  tests
====================  ==================================================================  ==================

Each step: a kick (the first one half), a drift (SHAKE/SETTLE), the solute and the couplings to their next values; at
last half a kick (RATTLE). A kick comes first since OpenMM places virtual sites (four-site water) at the end of a step:
forces that are asked for within a step would see stale ones, and the switch could not be reversed. Every part is
reversible and keeps the solvent's phase-space volume, for any schedule: no heat is exchanged, so the work of the
whole switch is the change of the total energy.
"""

from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from .alchemy import CHARGES, STERICS, switching_system
from .protocol import Schedule, SwitchingProtocol

__all__ = ["SolventPropagator", "Switched"]

_TOLERANCE = 1e-8  # of constraints; SETTLE (rigid water) is exact anyway
_SPEED = unit.nanometer / unit.picosecond


@dataclass(frozen=True)
class Switched:
    """The solvent after a switch.

    Attributes
    ----------
    positions, velocities : ndarray, shape (n_particles, 3), nm and nm/ps
        The solute's entries are where it was driven to, and zero.
    kinetic_before, kinetic_after : float, kJ/mol
        Of the solvent, at the velocities that obey the constraints.
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    kinetic_before: float
    kinetic_after: float


class SolventPropagator:
    """Drives the solute along a track and lets the solvent respond.

    Parameters
    ----------
    system : openmm.System
        The user's; a copy is used.
    solute : ndarray of int, shape (n_solute,)
    protocol : SwitchingProtocol
    platform : openmm.Platform
    properties : dict of str, optional
        Of the platform.
    """

    def __init__(
        self,
        system: openmm.System,
        solute: NDArray[np.int64],
        protocol: SwitchingProtocol,
        platform: openmm.Platform,
        properties: dict[str, str] | None = None,
    ):
        self.protocol = protocol
        self._solute = solute
        n = system.getNumParticles()
        masses = [system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(n)]
        self._masses = np.array(masses)
        self._masses[solute] = 0.0
        self._mobile = np.ones((n, 3))
        self._mobile[solute] = 0.0
        self._schedule = protocol.schedule()
        self._integrator = _integrator(protocol, self._schedule)
        copy = switching_system(system, solute, protocol.alchemical)
        self.context = openmm.Context(copy, self._integrator, platform, properties or {})

    def reset(self) -> None:
        """Forget what the platform remembers (neighbour lists), so that equal input gives equal bits."""
        self.context.reinitialize()

    def copy_parameters(self, context: openmm.Context) -> None:
        """Take over the Context parameters that both have."""
        values = dict(context.getParameters())
        for name in dict(self.context.getParameters()):
            if name in values:
                self.context.setParameter(name, values[name])

    def switch(
        self,
        positions: NDArray[np.float64],
        velocities: NDArray[np.float64],
        box: NDArray[np.float64],
        track: NDArray[np.float64],
    ) -> Switched:
        """One switch.

        Parameters
        ----------
        positions, velocities : ndarray, shape (n_particles, 3), nm and nm/ps
            Those of the solute don't matter.
        box : ndarray, shape (3, 3), nm
        track : ndarray, shape (n_points, n_solute, 3), nm
            Where the solute starts, passes (at equal parts of the way) and ends.

        Raises
        ------
        openmm.OpenMMException
            If a coordinate becomes NaN on the way.
        """
        start = np.array(positions)
        start[self._solute] = track[0]
        speeds = np.where(self._mobile > 0, velocities, 0.0)
        self.context.setPeriodicBoxVectors(*box)
        self.context.setPositions(start)
        self.context.setVelocities(speeds)
        self.context.applyVelocityConstraints(_TOLERANCE)
        before = self._kinetic(self._read()[1])
        self._begin(start, track)
        if len(track) == 2:
            self._integrator.step(self.protocol.n_steps)
        else:
            self._step_along(start, track)
        if self.protocol.n_steps:
            self._integrator.setGlobalVariableByName("go", 0)
            self._integrator.step(1)
        end, speeds = self._read()
        end[self._solute] = track[-1]
        return Switched(end, speeds, before, self._kinetic(speeds))

    def _begin(self, start: NDArray[np.float64], track: NDArray[np.float64]) -> None:
        displacement = np.zeros_like(start)
        displacement[self._solute] = track[-1] - track[0]
        self._integrator.setPerDofVariableByName("mobile", self._mobile)
        self._integrator.setPerDofVariableByName("start", start)
        self._integrator.setPerDofVariableByName("displacement", displacement)
        self._integrator.setGlobalVariableByName("k", 0)
        self._integrator.setGlobalVariableByName("go", 1)
        if self.protocol.alchemical:
            self.context.setParameter(CHARGES, self._schedule.charges[0])
            self.context.setParameter(STERICS, self._schedule.sterics[0])

    def _step_along(self, start: NDArray[np.float64], track: NDArray[np.float64]) -> None:
        self._integrator.setPerDofVariableByName("displacement", np.zeros_like(start))
        points = np.array(start)
        legs = len(track) - 1
        for k in range(self.protocol.n_steps):
            place = self._schedule.position[k + 1] * legs
            leg = min(int(place), legs - 1)
            points[self._solute] = track[leg] + (place - leg) * (track[leg + 1] - track[leg])
            self._integrator.setPerDofVariableByName("start", points)
            self._integrator.step(1)

    def _read(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        state = self.context.getState(positions=True, velocities=True)
        return (
            np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)),
            np.array(state.getVelocities(asNumpy=True).value_in_unit(_SPEED)),
        )

    def _kinetic(self, velocities: NDArray[np.float64]) -> float:
        return float(0.5 * (self._masses[:, None] * velocities**2).sum())


def _integrator(protocol: SwitchingProtocol, schedule: Schedule) -> openmm.CustomIntegrator:
    """Velocity Verlet (RATTLE) for mobile particles; the others follow the schedule."""
    integrator = openmm.CustomIntegrator(protocol.step_size)
    integrator.setConstraintTolerance(_TOLERANCE)
    # it draws nothing, but the default would seed the one generator of Reference from the clock
    integrator.setRandomNumberSeed(1)
    integrator.addGlobalVariable("k", 0)
    integrator.addGlobalVariable("go", 1)  # 0 in the last call: nothing moves, half a kick
    integrator.addGlobalVariable("kick", 0)
    for name in ("mobile", "start", "displacement", "unconstrained"):
        integrator.addPerDofVariable(name, 0)
    table = openmm.Discrete1DFunction
    integrator.addTabulatedFunction("position", table(schedule.position.tolist()))
    integrator.addComputeGlobal("kick", "select(go, select(k, 1, 0.5), 0.5)*dt")
    integrator.addComputePerDof("v", "mobile*(v+kick*f/m)")
    integrator.addComputePerDof("x", "x+mobile*go*dt*v")
    integrator.addComputePerDof("unconstrained", "x")
    integrator.addConstrainPositions()
    integrator.addComputePerDof("v", "mobile*(v+(x-unconstrained)/dt)")
    integrator.addComputeGlobal("k", "k+go")
    integrator.addComputePerDof("x", "select(mobile, x, start+position(k)*displacement)")
    if protocol.alchemical:
        for name, values in ((CHARGES, schedule.charges), (STERICS, schedule.sterics)):
            integrator.addTabulatedFunction(f"{name}_at", table(values.tolist()))
            integrator.addComputeGlobal(name, f"{name}_at(k)")
    integrator.addConstrainVelocities()
    return integrator
