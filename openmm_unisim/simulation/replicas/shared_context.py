"""One OpenMM Context that the copies of a molecule visit in turn: energies, forces, projections, States."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ...errors import ConfigError, tells_of_nan

__all__ = ["SharedContext"]

_FORCE = unit.kilojoule_per_mole / unit.nanometer


class SharedContext:
    """A Context in which positions are set anew for each use; nothing of a copy stays there.

    Parameters
    ----------
    system : openmm.System
        Without barostats and thermostats, which act on one Context's state and so can't serve many copies.
    integrator : openmm.Integrator
        Never stepped; it gives the constraint tolerance and the force groups.
    platform : openmm.Platform, optional
    properties : mapping of str to str, optional

    Attributes
    ----------
    context : openmm.Context
    """

    def __init__(
        self,
        system: openmm.System,
        integrator: openmm.Integrator,
        platform: openmm.Platform | None = None,
        properties: Mapping[str, str] | None = None,
    ):
        _refuse_state_keepers(system)
        arguments: list[Any] = [] if platform is None else [platform]
        if platform is not None and properties:
            arguments.append(dict(properties))
        self.context = openmm.Context(system, integrator, *arguments)
        self._integrator = integrator
        particles = range(system.getNumParticles())
        self.masses = np.array([system.getParticleMass(i).value_in_unit(unit.dalton) for i in particles])
        self.removesDrift = any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces())
        self._virtual = any(system.isVirtualSite(i) for i in particles)
        self._constrained = system.getNumConstraints() > 0

    @property
    def projects(self) -> bool:
        """Whether positions after a jump have to be projected: constraints, virtual sites."""
        return self._constrained or self._virtual

    def energies(self, positions: NDArray[np.float64], groups: int | None = None) -> NDArray[np.float64]:
        """Potential energy, kJ/mol, (m,); nan where OpenMM refuses the positions.

        Parameters
        ----------
        positions : ndarray, shape (m, n_particles, 3), nm
        groups : int, optional
            Force groups as bits; the integrator's unless given.
        """
        if groups is None:
            groups = self._integrator.getIntegrationForceGroups()
        return np.array([self._guarded(self._energy, copy, groups) for copy in positions])

    def forces(self, positions: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
        """Forces of some force groups (bits), kJ/mol/nm, at positions of shape (m, n_particles, 3), nm."""
        found = []
        for copy in positions:
            self.context.setPositions(copy)
            state = self.context.getState(forces=True, groups=groups)
            found.append(state.getForces(asNumpy=True).value_in_unit(_FORCE))
        return np.array(found)

    def project(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """One copy, (n_particles, 3) nm, with constraints kept and virtual sites in place; nan if that fails."""
        try:
            self.context.setPositions(positions)
            if self._constrained:
                self.context.applyConstraints(self._integrator.getConstraintTolerance())
            if self._virtual:
                self.context.computeVirtualSites()
        except openmm.OpenMMException as error:
            if not tells_of_nan(error):
                raise
            return np.full_like(positions, np.nan)
        return self.positions()

    def visit(
        self, positions: NDArray[np.float64], action: Callable[[openmm.Context], Any]
    ) -> NDArray[np.float64]:
        """Positions, (n_particles, 3) nm, after `action` on the Context at `positions`."""
        self.context.setPositions(positions)
        action(self.context)
        return self.positions()

    def positions(self) -> NDArray[np.float64]:
        """Where the Context's particles are now, (n_particles, 3) nm."""
        state = self.context.getState(positions=True)
        return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))

    def state(
        self,
        positions: NDArray[np.float64],
        velocities: NDArray[np.float64] | None,
        time: float,
        step: int,
        what: Mapping[str, Any],
    ) -> openmm.State:
        """OpenMM's State of one copy.

        Parameters
        ----------
        positions, velocities : ndarray, shape (n_particles, 3), nm and nm/ps
        time : float
            ps.
        step : int
        what : mapping
            Arguments of `openmm.Context.getState`.
        """
        self.context.setPositions(positions)
        if velocities is not None:
            self.context.setVelocities(velocities)
            if self._constrained:
                self.context.applyVelocityConstraints(self._integrator.getConstraintTolerance())
        self.context.setTime(time)
        self.context.setStepCount(step)
        return self.context.getState(**what)

    def _energy(self, positions: NDArray[np.float64], groups: int) -> float:
        self.context.setPositions(positions)
        state = self.context.getState(energy=True, groups=groups)
        return float(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))

    @staticmethod
    def _guarded(function: Callable[..., float], *arguments: Any) -> float:
        try:
            return function(*arguments)
        except openmm.OpenMMException as error:
            if not tells_of_nan(error):
                raise
            return float("nan")  # of this copy only


def _refuse_state_keepers(system: openmm.System) -> None:
    for force in system.getForces():
        kind = type(force).__name__
        if "Barostat" in kind or "Thermostat" in kind:
            raise ConfigError(
                f"This System has a {kind}, which changes one Context as it goes and can't serve many copies; leave it "
                "out, or run the copies as separate Simulations."
            )
