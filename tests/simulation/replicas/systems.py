"""Free atoms in harmonic wells, in copies, moved by the toys."""

from pathlib import Path
from typing import Any

import numpy as np
import openmm

from openmm_unisim import ReplicaSimulation
from openmm_unisim.simulation.quality import QualityLimits
from tests.plugin.systems import add_wells, free_atoms, random_positions

PLATFORM = openmm.Platform.getPlatformByName("Reference")
ATOMS = 3


def starts(copies: int, seed: int = 0) -> np.ndarray:
    """Other positions for each copy, (copies, ATOMS, 3), nm."""
    return np.array([random_positions(ATOMS, 0.02, seed=seed + copy) for copy in range(copies)])


def copies_of(
    model: Path, copies: int, positions: np.ndarray | None = None, **settings: Any
) -> ReplicaSimulation:
    """A ReplicaSimulation of ATOMS hydrogens in wells of the Boltzmann width 0.02 nm, seed 7."""
    topology, system = free_atoms(ATOMS)
    add_wells(system, 6235.8)
    limits = QualityLimits(clash_fraction=1e-3)  # they may meet
    settings = {"randomNumberSeed": 7, "qualityLimits": limits, **settings}
    simulation = ReplicaSimulation(topology, system, model, copies, PLATFORM, **settings)
    simulation.setPositions(starts(copies) if positions is None else positions)
    return simulation


def run(simulation: ReplicaSimulation, jumps: int) -> np.ndarray:
    """Positions after each of so many jumps, (jumps, copies, ATOMS, 3), nm."""
    frames = []
    for _ in range(jumps):
        simulation.step(1)
        frames.append(simulation.positions)
    return np.array(frames)
