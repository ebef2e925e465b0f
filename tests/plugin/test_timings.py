"""Where the time of jumps goes: what is counted, and that each part is attributed to its own account."""

import copy
import time

import numpy as np
import openmm
import pytest

from openmm_unisim import UniSimIntegrator
from tests.plugin.spies import listening, sleep, write_spies
from tests.plugin.systems import add_wells, free_atoms, jumper, random_positions

TIMES = ("model", "forces", "noise", "hand_over")
COUNTS = ("jumps", "model_calls", "force_evaluations")


@pytest.fixture(scope="module")
def spies(tmp_path_factory):
    return write_spies(tmp_path_factory.mktemp("spies"))


def counts(integrator) -> tuple:
    return tuple(integrator.getTimings()[name] for name in COUNTS)


def made(model, platform="Reference", **settings):
    topology, system = free_atoms(5)
    add_wells(system, 1000.0)
    return jumper(model, topology, system, random_positions(5, 0.1), platform, **settings)


def test_a_new_integrator_has_spent_nothing(toys) -> None:
    timings = UniSimIntegrator(toys["ou"], free_atoms(5)[0], 300).getTimings()
    assert timings == dict.fromkeys(TIMES + COUNTS, 0)


def test_every_part_is_counted_and_the_sum_is_within_the_time_of_the_call(toys, platform) -> None:
    simulation, integrator = made(toys["guided"], platform)
    simulation.step(1)  # the first asks OpenMM whether positions are set
    integrator.resetTimings()
    began = time.perf_counter()
    integrator.step(3)
    elapsed = time.perf_counter() - began
    timings = integrator.getTimings()
    assert counts(integrator) == (3, 3 * 4 * 2, 3 * 4)  # guidance points and step; forces at each point
    assert all(timings[name] > 0 for name in TIMES)
    assert sum(timings[name] for name in TIMES) <= elapsed


def test_without_guidance_there_are_no_forces(toys, platform) -> None:
    simulation, integrator = made(toys["ou"], platform)
    simulation.step(1)
    integrator.resetTimings()
    simulation.step(2)
    assert counts(integrator) == (2, 8, 0)
    assert integrator.getTimings()["forces"] == 0


def test_metropolis_adds_the_reversed_path_and_two_energies(toys) -> None:
    simulation, integrator = made(toys["ou"], acceptanceMode=UniSimIntegrator.MetropolisHastings)
    simulation.step(1)
    integrator.resetTimings()
    simulation.step(1)
    assert counts(integrator) == (1, 4 + 1, 2)  # the reversed path is one batched call


def test_reset_and_rejected_jumps(toys) -> None:
    simulation, integrator = made(toys["always_nan"])
    simulation.step(2)
    assert counts(integrator)[:2] == (2, 2)  # the path ends at the first NaN
    integrator.resetTimings()
    assert counts(integrator) == (0, 0, 0)


def test_time_inside_the_model_is_the_models(spies) -> None:
    simulation, integrator = made(spies["telling"])
    simulation.step(1)
    integrator.resetTimings()
    with listening(sleep(0.02)):
        simulation.step(1)
    timings = integrator.getTimings()
    assert timings["model"] >= 4 * 0.02
    assert timings["hand_over"] + timings["noise"] < timings["model"]


def test_time_between_jumps_is_nobodys_even_after_an_error(spies) -> None:
    simulation, integrator = made(spies["telling"])

    def fail(x) -> None:
        raise RuntimeError("no")

    with listening(fail), pytest.raises(openmm.OpenMMException, match="failed in step"):
        simulation.step(1)
    before = sum(integrator.getTimings()[name] for name in TIMES)
    time.sleep(0.5)
    began = time.perf_counter()
    simulation.step(1)
    assert sum(integrator.getTimings()[name] for name in TIMES) - before <= time.perf_counter() - began
    assert integrator.getTimings()["jumps"] == 2


def test_timings_are_no_state(toys) -> None:
    simulation, integrator = made(toys["ou"])
    simulation.step(2)
    xml = openmm.XmlSerializer.serialize(integrator)
    checkpoint = simulation.context.createCheckpoint()
    assert copy.copy(integrator).getTimings()["jumps"] == 0
    simulation.step(1)
    assert openmm.XmlSerializer.serialize(integrator) == xml
    simulation.context.loadCheckpoint(checkpoint)
    assert integrator.getTimings()["jumps"] == 3


def test_noise_drawn_ahead_in_blocks_is_the_same_noise(toys) -> None:
    """More particles times substeps than are drawn at once: jumps of a part of the system see the same stream."""
    n = 900  # 4096 / 900: four of the nine substeps at once
    topology, system = free_atoms(n)
    ends = []
    for particles in (None, range(10)):
        simulation, _ = jumper(
            toys["euler"], topology, system, np.zeros((n, 3)), numSubsteps=9, particles=particles
        )
        simulation.step(1)
        positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
        ends.append(positions[:10])
    assert np.allclose(ends[0], ends[1], atol=1e-12)


def test_an_integrator_can_move_to_a_context_of_other_copies_and_particles(toys) -> None:
    """Six vectors were two copies of three particles, in a reversed path, and are then one copy of six."""
    topology, system = free_atoms(6)
    settings = dict(acceptanceMode=UniSimIntegrator.MetropolisHastings, numSubsteps=2)
    simulation, integrator = jumper(
        toys["ou"], topology, system, random_positions(6), particles=[0, 1, 2], **settings
    )
    simulation.step(1)
    integrator.setParticles(range(6))
    integrator.setAtomicNumbers([1] * 6)
    simulation.context.reinitialize()
    simulation.context.setPositions(random_positions(6))
    simulation.step(1)
    fresh, other = jumper(toys["ou"], topology, system, random_positions(6), **settings)
    fresh.step(1)
    assert integrator.getLastLogAcceptance() == other.getLastLogAcceptance()
