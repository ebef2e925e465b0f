"""The C++ noise against its Python twin, and what seeds promise."""

import numpy as np
import pytest

from openmm_unisim import load_plugin
from openmm_unisim.simulation.noise import acceptance_uniform, standard_normals
from tests.plugin.systems import free_atoms, jumper, random_positions, tolerance, trajectory, velocities_of

plugin = load_plugin()


@pytest.mark.parametrize("seed", [1, -5, 2**31 - 1])
@pytest.mark.parametrize("step", [0, 3, 2**32 + 17])
@pytest.mark.parametrize("stream", [0, 1])
def test_normals_are_those_of_the_twin(seed: int, step: int, stream: int) -> None:
    for substep, particle in ((0, 0), (19, 21), (99, 100000)):
        expected = standard_normals(seed % 2**32, step, substep, particle, stream)
        assert plugin._standardNormals(seed, stream, step, substep, particle) == pytest.approx(
            expected.tolist(), abs=1e-12
        )


def test_acceptance_uniform_is_that_of_the_twin() -> None:
    for step in (0, 1, 2**33):
        assert plugin._acceptanceUniform(9, step) == pytest.approx(float(acceptance_uniform(9, step)), abs=0)


def run(model, platform: str, seed: int) -> np.ndarray:
    topology, system = free_atoms(6)
    simulation, _ = jumper(model, topology, system, random_positions(6), platform, seed)
    return trajectory(simulation, 3)


def test_same_seed_same_trajectory(toys, platform) -> None:
    assert np.array_equal(run(toys["ou"], platform, 3), run(toys["ou"], platform, 3))
    other = run(toys["ou"], platform, 3) - run(toys["ou"], "Reference", 3)
    assert np.abs(other).max() <= (tolerance(platform) if platform.startswith("OpenCL") else 0.0)


def test_another_seed_gives_another_trajectory(toys) -> None:
    assert not np.allclose(run(toys["ou"], "Reference", 3), run(toys["ou"], "Reference", 4), atol=1e-4)


def test_seed_zero_is_chosen_per_context(toys) -> None:
    assert not np.allclose(run(toys["ou"], "Reference", 0), run(toys["ou"], "Reference", 0), atol=1e-4)


def test_reinitialize_starts_the_same_noise_again(toys) -> None:
    topology, system = free_atoms(6)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(6))
    first = trajectory(simulation, 2)
    simulation.context.reinitialize()
    simulation.context.setPositions(random_positions(6))
    assert integrator.getJumpIndex() == 0
    assert np.array_equal(trajectory(simulation, 2), first)


def test_reinitialize_can_preserve_the_noise(toys) -> None:
    topology, system = free_atoms(6)
    whole = trajectory(jumper(toys["ou"], topology, system, random_positions(6))[0], 4)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(6))
    trajectory(simulation, 2)
    simulation.context.reinitialize(preserveState=True)
    assert np.array_equal(trajectory(simulation, 2), whole[2:])


def test_jump_index_selects_the_noise(toys) -> None:
    topology, system = free_atoms(6)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(6))
    once = trajectory(simulation, 1)
    integrator.setJumpIndex(0)
    simulation.context.setPositions(random_positions(6))
    assert np.array_equal(trajectory(simulation, 1), once)


def test_velocities_are_those_of_the_velocity_stream(toys) -> None:
    topology, system = free_atoms(3, mass=2.5)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(3), seed=7)
    simulation.step(2)
    expected = standard_normals(7, 1, 0, np.arange(3), 1) * np.sqrt(0.0083144626 * 300.0 / 2.5)
    assert np.allclose(velocities_of(simulation), expected, atol=1e-12)
