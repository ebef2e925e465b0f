"""Thermalisation and the timing of MD."""

import math

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError, NonFiniteError
from openmm_unisim.simulation.relaxation import MDProtocol, thermalise, time_md_run_well
from openmm_unisim.system import Molecule, load_molecule


@pytest.fixture(scope="module")
def molecule() -> Molecule:
    return load_molecule("ACE-ALA-NME")


def test_same_seeds_same_state_on_reference(molecule: Molecule) -> None:
    protocol = MDProtocol("obc2", 300.0)
    system = protocol.system(molecule)
    states = [
        thermalise(molecule, system, protocol, 0.2, seeds, "Reference") for seeds in ((1, 2), (1, 2), (1, 3))
    ]
    assert np.array_equal(states[0].positions, states[1].positions)
    assert np.array_equal(states[0].velocities, states[1].velocities)
    assert not np.array_equal(states[0].positions, states[2].positions)
    assert states[0].record["ns_per_day"] > 0 and states[0].record["duration_ps"] == 0.2


def test_velocities_are_at_temperature(molecule: Molecule) -> None:
    protocol = MDProtocol("vacuum", 300.0, friction_per_ps=20.0)
    system = protocol.system(molecule)
    masses = np.array([system.getParticleMass(i)._value for i in range(system.getNumParticles())])
    kinetic = []
    for seed in range(1, 21):
        state = thermalise(molecule, system, protocol, 0.5, (seed, seed), "Reference")
        kinetic.append(0.5 * (masses[:, None] * state.velocities**2).sum())
    expected = 0.5 * (3 * len(masses) - 3) * 0.0083144626 * 300.0  # no motion of the centre of mass
    assert np.mean(kinetic) == pytest.approx(expected, rel=0.15)  # standard error 4 %


def test_no_md_when_none_is_asked_for(molecule: Molecule) -> None:
    protocol = MDProtocol("vacuum", 300.0)
    state = thermalise(molecule, protocol.system(molecule), protocol, 0.0, (1, 1), "Reference")
    assert math.isnan(state.record["ns_per_day"])
    with pytest.raises(ConfigError, match="at least 0"):
        thermalise(molecule, protocol.system(molecule), protocol, -1.0, (1, 1), "Reference")


def test_overlapping_atoms_are_a_named_error(molecule: Molecule) -> None:
    broken = Molecule("broken", molecule.topology, np.zeros_like(molecule.positions))
    protocol = MDProtocol("vacuum", 300.0)
    with pytest.raises(NonFiniteError, match="repair the input"):
        thermalise(broken, protocol.system(broken), protocol, 0.1, (1, 1), "Reference")


def test_md_run_well_names_its_protocol_and_takes_the_fastest(molecule: Molecule) -> None:
    record = time_md_run_well(molecule, "obc2", 300.0, molecule.positions, "Reference", 0.1)
    assert set(record["ns_per_day_by_platform"]) == {"Reference", "CPU"}
    assert record["ns_per_day"] == max(record["ns_per_day_by_platform"].values()) > 0
    assert (
        record["constraints"] == "h-bonds"
        and record["time_step_fs"] == 4.0
        and record["hydrogen_mass_amu"] == 4.0
    )
    assert record["implicit_solvent"] == "OBC2, native GBSAOBCForce"
    assert math.isnan(
        time_md_run_well(molecule, "obc2", 300.0, molecule.positions, "Reference", 0.0)["ns_per_day"]
    )
