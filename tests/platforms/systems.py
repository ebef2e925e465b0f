"""Real molecules for the tests of every platform: thermalised once, on Reference, and shared."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from openmm_unisim.solvent.preparation import solvate
from openmm_unisim.system import create_system, load_molecule
from tests.plugin.systems import make_platform, positions_of

MODEL = "ala2"  # alanine dipeptide in OBC2 at 300 K; its lag is 20 ps
CONSTRAINTS = {"flexible": None, "HBonds": app.HBonds, "AllBonds": app.AllBonds, "HAngles": app.HAngles}


@dataclass(frozen=True)
class Setup:
    """A topology, its System (to be copied before it is changed), positions (nm) and the atoms that jump."""

    topology: app.Topology
    system: openmm.System
    positions: NDArray[np.float64]
    solute: list[int]

    def copy_system(self) -> openmm.System:
        """A System that a test may change."""
        return openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(self.system))


@cache
def dipeptide(environment: str = "obc2", constraints: str = "flexible") -> Setup:
    """Alanine dipeptide, hydrogens of 4 Da."""
    molecule = load_molecule("ACE-ALA-NME")
    system = create_system(molecule, environment, constraints=CONSTRAINTS[constraints])
    positions = thermalised(system, molecule.positions)
    return Setup(molecule.topology, system, positions, list(range(len(positions))))


@cache
def solution() -> Setup:
    """Flexible alanine dipeptide in a small box of rigid TIP3P, PME."""
    found = solvate(load_molecule("ACE-ALA-NME"), 1.75, cutoff=0.6)
    positions = thermalised(found.system, found.positions, steps=60)
    return Setup(found.topology, found.system, positions, found.particles)


@cache
def two_dipeptides() -> Setup:
    """Two chains of alanine dipeptide in vacuum, 2 nm apart."""
    molecule = load_molecule("ACE-ALA-NME")
    modeller = app.Modeller(molecule.topology, molecule.positions * unit.nanometer)
    modeller.add(molecule.topology, (molecule.positions + np.array([2.0, 0.0, 0.0])) * unit.nanometer)
    field = app.ForceField("amber14/protein.ff14SB.xml")
    system = field.createSystem(modeller.topology, hydrogenMass=4 * unit.dalton)
    start = np.array(modeller.positions.value_in_unit(unit.nanometer))
    return Setup(modeller.topology, system, thermalised(system, start), list(range(len(start))))


def thermalised(system: openmm.System, positions: Any, steps: int = 200) -> NDArray[np.float64]:
    """Positions after minimisation and a little MD at 300 K, nm."""
    integrator = openmm.LangevinMiddleIntegrator(300, 5, 0.001)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    context.setPositions(positions)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=60)
    context.setVelocitiesToTemperature(300, 1)
    integrator.step(steps)
    return np.array(context.getState(positions=True).getPositions(asNumpy=True)._value)


def jumps(
    setup: Setup,
    platform: str,
    model: Any = MODEL,
    system: openmm.System | None = None,
    seed: int = 7,
    **settings: Any,
) -> tuple[app.Simulation, UniSimIntegrator]:
    """A Simulation whose solute jumps at 300 K."""
    if len(setup.solute) < setup.topology.getNumAtoms():
        settings.setdefault("particles", setup.solute)
    integrator = UniSimIntegrator(model, setup.topology, 300 * unit.kelvin, randomNumberSeed=seed, **settings)
    chosen = setup.system if system is None else system
    simulation = app.Simulation(setup.topology, chosen, integrator, *make_platform(platform))
    simulation.context.setPositions(setup.positions)
    return simulation, integrator


def energy_of(simulation: app.Simulation) -> float:
    """Potential energy, kJ/mol."""
    return float(simulation.context.getState(energy=True).getPotentialEnergy()._value)


def bond_lengths(topology: app.Topology, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the Topology's bonds, nm."""
    pairs = np.array([(bond.atom1.index, bond.atom2.index) for bond in topology.bonds()])
    return np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)


def check_molecule(setup: Setup, simulation: app.Simulation) -> None:
    """The solute has moved, and no bond is more than 0.05 nm off."""
    found = positions_of(simulation)
    assert np.abs(found - setup.positions)[setup.solute].max() > 0.01
    pairs = np.array([(b.atom1.index, b.atom2.index) for b in setup.topology.bonds()])
    own = np.isin(pairs, setup.solute).all(axis=1)
    change = bond_lengths(setup.topology, found) - bond_lengths(setup.topology, setup.positions)
    assert np.abs(change[own]).max() < 0.05


def constraint_errors(system: openmm.System, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative, of every constraint."""
    rows = [system.getConstraintParameters(k) for k in range(system.getNumConstraints())]
    lengths = np.array([np.linalg.norm(positions[a] - positions[b]) for a, b, _ in rows])
    return np.abs(lengths / np.array([d._value for _, _, d in rows]) - 1.0)
