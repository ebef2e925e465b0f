"""The form of network that is shipped, small and untrained, and the shipped one itself: C++ against the twin."""

from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.pretrained.registry import resolve_model
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.exactness import PathMetropolis
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import Molecule, create_system, load_molecule
from tests.conditioned_models import write_tiny_model
from tests.plugin.systems import jumper, positions_of

N_JUMPS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("conditioned"))


@pytest.fixture(scope="module")
def molecule() -> Molecule:
    return load_molecule("ACE-ALA-NME")


def test_jumps_are_those_of_the_twin(model, molecule, platform) -> None:
    system = create_system(molecule, "obc2")
    simulation, integrator = jumper(model, molecule.topology, system, molecule.positions, platform, seed=5)
    integrator.setKeepsStereocenters(False)  # the network is untrained
    jump = ReferenceJump(
        model, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds, temperature=300.0
    )
    for frame in JumpChain(jump, molecule.positions[None], 5).run(N_JUMPS):
        simulation.step(1)
        assert np.abs(positions_of(simulation) - frame.positions[0]).max() < 1e-5
    assert integrator.getNumAccepted() == N_JUMPS
    assert simulation.context.getTime()._value == pytest.approx(20.0 * N_JUMPS)


def test_the_shipped_model_jumps_as_its_twin(molecule, platform) -> None:
    path = resolve_model("ala2")
    simulation, _ = jumper(
        path, molecule.topology, create_system(molecule, "obc2"), molecule.positions, platform, seed=7
    )
    jump = ReferenceJump(
        path, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds, temperature=300.0
    )
    (frame,) = JumpChain(jump, molecule.positions[None], 7).run(1)
    simulation.step(1)
    assert np.abs(positions_of(simulation) - frame.positions[0]).max() < 1e-5


def test_path_weights_are_those_of_the_twin(model, molecule) -> None:
    """The untrained network is never accepted, but log a must agree to single precision."""
    system = create_system(molecule, "obc2")
    simulation, integrator = jumper(
        model, molecule.topology, system, molecule.positions, seed=5, acceptanceMode=1
    )

    def energy(positions: np.ndarray) -> np.ndarray:
        values = []
        for copy in positions:
            simulation.context.setPositions(copy)
            values.append(simulation.context.getState(energy=True).getPotentialEnergy()._value)
        return np.array(values)

    jump = ReferenceJump(
        model, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds, temperature=300.0
    )
    chain = JumpChain(jump, molecule.positions[None], 5, acceptance=PathMetropolis(jump, energy))
    for frame in chain.run(2):
        simulation.context.setPositions(molecule.positions)
        simulation.step(1)
        assert not frame.accepted[0]
        assert integrator.getLastLogAcceptance() == pytest.approx(frame.log_acceptance[0], rel=1e-5)
