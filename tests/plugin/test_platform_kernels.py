"""The kernels that move data on each platform: the order of atoms, boxes, constraints, virtual sites, restoring."""

import numpy as np
import openmm
import pytest
from openmm import app

from openmm_unisim import UniSimIntegrator
from tests.plugin.boxes import PULL_GROUP, SITE, Box, drifting, water_box
from tests.plugin.spies import listening, write_spies
from tests.plugin.systems import (
    ALL_PLATFORMS,
    PLATFORMS,
    free_atoms,
    jumper,
    make_platform,
    platform_names,
    positions_of,
    random_positions,
    simulate,
    tolerance,
    trajectory,
    velocities_of,
)

OPENCL = platform_names("OpenCL-single", "OpenCL-mixed", "OpenCL-double")
SHUFFLED = [3, 7, 0, 9, 4, 1, 8, 5, 6, 2]  # jumping particles in another order than the System's
VELOCITY = np.array([0.01, -0.02, 0.03])  # of the constant toy, nm a jump


def compound(model, box: Box, platform: str):
    """Drifting molecules, and jumps of the solute, in one Context."""
    mover, drift = drifting(box)
    particles = [box.solute[k] for k in SHUFFLED]
    jumps = UniSimIntegrator(model, box.topology, 300, randomNumberSeed=7, particles=particles)
    jumps.setGuidanceForceGroups({PULL_GROUP})
    integrator = openmm.CompoundIntegrator()
    integrator.addIntegrator(mover)
    integrator.addIntegrator(jumps)
    simulation = app.Simulation(box.topology, box.system, integrator, *make_platform(platform))
    simulation.context.setPositions(box.positions)
    return simulation, jumps, drift


def run(simulation: app.Simulation, which: int, steps: int) -> None:
    simulation.integrator.setCurrentIntegrator(which)
    simulation.integrator.step(steps)


def energy_of(simulation: app.Simulation) -> float:
    return float(simulation.context.getState(energy=True).getPotentialEnergy()._value)


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_the_platform_has_kernels_of_its_own(platform: str) -> None:
    assert make_platform(platform)[0].supportsKernels(["MoveUniSimData"])


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_the_order_of_atoms_and_the_box_do_not_matter(toys, platform: str) -> None:
    """OpenMM reorders atoms and wraps molecules every 250 steps; here every molecule crosses the box."""
    box = water_box()
    simulation, _, drift = compound(toys["ou"], box, platform)
    other, *_ = compound(toys["ou"], box, "Reference")
    for each in (simulation, other):
        for _ in range(3):
            run(each, 0, 200)
            run(each, 1, 2)
    expected = box.positions + 600 * drift
    assert np.abs(expected - box.positions).max() > 1.5  # nm; the box has 1.24
    expected[box.solute] = positions_of(other)[box.solute]
    found = positions_of(simulation)
    assert np.abs(found - expected).max() < tolerance(platform)
    other.context.setPositions(found)
    assert energy_of(simulation) == pytest.approx(energy_of(other), rel=1e-4)  # charges went with their atoms


@pytest.mark.parametrize("platform", OPENCL)
def test_a_guided_jump_in_water_is_that_of_reference(toys, platform: str) -> None:
    """Forces on a subset, constraints of solute and water, virtual sites, velocities."""
    box = water_box(constrain_solute=True)
    results = []
    for name in ("Reference", platform):
        integrator = UniSimIntegrator(
            toys["guided"], box.topology, 300, randomNumberSeed=11, particles=box.solute
        )
        integrator.setGuidanceForceGroups({PULL_GROUP})
        simulation = simulate(integrator, box.topology, box.system, box.positions, name)
        simulation.step(1)
        assert integrator.getNumAccepted() == 1
        results.append((positions_of(simulation), velocities_of(simulation)))
    (expected, velocities), (found, found_velocities) = results
    assert np.abs(expected - box.positions)[box.solute].max() > 0.01
    assert np.abs(found - expected).max() < tolerance(platform)
    assert np.abs(found_velocities - velocities).max() < 100 * tolerance(platform)
    atoms = found[box.water].reshape(-1, 4, 3)
    assert np.abs(np.einsum("k,nkd->nd", SITE, atoms[:, :3]) - atoms[:, 3]).max() < tolerance(platform)
    lengths = np.linalg.norm(found[box.solute[1]] - found[box.solute[0]])
    assert lengths == pytest.approx(0.0905539, rel=1e-4)


def test_candidates_start_from_the_same_water(toys, platform) -> None:
    """Each candidate's constraints are solved with all the water's; the next one finds the water as it was."""
    box = water_box(constrain_solute=True)
    results = []
    for name in ("Reference", platform):
        integrator = UniSimIntegrator(
            toys["guided"], box.topology, 300, randomNumberSeed=11, particles=box.solute
        )
        integrator.setGuidanceSource(UniSimIntegrator.Resampling)
        integrator.setGuidanceForceGroups({PULL_GROUP})
        integrator.setNumResampled(3)
        simulation = simulate(integrator, box.topology, box.system, box.positions, name)
        simulation.step(2)
        assert integrator.getNumAccepted() == 2
        results.append(positions_of(simulation))
    assert np.abs(results[1] - results[0]).max() < tolerance(platform)


def test_particles_that_stay_do_so_to_the_last_bit(toys, platform) -> None:
    box = water_box()
    simulation, integrator = jumper(
        toys["ou"], box.topology, box.system, box.positions, platform, particles=box.solute
    )
    before = positions_of(simulation)
    simulation.step(2)
    stay = np.setdiff1d(np.arange(len(before)), box.solute)
    found = positions_of(simulation)
    assert integrator.getNumAccepted() == 2
    real = [k for k in stay if not box.system.isVirtualSite(int(k))]
    assert np.array_equal(found[real], before[real])
    assert np.abs(found - before)[stay].max() < tolerance(platform)  # sites are computed again
    assert np.abs(found - before)[box.solute].max() > 0.01


def test_an_error_on_the_way_leaves_everything_where_it_was(platform, tmp_path) -> None:
    """Forces of a guided jump move the solute; molecules are wrapped and reordered."""
    box = water_box()
    simulation, _, _ = compound(write_spies(tmp_path)["telling_forces"], box, platform)
    run(simulation, 0, 300)
    simulation.context.computeVirtualSites()
    before, energy = positions_of(simulation), energy_of(simulation)
    velocities = velocities_of(simulation)

    def fail(x) -> None:
        raise RuntimeError("no")

    with listening(fail), pytest.raises(openmm.OpenMMException, match="failed in step"):
        run(simulation, 1, 1)
    assert np.array_equal(positions_of(simulation), before)
    assert np.array_equal(velocities_of(simulation), velocities)
    assert energy_of(simulation) == pytest.approx(energy, rel=1e-5)


def test_a_rejected_jump_leaves_everything_where_it_was(toys, platform) -> None:
    box = water_box()
    repulsion = openmm.HarmonicBondForce()  # the toy contracts the solute
    repulsion.addBond(box.solute[0], box.solute[-1], 0.0, -1e6)
    box.system.addForce(repulsion)
    simulation, integrator = jumper(
        toys["ou"], box.topology, box.system, box.positions, platform, particles=box.solute,
        acceptanceMode=UniSimIntegrator.MetropolisHastings,
    )  # fmt: skip
    before = positions_of(simulation)
    simulation.step(2)
    assert (integrator.getNumProposed(), integrator.getNumAccepted()) == (2, 0)
    assert np.array_equal(positions_of(simulation), before)


def test_a_checkpoint_from_before_a_reordering_continues_identically(toys, platform) -> None:
    box = water_box()
    simulation, _, _ = compound(toys["ou"], box, platform)
    run(simulation, 0, 255)
    checkpoint = simulation.context.createCheckpoint()
    run(simulation, 1, 2)
    expected = positions_of(simulation), velocities_of(simulation)
    run(simulation, 0, 255)
    simulation.context.loadCheckpoint(checkpoint)
    run(simulation, 1, 2)
    assert np.array_equal(positions_of(simulation), expected[0])
    assert np.array_equal(velocities_of(simulation), expected[1])


def test_positions_set_between_jumps_are_the_next_start(toys, platform) -> None:
    box = water_box()
    simulation, _, _ = compound(toys["constant"], box, platform)
    run(simulation, 0, 255)
    run(simulation, 1, 1)
    moved = box.positions + np.array([0.7, -3.0, 0.1])
    simulation.context.setPositions(moved)
    run(simulation, 1, 1)
    moved[box.solute] += VELOCITY
    assert np.abs(positions_of(simulation) - moved).max() < tolerance(platform)


def test_reinitialized_with_its_state_it_goes_on(toys, platform) -> None:
    box = water_box()
    simulation, _, _ = compound(toys["constant"], box, platform)
    run(simulation, 0, 255)
    run(simulation, 1, 1)
    expected = positions_of(simulation)
    simulation.context.reinitialize(preserveState=True)
    run(simulation, 1, 1)
    expected[box.solute] += VELOCITY
    assert np.abs(positions_of(simulation) - expected).max() < tolerance(platform)


def test_two_contexts_do_not_disturb_each_other(toys, platform) -> None:
    pairs, expected = [], []
    for n, seed in ((4, 3), (7, 4)):
        topology, system = free_atoms(n)
        arguments = (toys["ou"], topology, system, random_positions(n), platform, seed)
        expected.append(trajectory(jumper(*arguments)[0], 3))
        pairs.append(jumper(*arguments)[0])
    found = [[trajectory(simulation, 1)[0] for simulation in pairs] for _ in range(3)]
    for k in range(2):
        assert np.array_equal([frames[k] for frames in found], expected[k])


def test_a_context_that_fails_to_start_leaves_the_platform_usable(toys, platform) -> None:
    topology, system = free_atoms(3)
    integrator = UniSimIntegrator(toys["ou"], topology, 300)
    integrator.setParticles([0, 1, 5])
    with pytest.raises(openmm.OpenMMException, match="Particle 5 can't jump"):
        openmm.Context(system, integrator, *make_platform(platform))
    simulation, good = jumper(toys["ou"], topology, system, random_positions(3), platform)
    simulation.step(1)
    assert good.getNumAccepted() == 1


def test_opencl_is_among_the_platforms_where_it_can_be() -> None:
    there = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    assert ("OpenCL" in there) == any(name.startswith("OpenCL") for name in PLATFORMS)
