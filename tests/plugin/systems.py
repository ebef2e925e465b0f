"""Small Systems and Topologies for the tests of the plugin, and Simulations on a named platform."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_unisim import UniSimIntegrator

BOLTZMANN = 0.0083144626  # kJ/(mol K)


def platform_names(*wanted: str) -> list[str]:
    """Those of the wanted platforms, `NAME` or `NAME-precision`, that are here."""
    there = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    return [name for name in wanted if name.split("-")[0] in there]


# Every test of the fixture `platform` runs on PLATFORMS; those that concern the moving of data also on the other
# precisions of OpenCL (PoCL runs it on the CPU).
PLATFORMS = platform_names("Reference", "CPU", "OpenCL-mixed")
ALL_PLATFORMS = platform_names("Reference", "CPU", "OpenCL-single", "OpenCL-mixed", "OpenCL-double")


def make_platform(name: str) -> tuple[openmm.Platform, dict[str, str]]:
    """The platform of an id such as "CPU" or "OpenCL-mixed", and the properties for its Context."""
    platform, _, precision = name.partition("-")
    properties = {"Precision": precision} if precision else {}
    return openmm.Platform.getPlatformByName(platform), properties


def make_context(system: openmm.System, integrator: openmm.Integrator, name: str) -> openmm.Context:
    """A Context on the platform of that id."""
    return openmm.Context(system, integrator, *make_platform(name))


def tolerance(name: str) -> float:
    """How far positions may be from those of another platform after a few jumps of the same noise, nm."""
    precision = name.partition("-")[2] or "double"
    return {"single": 1e-4, "mixed": 1e-5, "double": 1e-6}[precision]


def can_minimize(name: str) -> bool:
    """Not with PoCL: there LocalEnergyMinimizer of OpenMM 8.6.1 crashes, with any integrator and any precision."""
    return not name.startswith("OpenCL")


def free_atoms(n: int, mass: float = 2.0, symbol: str = "H") -> tuple[app.Topology, openmm.System]:
    """n atoms without bonds or forces, each its own residue."""
    topology, system = app.Topology(), openmm.System()
    chain = topology.addChain()
    for _ in range(n):
        residue = topology.addResidue("ATM", chain)
        topology.addAtom("A", app.Element.getBySymbol(symbol), residue)
        system.addParticle(mass)
    return topology, system


def add_wells(system: openmm.System, stiffness: float, group: int = 0) -> None:
    """Harmonic wells at the origin for every particle, kJ/mol/nm^2."""
    force = openmm.CustomExternalForce("0.5*k*(x^2+y^2+z^2)")
    force.addGlobalParameter("k", stiffness)
    for particle in range(system.getNumParticles()):
        force.addParticle(particle, [])
    force.setForceGroup(group)
    system.addForce(force)


def add_springs(system: openmm.System, stiffness: float) -> None:
    """The energy stiffness/2 sum |x_i - centroid|^2, as springs between all pairs."""
    n = system.getNumParticles()
    force = openmm.HarmonicBondForce()
    for first in range(n):
        for second in range(first):
            force.addBond(first, second, 0.0, stiffness / n)
    system.addForce(force)


def simulate(
    integrator: openmm.Integrator,
    topology: app.Topology,
    system: openmm.System,
    positions: Any,
    platform: str = "Reference",
) -> app.Simulation:
    """A Simulation at the given positions, nm."""
    simulation = app.Simulation(topology, system, integrator, *make_platform(platform))
    simulation.context.setPositions(positions)
    return simulation


def jumper(
    model: Path,
    topology: app.Topology,
    system: openmm.System,
    positions: Any,
    platform: str = "Reference",
    seed: int = 7,
    **settings: Any,
) -> tuple[app.Simulation, UniSimIntegrator]:
    """A Simulation with a UniSimIntegrator of 300 K."""
    integrator = UniSimIntegrator(model, topology, 300 * unit.kelvin, randomNumberSeed=seed, **settings)
    return simulate(integrator, topology, system, positions, platform), integrator


def positions_of(simulation: app.Simulation) -> NDArray[np.float64]:
    """Positions, nm."""
    state = simulation.context.getState(positions=True)
    return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))


def velocities_of(simulation: app.Simulation) -> NDArray[np.float64]:
    """Velocities, nm/ps."""
    state = simulation.context.getState(velocities=True)
    return np.array(state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond))


def trajectory(simulation: app.Simulation, n_jumps: int) -> NDArray[np.float64]:
    """Positions after each of n jumps, shape (n_jumps, n_atoms, 3), nm."""
    frames = []
    for _ in range(n_jumps):
        simulation.step(1)
        frames.append(positions_of(simulation))
    return np.array(frames)


def random_positions(n: int, spread: float = 0.3, centre: Sequence[float] = (0.0, 0.0, 0.0), seed: int = 0):
    """n random positions, nm."""
    return np.random.default_rng(seed).normal(size=(n, 3)) * spread + np.asarray(centre)
