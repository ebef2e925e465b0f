"""The published form, small and untrained, on a molecule and on a protein: C++ against the twin."""

from pathlib import Path

import numpy as np
import pytest
from openmm import OpenMMException

from openmm_unisim import UniSimIntegrator
from openmm_unisim.benchmark.speed.scaling_systems import molecule_of_size
from openmm_unisim.export.published import export_published_networks, random_vector_field
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import create_system, load_molecule
from tests.plugin.systems import jumper, positions_of

CONFIG = PublishedConfig(trunk=TrunkConfig(hidden=32, heads=4, layers=1, ffn=24, rbf=16, expand=4))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "tiny.unisim.pt"
    export_published_networks(random_vector_field(CONFIG, scale=0.02), CONFIG, path, substeps=4)
    return path


@pytest.mark.parametrize("atoms", [22, 1000])
def test_jumps_are_those_of_the_twin(model, platform, atoms) -> None:
    molecule = molecule_of_size(atoms)
    system = create_system(molecule, "vacuum")
    simulation, integrator = jumper(model, molecule.topology, system, molecule.positions, platform, seed=5)
    integrator.setKeepsStereocenters(False)  # the network is untrained
    jump = ReferenceJump(model, atomic_numbers=molecule.atomic_numbers, temperature=300.0)
    expected = [frame.positions[0] for frame in JumpChain(jump, molecule.positions[None], 5).run(2)]
    for frame in expected:
        simulation.step(1)
        assert np.abs(positions_of(simulation) - frame).max() < 1e-4
    assert integrator.getNumAccepted() == 2
    assert np.abs(expected[-1] - molecule.positions).max() > 0.01


def test_metropolis_is_refused_by_name(model) -> None:
    molecule = load_molecule("ACE-ALA-NME")
    system = create_system(molecule, "vacuum")
    mode = UniSimIntegrator.MetropolisHastings
    simulation, _ = jumper(
        model, molecule.topology, system, molecule.positions, "Reference", seed=5, acceptanceMode=mode
    )
    with pytest.raises(OpenMMException, match="has no density"):
        simulation.step(1)
