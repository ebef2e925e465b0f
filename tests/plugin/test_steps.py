"""What a step does beside the jump: time, velocities, constraints, virtual sites, rejections."""

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from openmm_unisim.simulation.noise import standard_normals
from tests.plugin.systems import (
    ALL_PLATFORMS,
    BOLTZMANN,
    add_wells,
    can_minimize,
    free_atoms,
    jumper,
    make_context,
    make_platform,
    positions_of,
    random_positions,
    trajectory,
    velocities_of,
)
from tests.toy_models import nan_threshold


def test_time_and_step_count_advance(toys, platform) -> None:
    topology, system = free_atoms(3)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3), platform)
    simulation.step(4)
    assert simulation.context.getTime() == 4.0 * unit.picosecond
    assert simulation.currentStep == 4
    assert (integrator.getNumProposed(), integrator.getNumAccepted(), integrator.getNumNaN()) == (4, 4, 0)
    integrator.resetCounters()
    assert integrator.getNumProposed() == 0
    assert integrator.getJumpIndex() == 4


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_velocities_have_the_temperature(toys, platform: str) -> None:
    topology, system = free_atoms(2000)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(2000), platform)
    integrator.setTemperature(340.0)
    simulation.step(1)
    state = simulation.context.getState(energy=True)
    kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
    n = 3 * 2000
    assert kinetic == pytest.approx(n * BOLTZMANN * 340.0 / 2, rel=5 * np.sqrt(2 / n))
    assert kinetic == pytest.approx(float((2.0 * velocities_of(simulation) ** 2).sum() / 2), rel=1e-5)


def test_velocities_can_be_kept(toys, platform) -> None:
    topology, system = free_atoms(3)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3), platform)
    integrator.setRandomizesVelocities(False)
    simulation.context.setVelocities(np.full((3, 3), 0.25))
    simulation.step(2)
    assert np.array_equal(velocities_of(simulation), np.full((3, 3), 0.25))


def test_no_drift_where_the_system_removes_it(toys) -> None:
    topology, system = free_atoms(5)
    system.addForce(openmm.CMMotionRemover())
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(5))
    simulation.step(1)
    velocities = velocities_of(simulation)
    assert np.abs(velocities.sum(axis=0)).max() < 1e-12
    assert np.abs(velocities).max() > 0.1


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_constraints_are_projected(toys, platform: str) -> None:
    topology, system = free_atoms(8)
    for first in range(0, 8, 2):
        system.addConstraint(first, first + 1, 0.1)
    start = random_positions(8)
    start[1::2] = start[::2] + np.array([0.1, 0.0, 0.0])
    simulation, integrator = jumper(toys["ou"], topology, system, start, platform)
    integrator.setConstraintTolerance(1e-6)
    for _ in range(5):
        simulation.step(1)
        positions, velocities = positions_of(simulation), velocities_of(simulation)
        axis = positions[1::2] - positions[::2]
        assert np.linalg.norm(axis, axis=1) == pytest.approx(0.1, rel=2e-6)
        assert np.abs(((velocities[1::2] - velocities[::2]) * axis).sum(axis=1)).max() < 2e-5
    assert np.abs(positions_of(simulation)[::2] - start[::2]).max() > 0.01


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_virtual_sites_follow(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    topology.addAtom("V", None, list(topology.residues())[-1])
    site = system.addParticle(0.0)
    system.setVirtualSite(site, openmm.TwoParticleAverageSite(0, 1, 0.25, 0.75))
    start = random_positions(4)
    integrator = UniSimIntegrator(toys["ou"], topology, 300)
    assert integrator.getParticles() == (0, 1, 2)
    context = make_context(system, integrator, platform)
    context.setPositions(start)
    integrator.step(2)
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    assert np.allclose(positions[3], 0.25 * positions[0] + 0.75 * positions[1], atol=1e-6)
    assert np.abs(positions[:3] - start[:3]).max() > 0.01


def test_nan_proposals_are_counted_rejections(toys, platform) -> None:
    topology, system = free_atoms(4)
    simulation, integrator = jumper(toys["nan"], topology, system, random_positions(4), platform, seed=5)
    start = positions_of(simulation)
    frames = trajectory(simulation, 40)
    expected = [standard_normals(5, step, 0, 0)[0] > nan_threshold(3) for step in range(40)]
    assert 0 < sum(expected) < 40
    before = np.concatenate([start[None], frames[:-1]])
    assert [bool(np.array_equal(a, b)) for a, b in zip(before, frames)] == [bool(bad) for bad in expected]
    assert integrator.getNumNaN() == sum(expected)
    assert integrator.getNumAccepted() == 40 - sum(expected)
    assert simulation.context.getTime() == 40.0 * unit.picosecond
    assert np.isfinite(velocities_of(simulation)).all()


def test_twenty_nan_proposals_in_a_row_are_an_error(toys) -> None:
    topology, system = free_atoms(4)
    start = random_positions(4)
    simulation, integrator = jumper(toys["always_nan"], topology, system, start)
    simulation.step(19)
    assert integrator.getLastLogAcceptance() == -np.inf
    with pytest.raises(openmm.OpenMMException, match="20 NaN or infinite jumps in a row"):
        simulation.step(1)
    assert integrator.getNumNaN() == 20
    assert np.array_equal(positions_of(simulation), start)
    simulation.step(19)
    with pytest.raises(openmm.OpenMMException, match="20 NaN"):
        simulation.step(1)


def test_one_update_of_the_context_state_per_step(toys) -> None:
    topology, system = free_atoms(3)
    system.addForce(openmm.AndersenThermostat(0.0, 1e9))  # at 0 K it stops every particle
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3))
    integrator.setRandomizesVelocities(False)
    simulation.context.setVelocities(np.ones((3, 3)))
    simulation.step(1)
    assert np.array_equal(velocities_of(simulation), np.zeros((3, 3)))


def test_guidance_uses_its_force_groups(toys, platform) -> None:
    start = random_positions(4)

    def frames(groups: int, other_stiffness: float) -> np.ndarray:
        topology, system = free_atoms(4)
        add_wells(system, 4000.0, group=2)
        add_wells(system, other_stiffness, group=5)
        simulation, integrator = jumper(toys["guided"], topology, system, start, platform)
        integrator.setGuidanceForceGroups(groups)
        return trajectory(simulation, 2)

    # wells of two groups share the global parameter k, so the stiffness of the last one counts for both
    both = frames(-1, 4000.0)
    assert np.array_equal(frames(1 << 2, 4000.0), frames(1 << 5, 4000.0))
    assert not np.allclose(frames(1 << 2, 4000.0), both, atol=1e-6)
    assert np.array_equal(frames(0b100100, 4000.0), both)


def test_minimizing_before_the_first_jump_does_no_harm(toys, platform) -> None:
    if not can_minimize(platform):
        pytest.skip("OpenMM's minimizer crashes with PoCL")
    topology, system = free_atoms(4)
    add_wells(system, 1000.0)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(4), platform)
    simulation.minimizeEnergy()
    start = positions_of(simulation)
    assert np.abs(start).max() < 0.01
    simulation.step(2)
    assert integrator.getNumAccepted() == 2
    assert np.isfinite(positions_of(simulation)).all()


def test_velocity_offset_is_zero(toys) -> None:
    """setVelocitiesToTemperature must not shift velocities by half of a lag time times force."""
    topology, system = free_atoms(200)
    add_wells(system, 1e5)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(200))
    simulation.context.setVelocitiesToTemperature(300.0, 3)
    assert np.abs(velocities_of(simulation)).max() < 10.0


def test_compound_integrator(toys, platform) -> None:
    topology, system = free_atoms(4)
    add_wells(system, 500.0)
    compound = openmm.CompoundIntegrator()
    compound.addIntegrator(openmm.LangevinMiddleIntegrator(300, 1.0, 0.002))
    compound.addIntegrator(UniSimIntegrator(toys["ou"], topology, 300, randomNumberSeed=3))
    simulation = app.Simulation(topology, system, compound, *make_platform(platform))
    simulation.context.setPositions(random_positions(4))
    for _ in range(3):
        compound.setCurrentIntegrator(0)
        simulation.step(5)
        compound.setCurrentIntegrator(1)
        simulation.step(1)
    assert simulation.context.getTime().value_in_unit(unit.picosecond) == pytest.approx(3.03)
    assert not UniSimIntegrator.isinstance(compound.getIntegrator(0))
    found = UniSimIntegrator.cast(compound.getIntegrator(1))
    assert isinstance(found, UniSimIntegrator)
    assert (found.getNumAccepted(), found.getTemperature()) == (3, 300 * unit.kelvin)


@pytest.mark.parametrize("setting", [False, True])
def test_the_threads_treatment_of_denormals_is_restored(toys, setting: bool) -> None:
    topology, system = free_atoms(3)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(3))
    tiny = torch.tensor([1e-310], dtype=torch.float64)
    torch.set_flush_denormal(setting)
    try:
        simulation.step(1)
        flushed = float((tiny * 0.5)[0]) == 0.0
    finally:
        torch.set_flush_denormal(False)
    assert flushed == setting


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_torch_threads_is_restored(toys, threads: int) -> None:
    topology, system = free_atoms(3)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(3))
    torch.set_num_threads(threads)
    try:
        simulation.step(1)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
