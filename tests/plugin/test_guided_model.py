"""The conditioned form with a learned guidance kernel in the integrator: C++ against the twin, and switched off."""

from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import create_system, load_molecule
from tests.conditioned_models import write_tiny_guided_model
from tests.plugin.systems import jumper, positions_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guided")
    write_tiny_guided_model(folder)
    return folder


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_guided_jumps_are_those_of_the_twin(folder, platform, scale) -> None:
    model, molecule = folder / "guided.unisim.pt", load_molecule("ACE-ALA-NME")
    system = create_system(molecule, "vacuum")
    simulation, integrator = jumper(model, molecule.topology, system, molecule.positions, platform, seed=5)
    assert integrator.getGuidanceScale() == 1.0
    integrator.setGuidanceScale(scale)
    jump = ReferenceJump(
        model,
        atomic_numbers=molecule.atomic_numbers,
        bonds=molecule.bonds,
        temperature=300.0,
        guidance_scale=scale,
    )
    for frame in JumpChain(jump, molecule.positions[None], 5).run(2):
        simulation.step(1)
        assert np.abs(positions_of(simulation) - frame.positions[0]).max() < 1e-5


def test_switched_off_it_is_the_unguided_model(folder, platform) -> None:
    molecule = load_molecule("ACE-ALA-NME")
    ends = {}
    for name, scale in (("guided", 0.0), ("tiny", None), ("guided", 1.0)):
        system = create_system(molecule, "obc2")
        simulation, integrator = jumper(
            folder / f"{name}.unisim.pt", molecule.topology, system, molecule.positions, platform, seed=5
        )
        if scale is not None:
            integrator.setGuidanceScale(scale)
        simulation.step(2)
        ends[name, scale] = positions_of(simulation)
    assert np.array_equal(ends["guided", 0.0], ends["tiny", None])
    assert np.abs(ends["guided", 1.0] - ends["tiny", None]).max() > 1e-3
