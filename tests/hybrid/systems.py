"""Small Systems and Simulations for the tests of hybrid simulations."""

from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app

from openmm_unisim import HybridSimulation, UniSimIntegrator
from openmm_unisim.system import Molecule, create_system, load_molecule

PLATFORM_PROPERTIES = {"CPU": {"Threads": "1"}, "Reference": {}}


def alanine(constraints: Any = None) -> tuple[Molecule, openmm.System]:
    """Alanine dipeptide in vacuum, hydrogen mass 4 Da."""
    molecule = load_molecule("ACE-ALA-NME")
    return molecule, create_system(molecule, "vacuum", constraints=constraints)


def relaxed(molecule: Molecule, system: openmm.System) -> np.ndarray:
    """Positions after minimisation and a little MD, nm."""
    context = openmm.Context(
        system, openmm.LangevinMiddleIntegrator(300, 1, 0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=100)
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(200)
    return np.array(context.getState(positions=True).getPositions(asNumpy=True)._value)


def hybrid_of(
    model: Path,
    topology: app.Topology,
    system: openmm.System,
    positions: Any,
    platform: str = "Reference",
    **settings: Any,
) -> HybridSimulation:
    """A hybrid simulation at the given positions, nm, with velocities of 300 K."""
    settings = {"randomNumberSeed": 5, **settings}
    simulation = HybridSimulation(
        topology,
        system,
        UniSimIntegrator(model, topology, 300),
        platform=openmm.Platform.getPlatformByName(platform),
        platformProperties=PLATFORM_PROPERTIES[platform],
        **settings,
    )
    simulation.context.setPositions(positions)
    simulation.drawVelocities()
    return simulation
