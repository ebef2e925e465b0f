"""Forces made anew from stored positions."""

import numpy as np
import openmm
import pytest

from openmm_unisim.data.forces import recomputed_forces
from openmm_unisim.data.trajectory_file import Trajectory
from openmm_unisim.errors import DataError
from openmm_unisim.system import create_system, load_molecule


@pytest.fixture
def trajectory() -> Trajectory:
    molecule = load_molecule("ACE-ALA-NME")
    noise = np.random.default_rng(0).normal(0.0, 0.002, (3, *molecule.positions.shape))
    attributes = {
        "molecule": "ACE-ALA-NME", "environment": "obc2", "atomic_numbers": list(molecule.atomic_numbers),
    }  # fmt: skip
    return Trajectory((molecule.positions + noise).astype(np.float32), np.zeros(3), attributes)


def energy(positions: np.ndarray) -> float:
    system = create_system(load_molecule("ACE-ALA-NME"), "obc2")
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions.astype(float))
    return context.getState(energy=True).getPotentialEnergy()._value


def test_forces_are_the_slope_of_the_energy(trajectory: Trajectory) -> None:
    forces = recomputed_forces(trajectory, stride=2)
    assert forces.shape == (2, 22, 3) and forces.dtype == np.float32
    frame, step = trajectory.positions[2].astype(np.float64), 1e-5
    for atom, axis in ((0, 0), (8, 1), (21, 2)):
        shift = np.zeros_like(frame)
        shift[atom, axis] = step
        slope = (energy(frame + shift) - energy(frame - shift)) / (2 * step)
        assert forces[1, atom, axis] == pytest.approx(-slope, rel=1e-3, abs=0.5)


def test_another_molecule_is_refused(trajectory: Trajectory) -> None:
    trajectory.attributes["atomic_numbers"] = [6, 1, 1, 1]
    with pytest.raises(DataError, match="other atoms"):
        recomputed_forces(trajectory)
