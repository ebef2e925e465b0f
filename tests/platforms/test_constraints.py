"""Constraints, virtual sites and masses"""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from tests.platforms.systems import (
    Setup,
    check_molecule,
    constraint_errors,
    dipeptide,
    energy_of,
    jumps,
    solution,
)
from tests.plugin.boxes import water_box
from tests.plugin.systems import (
    free_atoms,
    jumper,
    make_context,
    positions_of,
    random_positions,
    velocities_of,
)

TIGHT = 2e-5  # of OpenMM's default tolerance of constraints, 1e-5


@pytest.mark.feature("flexible bonds")
def test_flexible_bonds(platform: str) -> None:
    setup = dipeptide()
    simulation, integrator = jumps(setup, platform)
    simulation.step(2)
    check_molecule(setup, simulation)
    assert integrator.getNumAccepted() == 2 and np.isfinite(energy_of(simulation))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(k, marks=pytest.mark.feature(f"`constraints={k}`"))
        for k in ("HBonds", "AllBonds", "HAngles")
    ],
)
def test_constraints_of_the_molecule(platform: str, kind: str) -> None:
    """A jump of a model of flexible bonds is projected onto them, and velocities have no part along them."""
    setup = dipeptide("obc2", kind)
    simulation, integrator = jumps(setup, platform)
    simulation.step(2)
    check_molecule(setup, simulation)
    positions, velocities = positions_of(simulation), velocities_of(simulation)
    assert integrator.getNumAccepted() == 2
    assert constraint_errors(setup.system, positions).max() < TIGHT
    for k in range(setup.system.getNumConstraints()):
        a, b, length = setup.system.getConstraintParameters(k)
        along = (positions[a] - positions[b]) @ (velocities[a] - velocities[b]) / length._value
        assert abs(along) < 1e-3  # nm/ps; thermal velocities are about 1
    assert simulation.integrator.computeSystemTemperature().value_in_unit(unit.kelvin) == pytest.approx(
        300, abs=200
    )


@pytest.mark.feature("constraints with Metropolis acceptance", outcome="refused")
def test_constraints_with_metropolis(platform: str) -> None:
    with pytest.raises(openmm.OpenMMException, match="can't be exact for jumping particles with constraints"):
        jumps(dipeptide("obc2", "HBonds"), platform, acceptanceMode=UniSimIntegrator.MetropolisHastings)


@pytest.mark.feature("constraint between an atom that jumps and one that stays", outcome="refused")
def test_constraint_across_the_boundary(toys, platform: str) -> None:
    topology, system = free_atoms(4)
    system.addConstraint(1, 2, 0.1)
    with pytest.raises(openmm.OpenMMException, match="joins particles 1 and 2, of which only one jumps"):
        jumper(toys["ou"], topology, system, random_positions(4), platform, particles=[0, 1])


@pytest.mark.feature("rigid water around the solute")
def test_rigid_water(platform: str) -> None:
    """The solute jumps; water stays to the last bit, and its constraints with it."""
    setup = solution()
    simulation, integrator = jumps(setup, platform)
    before = positions_of(simulation)
    simulation.step(1)
    check_molecule(setup, simulation)
    found = positions_of(simulation)
    stay = np.setdiff1d(np.arange(len(found)), setup.solute)
    assert np.array_equal(found[stay], before[stay]) and integrator.getNumAccepted() == 1
    assert constraint_errors(setup.system, found).max() < TIGHT
    assert np.isfinite(energy_of(simulation))


@pytest.mark.feature("four-site water (virtual sites) around the solute")
def test_four_site_water(toys, platform: str) -> None:
    box = water_box()
    simulation, _ = jumps(Setup(box.topology, box.system, box.positions, box.solute), platform, toys["ou"])
    simulation.step(2)
    found = positions_of(simulation)
    simulation.context.computeVirtualSites()
    assert np.abs(positions_of(simulation) - found).max() < 1e-6
    assert np.abs(found - box.positions)[box.solute].max() > 0.001


@pytest.mark.feature("virtual site on the jumping molecule")
def test_virtual_site_on_the_molecule(platform: str) -> None:
    setup = dipeptide("vacuum")
    system = setup.copy_system()
    topology = app.Modeller(setup.topology, setup.positions * unit.nanometer).topology
    topology.addAtom("V", None, list(topology.residues())[-1])
    site = system.addParticle(0.0)
    system.setVirtualSite(site, openmm.ThreeParticleAverageSite(4, 6, 8, 0.2, 0.3, 0.5))
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            force.addParticle(0.0, 0.1, 0.0)
    extended = Setup(topology, system, np.vstack([setup.positions, [[0, 0, 0]]]), setup.solute)
    simulation, integrator = jumps(extended, platform)
    simulation.context.computeVirtualSites()
    simulation.step(2)
    found = positions_of(simulation)
    assert np.abs(found[site] - (0.2 * found[4] + 0.3 * found[6] + 0.5 * found[8])).max() < 1e-5
    assert integrator.getParticles() == tuple(setup.solute) and np.array_equal(
        velocities_of(simulation)[site], [0] * 3
    )


@pytest.mark.feature("virtual site among `particles`", outcome="refused")
def test_virtual_site_that_should_jump(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    system.setParticleMass(2, 0.0)
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    with pytest.raises(openmm.OpenMMException, match="Particle 2 is a virtual site"):
        jumper(toys["ou"], topology, system, random_positions(3), platform)


@pytest.mark.feature("massless particles that stay")
def test_massless_particles(toys, platform: str) -> None:
    topology, system = free_atoms(4)
    system.setParticleMass(3, 0.0)
    start = random_positions(4)
    simulation, _ = jumper(toys["ou"], topology, system, start, platform, particles=[0, 1, 2])
    before = positions_of(simulation)[3]
    simulation.step(3)
    assert np.array_equal(positions_of(simulation)[3], before)
    assert np.array_equal(velocities_of(simulation)[3], [0.0] * 3)


@pytest.mark.feature("massless particle that should jump", outcome="refused")
def test_massless_particle_that_should_jump(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    system.setParticleMass(1, 0.0)
    with pytest.raises(openmm.OpenMMException, match="Particle 1 has no mass"):
        jumper(toys["ou"], topology, system, random_positions(3), platform)


@pytest.mark.feature("Drude particles", outcome="refused")
def test_drude_particles(toys, platform: str) -> None:
    """They have a mass and no element, so they would stay when their atoms jump."""
    topology, system = free_atoms(2)
    drude = openmm.DrudeForce()
    drude.addParticle(system.addParticle(0.4), 0, -1, -1, -1, -1.0, 0.001, 1.0, 1.0)
    topology.addAtom("D", None, list(topology.residues())[-1])
    system.addForce(drude)
    integrator = UniSimIntegrator(toys["ou"], topology, 300)
    with pytest.raises(openmm.OpenMMException, match="Drude particles would stay behind"):
        make_context(system, integrator, platform)
