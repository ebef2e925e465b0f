"""What an environment adds to the energy of frames."""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_unisim.data.environment_energy import EnvironmentEnergy, molecule_of_frames
from openmm_unisim.errors import ConfigError, DataError, NonFiniteError
from openmm_unisim.system import create_system, load_molecule


def total(molecule, environment: str, frame) -> float:
    context = openmm.Context(create_system(molecule, environment), openmm.VerletIntegrator(0.001))
    context.setPositions(frame)
    energy = context.getState(energy=True).getPotentialEnergy()
    return energy.value_in_unit(unit.kilojoule_per_mole)


def test_it_is_the_difference_of_total_energies_either_way():
    molecule = load_molecule("ACE-ALA-NME")
    noise = 0.005 * np.random.default_rng(0).normal(size=(3, *molecule.positions.shape))
    frames = molecule.positions + noise
    found = EnvironmentEnergy(molecule, "vacuum", "obc2")(frames)
    expected = [total(molecule, "obc2", f) - total(molecule, "vacuum", f) for f in frames]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.max() < -20.0
    np.testing.assert_allclose(EnvironmentEnergy(molecule, "obc2", "vacuum")(frames), -found)


def test_errors():
    molecule = load_molecule("ACE-ALA-NME")
    for source, target in (("obc2", "obc2"), ("vacuum", "water")):
        with pytest.raises(ConfigError, match="must be two of vacuum, obc2"):
            EnvironmentEnergy(molecule, source, target)
    broken = np.full((1, 22, 3), np.nan)
    with pytest.raises((NonFiniteError, openmm.OpenMMException)):
        EnvironmentEnergy(molecule, "vacuum", "obc2")(broken)


def test_the_molecule_that_a_file_names():
    numbers = load_molecule("ACE-ALA-NME").atomic_numbers.tolist()
    found = molecule_of_frames({"molecule": "ACE-ALA-NME", "atomic_numbers": numbers}, Path("none"))
    assert len(found.positions) == 22
    imported = molecule_of_frames({"name": "ACE-A-NME", "atomic_numbers": numbers}, Path("none"))
    assert imported.name == "ACE-A-NME"  # `train finetune` writes no `molecule`
    with pytest.raises(DataError, match="which molecule"):
        molecule_of_frames({"atomic_numbers": numbers}, Path("none"))
    with pytest.raises(DataError, match="other atoms now"):
        molecule_of_frames({"molecule": "ACE-ALA-NME", "atomic_numbers": numbers[1:]}, Path("none"))
