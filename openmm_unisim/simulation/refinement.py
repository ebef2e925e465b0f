"""Restrained refinement: after a jump, minimise the energy while a restraint holds the atoms where the jump put them.

==========  =====================================================  ==================
symbol      meaning                                                name here
==========  =====================================================  ==================
k           strength, kJ/mol/nm^2; a Context parameter that is 0   STRENGTH_PARAMETER
            except while a refinement runs
x_ref       where the jump ended, nm; per-particle parameters,     x0, y0, z0
            set anew at each refinement
E           k/2 sum over restrained atoms |x - x_ref|^2            the CustomExternalForce
==========  =====================================================  ==================

Published form and defaults: UniSim's refinement of proteins (k = 10 kcal/mol/A^2 on atoms that aren't hydrogen). There
the restraint is added to the System after the Context was made and so never acts, and the System grows by one force a
jump; here it is part of the System from the start, and a Context made without it is refused by name.

Refined structures are not samples of anything in particular: minimising takes thermal motion out. It is an option for
parity with the paper and for looks, and Metropolis acceptance refuses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import ConfigError, NonFiniteError, tells_of_nan
from ..units import in_unit

__all__ = ["Refinement", "RefinementCounts", "RestrainedRefinement"]

STRENGTH_PARAMETER = "unisim_refinement_strength"
FORCE_NAME = "UniSimRefinementRestraint"
DEFAULT_STRENGTH = 4184.0  # kJ/mol/nm^2: 10 kcal/mol/A^2
DEFAULT_TOLERANCE = 10.0  # kJ/mol/nm, OpenMM's own; the published 1,000 stops almost at once
_PLACES = ("x0", "y0", "z0")
_GROUPS = 32


@dataclass(frozen=True)
class Refinement:
    """What one refinement did.

    Attributes
    ----------
    energy_before, energy_after : float
        Potential energy without the restraint, kJ/mol.
    displacement : float
        How far the furthest restrained atom moved, nm; 0 if none is restrained.
    """

    energy_before: float
    energy_after: float
    displacement: float


@dataclass
class RefinementCounts:
    """Refinements done; failed ones, which left the jump as it was; the largest displacement, nm."""

    refined: int = 0
    failed: int = 0
    largest_displacement: float = 0.0


class RestrainedRefinement:
    """Adds the restraint to a System and refines structures in Contexts of that System.

    Call `addToSystem` before the Context (or Simulation) is made, `refine` after a jump::

        refinement = RestrainedRefinement(topology)
        refinement.addToSystem(system)
        simulation = app.Simulation(topology, system, integrator)
        simulation.step(1)
        refinement.refine(simulation.context)

    Between refinements the restraint's strength is 0, so that no reporter and no acceptance rule sees it.

    Parameters
    ----------
    topology : openmm.app.Topology
    strength : float or Quantity
        k, kJ/mol/nm^2; 0 is a plain minimisation.
    tolerance : float or Quantity
        Where minimising stops: root mean square of the forces' components, kJ/mol/nm.
    maxIterations : int
        0: until the tolerance is reached.
    particles : sequence of int, optional
        Atoms to restrain; unless given, all that have an element other than hydrogen.
    forceGroup : int, optional
        Of the restraint; unless given, the highest that the System doesn't use.

    Attributes
    ----------
    counts : RefinementCounts
    """

    def __init__(
        self,
        topology: app.Topology,
        strength: float | unit.Quantity = DEFAULT_STRENGTH,
        tolerance: float | unit.Quantity = DEFAULT_TOLERANCE,
        maxIterations: int = 0,
        *,
        particles: Sequence[int] | None = None,
        forceGroup: int | None = None,
    ):
        self.strength = in_unit(strength, unit.kilojoule_per_mole / unit.nanometer**2, "refinement strength")
        self.tolerance = in_unit(tolerance, unit.kilojoule_per_mole / unit.nanometer, "refinement tolerance")
        self.maxIterations = int(maxIterations)
        if self.strength < 0 or self.tolerance <= 0 or self.maxIterations < 0:
            raise ConfigError(
                f"A refinement of strength {self.strength:g}, tolerance {self.tolerance:g} and {self.maxIterations} "
                "iterations makes no sense; none may be negative, nor the tolerance 0."
            )
        self.particles = _heavy_atoms(topology) if particles is None else [int(index) for index in particles]
        wrong = [index for index in self.particles if not 0 <= index < topology.getNumAtoms()]
        if wrong:
            raise ConfigError(
                f"The refinement is to restrain atom {wrong[0]}, but there are {topology.getNumAtoms()}."
            )
        self._group = forceGroup
        self._force: openmm.CustomExternalForce | None = None
        self.counts = RefinementCounts()

    def getForceGroup(self) -> int:
        """The force group of the restraint, once it is part of a System."""
        return int(self._added().getForceGroup())

    def addToSystem(self, system: openmm.System) -> None:
        """Make the restraint, with strength 0, part of a System. Contexts made before don't have it."""
        if any(force.getName() == FORCE_NAME for force in system.getForces()):
            raise ConfigError("This System has a refinement restraint already; one is enough for all jumps.")
        distance = "((x-x0)^2+(y-y0)^2+(z-z0)^2)"
        if system.usesPeriodicBoundaryConditions():
            distance = "periodicdistance(x, y, z, x0, y0, z0)^2"
        force = openmm.CustomExternalForce(f"0.5*{STRENGTH_PARAMETER}*{distance}")
        force.addGlobalParameter(STRENGTH_PARAMETER, 0.0)
        for name in _PLACES:
            force.addPerParticleParameter(name)
        for particle in self.particles:
            force.addParticle(particle, [0.0, 0.0, 0.0])
        force.setName(FORCE_NAME)
        force.setForceGroup(_free_group(system) if self._group is None else self._group)
        self._system = system  # owns the force, so it has to stay alive
        self._force = system.getForce(system.addForce(force))

    def check(self, context: openmm.Context) -> None:
        """Refuse a Context in which a refinement would do nothing, or would spoil exactness.

        Raises
        ------
        ConfigError
            If the Context was made before `addToSystem` or leaves the restraint's force group out, or if the jumps are
            judged by Metropolis acceptance.
        """
        force = self._added()
        if STRENGTH_PARAMETER not in context.getParameters():
            raise ConfigError(
                "This Context was made before the refinement's restraint was added to its System, which would never "
                "act; call addToSystem first, then make the Context."
            )
        integrator = context.getIntegrator()
        if not integrator.getIntegrationForceGroups() >> force.getForceGroup() & 1:
            raise ConfigError(
                f"The integrator leaves out force group {force.getForceGroup()}, the refinement's restraint; include "
                "it in setIntegrationForceGroups (its strength is 0 outside the refinement)."
            )
        _refuse_metropolis(integrator)

    def refine(self, context: openmm.Context) -> Refinement:
        """Minimise from the Context's positions, held by the restraint to where they are now.

        The positions change; velocities, time and step count don't. A minimisation that ends in NaN or infinity is
        counted as failed and leaves the positions as they were.
        """
        self.check(context)
        before = context.getState(positions=True, energy=True, groups=self._others())
        start = before.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        energy = before.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        if not np.isfinite(start).all():
            raise NonFiniteError(
                "A structure with NaN or infinite positions can't be refined; reject its jump instead."
            )
        self._hold(context, start)
        try:
            context.setParameter(STRENGTH_PARAMETER, self.strength)
            openmm.LocalEnergyMinimizer.minimize(context, self.tolerance, self.maxIterations)
        except openmm.OpenMMException as error:
            if not tells_of_nan(error):
                raise
            return self._failed(context, start, energy)
        finally:
            context.setParameter(STRENGTH_PARAMETER, 0.0)
        after = context.getState(positions=True, energy=True, groups=self._others())
        end = after.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        energy_after = after.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        if not (np.isfinite(end).all() and np.isfinite(energy_after)):
            return self._failed(context, start, energy)
        moved = np.linalg.norm(end - start, axis=1)[self.particles]
        result = Refinement(energy, energy_after, float(moved.max(initial=0.0)))
        self.counts.refined += 1
        self.counts.largest_displacement = max(self.counts.largest_displacement, result.displacement)
        return result

    def _hold(self, context: openmm.Context, positions: NDArray[np.float64]) -> None:
        """Make the restraint pull to `positions`, (n_atoms, 3) nm, in this Context."""
        force = self._added()
        for index, particle in enumerate(self.particles):
            force.setParticleParameters(index, particle, positions[particle].tolist())
        force.updateParametersInContext(context)

    def _failed(self, context: openmm.Context, start: NDArray[np.float64], energy: float) -> Refinement:
        context.setPositions(start)
        self.counts.failed += 1
        return Refinement(energy, energy, 0.0)

    def _added(self) -> openmm.CustomExternalForce:
        if self._force is None:
            raise ConfigError(
                "The refinement's restraint isn't part of a System; call addToSystem before making the Context."
            )
        return self._force

    def _others(self) -> set[int]:
        """All force groups but the restraint's."""
        return set(range(_GROUPS)) - {self.getForceGroup()}


def _heavy_atoms(topology: app.Topology) -> list[int]:
    return [
        atom.index for atom in topology.atoms() if atom.element is not None and atom.element.atomic_number > 1
    ]


def _free_group(system: openmm.System) -> int:
    """The highest force group that the System doesn't use."""
    used = {force.getForceGroup() for force in system.getForces()}
    free = [group for group in range(_GROUPS) if group not in used]
    if not free:
        raise ConfigError("All 32 force groups of this System are taken; give the refinement one by name.")
    return max(free)


def _refuse_metropolis(integrator: openmm.Integrator) -> None:
    """Minimising after a jump that was judged by its probability would undo what the test made right."""
    from ..integrator import UniSimIntegrator

    parts = [integrator]
    if isinstance(integrator, openmm.CompoundIntegrator):
        parts = [integrator.getIntegrator(index) for index in range(integrator.getNumIntegrators())]
    for part in parts:
        if not UniSimIntegrator.isinstance(part):
            continue
        if UniSimIntegrator.cast(part).getAcceptanceMode() == UniSimIntegrator.MetropolisHastings:
            raise ConfigError(
                "Refinement and Metropolis acceptance exclude each other: minimising isn't reversible, so the chain "
                "would no longer be exact; leave one of them out."
            )
